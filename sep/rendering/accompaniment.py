"""Generated piano accompaniments: two hands, each with its own figures.

A figure is a function that returns the notes of one bar.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from sep.rendering import harmony
from sep.rendering.harmony import BarNote, Chord, even, keys_of, walk
from sep.rendering.performance import NoteRow

_KEYBOARD = (24, 105)  # lowest and highest key of runs and wide arpeggios


class _Bar(NamedTuple):
    """Arguments of a figure."""

    chord: Chord
    beats: int
    low: int  # lowest key of the hand
    last: int  # key that the hand played last


_Figure = Callable[[np.random.Generator, _Bar], list[BarNote]]


def _close_position(chord: Chord, low: int) -> list[int]:
    """Returns up to four keys of a chord, within an octave."""
    return keys_of(chord.tones, low, low + 12)[: len(chord.tones)]


def _root(chord: Chord, low: int) -> int:
    return keys_of(chord.tones[:1], low, low + 11)[0]


def _block_chords(rng: np.random.Generator, bar: _Bar) -> list[BarNote]:
    times = bar.beats * int(rng.choice([1, 1, 2])) if rng.random() < 0.7 else 1
    share, rests = rng.uniform(0.3, 1), rng.random() < 0.3
    length = bar.beats / times
    return [
        (i * length, length * share, key)
        for i in range(times)
        if not (rests and i % 2 == 0 and times > 1)
        for key in _close_position(bar.chord, bar.low)
    ]


def _alberti_bass(rng: np.random.Generator, bar: _Bar) -> list[BarNote]:
    keys, count = _close_position(bar.chord, bar.low), bar.beats * int(rng.choice([2, 4]))
    return even([keys[i] for i in [0, -1, 1, -1] * bar.beats][:count], bar.beats)


def _waltz(rng: np.random.Generator, bar: _Bar) -> list[BarNote]:
    upper = [
        (i, rng.uniform(0.4, 0.9), key)
        for i in range(1, bar.beats)
        for key in _close_position(bar.chord, bar.low + 12)[:3]
    ]
    return [(0, 1, _root(bar.chord, bar.low)), *upper]


def _octaves(rng: np.random.Generator, bar: _Bar) -> list[BarNote]:
    """Bass octaves, together or broken."""
    root, times = _root(bar.chord, bar.low), bar.beats * int(rng.choice([1, 2, 4]))
    if rng.random() < 0.5:
        return even([root + 12 * (i % 2) for i in range(times)], bar.beats)
    return [(0, bar.beats, root), (0, bar.beats, root + 12)]


def _wide_arpeggio(rng: np.random.Generator, bar: _Bar) -> list[BarNote]:
    """Arpeggio over three and a half octaves."""
    low, high = max(bar.low - 12, _KEYBOARD[0]), min(bar.low + 31, _KEYBOARD[1])
    ladder = keys_of(bar.chord.tones, low, high)
    count = bar.beats * int(rng.choice([2, 3, 4]))
    return even(walk(rng, ladder, bar.last, count, (0,)), bar.beats)


def _run(rng: np.random.Generator, bar: _Bar) -> list[BarNote]:
    """Counter-melody, or a fast run."""
    ladder = keys_of(bar.chord.scale, bar.low, min(bar.low + 26, _KEYBOARD[1]))
    count = bar.beats * int(rng.choice([1, 1, 2, 4]))
    return even(walk(rng, ladder, bar.last, count, (0,)), bar.beats)


def _tremolo(rng: np.random.Generator, bar: _Bar) -> list[BarNote]:
    keys = _close_position(bar.chord, bar.low)
    return [
        (i / 5, 1 / 5, key)
        for i in range(5 * bar.beats)
        for key in (keys[1:] if i % 2 else keys[:1])
    ]


def _rest(rng: np.random.Generator, bar: _Bar) -> list[BarNote]:
    return []


_LEFT: dict[_Figure, float] = {
    _block_chords: 2,
    _alberti_bass: 2,
    _waltz: 2,
    _octaves: 2,
    _wide_arpeggio: 2,
    _tremolo: 0.4,
    _rest: 1,
}
_RIGHT: dict[_Figure, float] = {
    _block_chords: 3,
    _alberti_bass: 1,
    _wide_arpeggio: 1.5,
    _run: 2,
    _tremolo: 0.5,
    _rest: 2.5,
}
# Of each hand: its figures, and the range (end excluded) of its lowest key.
_HANDS = (_LEFT, 28, 49), (_RIGHT, 57, 85)


def accompany(
    rng: np.random.Generator,
    chords: Sequence[Chord],
    beats: int,
    beat: float,
    start: float,
    alone: bool,
) -> list[NoteRow]:
    """Returns the piano's notes over a section; each hand has its own phrases.

    Args:
      rng: draws figures, ranges and dynamics.
      chords: the chord of each bar.
      beats: beats in a bar.
      beat: seconds of a beat.
      start: second at which the section begins.
      alone: whether only the piano plays; then neither hand rests for a phrase.
    """
    notes: list[NoteRow] = []
    for hand, lowest, highest in _HANDS:
        figures, begin = {**hand, _rest: 0.0} if alone else hand, 0
        while begin < len(chords):
            figure, length = harmony.draw(rng, figures), int(rng.choice([2, 4, 4, 8]))
            low = int(rng.integers(lowest, highest))
            last, loudness = low + 12, rng.uniform(40, 95)
            for i, chord in enumerate(chords[begin : begin + length], begin):
                for onset, duration, key in figure(rng, _Bar(chord, beats, low, last)):
                    at = start + (i * beats + onset) * beat
                    accent = 8 * (onset == 0) + 5 * (lowest > 50) + rng.normal(0, 5)
                    velocity = int(np.clip(loudness + accent, 15, 120))
                    notes.append((at, duration * beat, key, velocity, False, False))
                    last = key
            begin += length
    return notes
