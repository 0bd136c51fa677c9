"""Chords, progressions of chords, and walks over their tones: parts of generated music.

Functional harmony (Piston, Harmony, 1941). Pitch classes are 0 (C) to 11; keys are MIDI
keys.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

BarNote = tuple[float, float, int]  # onset and duration in beats of the bar, key

_Item = TypeVar("_Item")
_MAJOR, _MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)
# Degrees that may follow each degree of the scale; a repeated one is more likely.
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
    """Pitch classes of a chord, from its root, and of its scale."""

    tones: tuple[int, ...]
    scale: tuple[int, ...]


def chord(degree: int, tonic: int, minor: bool, seventh: bool) -> Chord:
    """Returns the chord on a degree (0..6); dominants in minor have the leading note."""
    scale = [(tonic + step) % 12 for step in (_MINOR if minor else _MAJOR)]
    if minor and degree in (4, 6):
        scale[6] = (tonic + 11) % 12
    tones = [scale[(degree + third) % 7] for third in (0, 2, 4, 6)[: 3 + seventh]]
    return Chord(tuple(tones), tuple(sorted(scale)))


def progression(
    rng: np.random.Generator, tonic: int, minor: bool, bars: int
) -> list[Chord]:
    """Draws one chord per bar: free, or a sequence of falling fifths; ends in a cadence."""
    sequence, degrees = rng.random() < 0.25, [int(rng.choice([0, 0, 0, 3, 5]))]
    while len(degrees) < bars:
        last = degrees[-1]
        degrees.append((last + 3) % 7 if sequence else int(rng.choice(_FOLLOWING[last])))
    degrees[-2:] = [4, int(rng.choice([0, 0, 0, 5]))]
    chords = [chord(d, tonic, minor, rng.random() < 0.3) for d in degrees]
    for i in range(bars - 1):
        if rng.random() < 0.12:  # the dominant of the next chord
            root, scale = chords[i + 1].tones[0] + 7, chords[i].scale
            tones = tuple((root + step) % 12 for step in (0, 4, 7, 10))
            replaced = {_nearest_above(scale, tone) for tone in tones}
            chords[i] = Chord(tones, tuple(sorted({*scale} - replaced | {*tones})))
    return chords


def _nearest_above(scale: Sequence[int], tone: int) -> int:
    """Returns the pitch class of a scale that is the fewest semitones above a tone."""
    return min(scale, key=lambda pitch: (pitch - tone) % 12)


def keys_of(classes: Collection[int], low: int, high: int) -> list[int]:
    """Returns all keys of these pitch classes from low to high."""
    return [key for key in range(low, high + 1) if key % 12 in classes]


def nearest(ladder: Sequence[int], key: int) -> int:
    """Returns the index in a ladder of keys that is nearest to a key."""
    return int(np.argmin(np.abs(np.array(ladder) - key)))


def walk(
    rng: np.random.Generator,
    ladder: Sequence[int],
    start: int,
    count: int,
    pattern: Sequence[int],
) -> list[int]:
    """Returns keys up or down a ladder, turning at its ends.

    Args:
      rng: draws the first direction.
      ladder: keys in ascending order.
      start: key near which the walk begins.
      count: number of keys to return.
      pattern: steps from each rung, in the direction of the walk; one key for each.
    """
    place, way, keys = nearest(ladder, start), int(rng.choice([-1, 1])), []
    for i in range(count):
        step = pattern[i % len(pattern)]
        keys.append(ladder[int(np.clip(place + way * step, 0, len(ladder) - 1))])
        if i % len(pattern) == len(pattern) - 1:
            way = -way if not 0 <= place + way < len(ladder) else way
            place = int(np.clip(place + way, 0, len(ladder) - 1))
    return keys


def even(keys: Sequence[int], beats: int) -> list[BarNote]:
    """Returns keys as notes of equal length that fill a bar."""
    return [(i * beats / len(keys), beats / len(keys), key) for i, key in enumerate(keys)]


def draw(rng: np.random.Generator, weighted: Mapping[_Item, float]) -> _Item:
    """Draws a key of a mapping; the values are the weights."""
    weights = np.array([*weighted.values()], float)
    return [*weighted][rng.choice(len(weights), p=weights / weights.sum())]
