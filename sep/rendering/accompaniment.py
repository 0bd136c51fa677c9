"""Generated accompaniments: two hands of a piano, each with figures of its own.

A figure is a function (rng, chord, beats, low, near) -> rows of a bar, as in `harmony`:
`low` is the lowest key of the hand's place, `near` the last key that it played.
"""

import numpy as np

from sep.rendering import harmony
from sep.rendering.harmony import even, keys_of, walk

KEYBOARD = (24, 105)  # what is played often


def _close(chord, low):
    """The chord in close position: up to four keys within a hand."""
    return keys_of(chord.tones, low, low + 12)[: len(chord.tones)]


def _root(chord, low):
    return keys_of(chord.tones[:1], low, low + 11)[0]


def _blocks(rng, chord, beats, low, near):
    times = beats * int(rng.choice([1, 1, 2])) if rng.random() < 0.7 else 1
    share, rests = rng.uniform(0.3, 1), rng.random() < 0.3
    length = beats / times
    return [
        (i * length, length * share, key)
        for i in range(times)
        if not (rests and i % 2 == 0 and times > 1)
        for key in _close(chord, low)
    ]


def _alberti(rng, chord, beats, low, near):
    keys = _close(chord, low)
    return even(
        [keys[i] for i in [0, -1, 1, -1] * beats][: beats * rng.choice([2, 4])], beats
    )


def _waltz(rng, chord, beats, low, near):
    upper = [
        (i, rng.uniform(0.4, 0.9), key)
        for i in range(1, beats)
        for key in _close(chord, low + 12)[:3]
    ]
    return [(0, 1, _root(chord, low)), *upper]


def _octaves(rng, chord, beats, low, near):
    """Bass octaves, together or broken."""
    root, times = _root(chord, low), beats * int(rng.choice([1, 2, 4]))
    if rng.random() < 0.5:
        return even([root + 12 * (i % 2) for i in range(times)], beats)
    return [(0, beats, root), (0, beats, root + 12)]


def _sweep(rng, chord, beats, low, near):
    """Arpeggios over the keyboard."""
    ladder = keys_of(chord.tones, max(low - 12, KEYBOARD[0]), min(low + 31, KEYBOARD[1]))
    count = beats * int(rng.choice([2, 3, 4]))
    return even(walk(rng, ladder, near, count, (0,)), beats)


def _run(rng, chord, beats, low, near):
    """A counter-melody, or a fast run."""
    ladder = keys_of(chord.scale, low, min(low + 26, KEYBOARD[1]))
    return even(walk(rng, ladder, near, beats * int(rng.choice([1, 1, 2, 4])), (0,)), beats)


def _tremolo(rng, chord, beats, low, near):
    keys = _close(chord, low)
    return [
        (i / 5, 1 / 5, key)
        for i in range(5 * beats)
        for key in (keys[1:] if i % 2 else keys[:1])
    ]


def _nothing(rng, chord, beats, low, near):
    return []


_LEFT = {
    _blocks: 2,
    _alberti: 2,
    _waltz: 2,
    _octaves: 2,
    _sweep: 2,
    _tremolo: 0.4,
    _nothing: 1,
}
_RIGHT = {_blocks: 3, _alberti: 1, _sweep: 1.5, _run: 2, _tremolo: 0.5, _nothing: 2.5}
_HANDS = (_LEFT, 28, 49), (_RIGHT, 57, 85)  # and where each may lie


def accompany(rng, chords, beats, beat, start, alone):
    """The piano's notes over a section, each hand in phrases of its own."""
    rows = []
    for figures, lowest, highest in _HANDS:
        figures, bar = {**figures, _nothing: 0} if alone else figures, 0
        while bar < len(chords):
            figure, length = harmony.draw(rng, figures), int(rng.choice([2, 4, 4, 8]))
            low = int(rng.integers(lowest, highest))
            near, loud = low + 12, rng.uniform(40, 95)
            for i, chord in enumerate(chords[bar : bar + length], bar):
                for onset, duration, key in figure(rng, chord, beats, low, near):
                    at = start + (i * beats + onset) * beat
                    accent = 8 * (onset == 0) + 5 * (lowest > 50) + rng.normal(0, 5)
                    velocity = int(np.clip(loud + accent, 15, 120))
                    rows.append((at, duration * beat, key, velocity, False, False))
                    near = key
            bar += length
    return rows
