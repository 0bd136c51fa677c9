"""Chords, which follows which, and walks over their tones: what generated music is made of.

Functional harmony (Piston, Harmony, 1941). Pitch classes are 0 (C) to 11, keys MIDI's; rows
are (onset, duration, key) with times in beats from the bar's beginning.
"""

from typing import NamedTuple

import numpy as np

_MAJOR, _MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)
# What may follow the chord on each degree of the scale.
_FOLLOWING = (
    (1, 2, 3, 3, 4, 4, 5),
    (4, 4, 6),
    (5, 3),
    (4, 4, 1, 0),
    (0, 0, 5),
    (1, 3),
    (0, 2),
)


class Chord(NamedTuple):
    """Pitch classes: the chord's, from its root, and its scale's."""

    tones: tuple[int, ...]
    scale: tuple[int, ...]


def chord(degree, tonic, minor, seventh):
    """The chord on a degree (0..6); dominants in minor have the leading note."""
    scale = [(tonic + step) % 12 for step in (_MINOR if minor else _MAJOR)]
    if minor and degree in (4, 6):
        scale[6] = (tonic + 11) % 12
    tones = [scale[(degree + third) % 7] for third in (0, 2, 4, 6)[: 3 + seventh]]
    return Chord(tuple(tones), tuple(sorted(scale)))


def progression(rng, tonic, minor, bars):
    """A chord a bar: free or a sequence of falling fifths, ending in a cadence."""
    sequence, degrees = rng.random() < 0.25, [int(rng.choice([0, 0, 0, 3, 5]))]
    while len(degrees) < bars:
        last = degrees[-1]
        degrees.append((last + 3) % 7 if sequence else int(rng.choice(_FOLLOWING[last])))
    degrees[-2:] = [4, int(rng.choice([0, 0, 0, 5]))]
    chords = [chord(d, tonic, minor, rng.random() < 0.3) for d in degrees]
    for i in range(bars - 1):
        if rng.random() < 0.12:  # the dominant of what follows
            root, scale = chords[i + 1].tones[0] + 7, chords[i].scale
            tones = tuple((root + step) % 12 for step in (0, 4, 7, 10))
            near = {min(scale, key=lambda p, t=t: (p - t) % 12) for t in tones}
            chords[i] = Chord(tones, tuple(sorted({*scale} - near | {*tones})))
    return chords


def keys_of(classes, low, high):
    """All keys of these pitch classes from low to high."""
    return [key for key in range(low, high + 1) if key % 12 in classes]


def nearest(ladder, key):
    """The place in a ladder that is nearest to a key."""
    return int(np.argmin(np.abs(np.array(ladder) - key)))


def walk(rng, ladder, near, count, pattern):
    """Keys up or down a ladder, turning at its ends, each with a pattern of steps."""
    place, way, keys = nearest(ladder, near), int(rng.choice([-1, 1])), []
    for i in range(count):
        step = pattern[i % len(pattern)]
        keys.append(ladder[int(np.clip(place + way * step, 0, len(ladder) - 1))])
        if i % len(pattern) == len(pattern) - 1:
            way = -way if not 0 <= place + way < len(ladder) else way
            place = int(np.clip(place + way, 0, len(ladder) - 1))
    return keys


def even(keys, beats):
    """Keys in notes of equal length."""
    return [(i * beats / len(keys), beats / len(keys), key) for i, key in enumerate(keys)]


def draw(rng, weighted):
    """A key of a dict, by the weights that are its values."""
    weights = np.array([*weighted.values()], float)
    return [*weighted][rng.choice(len(weights), p=weights / weights.sum())]
