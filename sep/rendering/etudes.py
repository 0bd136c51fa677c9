"""Generated duets: music without scores, with what songs for voice lack.

The violin plays lines, scales, arpeggios, repeated notes, leaps, trills and double stops
over its whole range, slurred, detached or off the string; the piano accompanies, answers
and plays alone. Sections in random keys, metres and tempos consist of bars with one chord
each, by functional harmony (Piston, Harmony, 1941: which chord follows which).
"""

import itertools
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import numpy as np

from sep.rendering import harmony
from sep.rendering.accompaniment import accompany
from sep.rendering.arrangement import HIGHEST, LOWEST, OPEN
from sep.rendering.harmony import BarNote, Chord, even, keys_of, nearest, walk
from sep.rendering.performance import NOTE, NoteRow

_FASTEST = 0.075  # seconds a note
_SHORTEST = 0.03  # seconds that remain at least of a note cut off at the end


def duet(rng: np.random.Generator, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Composes a duet in which both parts have notes, unless it is too short for that.

    Returns:
      The violin's and the piano's notes, as `compose`.
    """
    for _ in range(20):
        parts = compose(rng, seconds)
        if all(map(len, parts)):
            break
    return parts


def compose(rng: np.random.Generator, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Composes a duet of this length.

    The violin plays two notes at once at most. No key is struck while it sounds.

    Returns:
      The violin's and the piano's notes (dtype NOTE), in seconds.
    """
    melody: list[NoteRow] = []
    piano: list[NoteRow] = []
    start, tonic, minor = 0.0, int(rng.integers(12)), rng.random() < 0.5
    while start < seconds:
        beats, beat = int(rng.choice([2, 3, 3, 4, 4])), 60 / rng.uniform(50, 150)
        bars = int(rng.choice([2, 4, 6, 8]))
        chords = harmony.progression(rng, tonic, minor, bars)
        players = ["both", "violin", "piano", "neither"]
        playing = rng.choice(players, p=[0.72, 0.12, 0.12, 0.04])
        if playing == "neither":
            start += rng.uniform(0.5, 3)
            continue
        if playing != "piano":
            melody += _line(rng, chords, beats, beat, start)
        if playing != "violin":
            piano += accompany(rng, chords, beats, beat, start, alone=playing == "piano")
        start += bars * beats * beat
        tonic = (tonic + int(rng.choice([0, 0, 5, 7, 7, 2, 3, 9]))) % 12
        minor ^= rng.random() < 0.3
    return _playable(melody, seconds), _playable(piano, seconds)


def _playable(rows: Sequence[NoteRow], seconds: float) -> np.ndarray:
    """Converts rows to notes, cut off where their key is struck again, and at the end."""
    notes = np.sort(np.array(rows, NOTE), order=["onset", "pitch"])
    notes = notes[notes["onset"] <= seconds - _SHORTEST]
    again = np.full(128, float(seconds))  # when each key is struck next
    for i in range(len(notes) - 1, -1, -1):
        onset, duration, pitch = notes[["onset", "duration", "pitch"]][i]
        notes["duration"][i] = min(duration, again[pitch] - onset)
        # Of two strikes at once the first keeps no time, and is dropped below.
        again[pitch] = onset
    return notes[notes["duration"] >= _SHORTEST / 2]


class _Bar(NamedTuple):
    """Arguments of a figure of the violin, which returns the notes of one bar."""

    chord: Chord
    beats: int
    last: int  # key played before
    low: int  # range of the phrase's keys
    high: int
    fast: int  # notes in a bar of a fast figure

    def keys(self, classes: Collection[int]) -> list[int]:
        """Keys of these pitch classes in the phrase's range."""
        return keys_of(classes, self.low, self.high)


_Figure = Callable[[np.random.Generator, _Bar], list[BarNote]]


def _cantabile(rng: np.random.Generator, bar: _Bar) -> list[BarNote]:
    notes, onset, last = [], 0.0, bar.last
    while onset < bar.beats:
        duration = min(rng.choice([0.5, 0.5, 1, 1, 1.5, 2, 3]), bar.beats - onset)
        is_strong = onset == 0 or rng.random() < 0.3
        ladder = bar.keys(bar.chord.tones if is_strong else bar.chord.scale)
        place = nearest(ladder, last) + rng.choice([-2, -1, -1, 0, 1, 1, 2])
        last = ladder[int(np.clip(place, 0, len(ladder) - 1))]
        if rng.random() < 0.93:
            notes.append((onset, duration, last))
        onset += duration
    return notes


def _long(rng: np.random.Generator, bar: _Bar) -> list[BarNote]:
    return [(0, bar.beats, int(rng.choice(bar.keys(bar.chord.tones))))]


def _scale(rng: np.random.Generator, bar: _Bar) -> list[BarNote]:
    pattern = [(0,), (0,), (0, 2), (0, 1, 2), (0, 1, 2, 3), (0, -1)][rng.integers(6)]
    return even(
        walk(rng, bar.keys(bar.chord.scale), bar.last, bar.fast, pattern), bar.beats
    )


def _chromatic(rng: np.random.Generator, bar: _Bar) -> list[BarNote]:
    ladder = range(bar.low, bar.high + 1)
    return even(walk(rng, ladder, bar.last, bar.fast, (0,)), bar.beats)


def _arpeggio(rng: np.random.Generator, bar: _Bar) -> list[BarNote]:
    ladder = keys_of(bar.chord.tones, max(LOWEST, bar.low - 7), min(HIGHEST, bar.high + 7))
    pattern = [(0,), (0,), (0, 2), (0, 1, 2)][rng.integers(4)]
    return even(walk(rng, ladder, bar.last, bar.fast, pattern), bar.beats)


def _repeated(rng: np.random.Generator, bar: _Bar) -> list[BarNote]:
    times = int(rng.choice([2, 3, 4, 8]))
    classes = rng.choice([bar.chord.tones, bar.chord.scale][rng.integers(2)], 3)
    ladder = bar.keys(classes.tolist())
    keys = walk(rng, ladder, bar.last, -(-bar.fast // times), (0,))
    return even([key for key in keys for _ in range(times)][: bar.fast], bar.beats)


def _leaps(rng: np.random.Generator, bar: _Bar) -> list[BarNote]:
    """Alternates between a moving voice and a fixed key, often an open string."""
    fixed = int(rng.choice([*OPEN, *bar.keys(bar.chord.tones)]))
    keys = walk(rng, bar.keys(bar.chord.scale), bar.last, bar.fast, (0, 0))
    return even([fixed if i % 2 else key for i, key in enumerate(keys)], bar.beats)


def _trill(rng: np.random.Generator, bar: _Bar) -> list[BarNote]:
    ladder = bar.keys(bar.chord.scale)
    place = min(nearest(ladder, bar.last), len(ladder) - 2)
    count = max(bar.fast, 8 * bar.beats)
    return even([ladder[place + i % 2] for i in range(count)], bar.beats)


def _double_stops(rng: np.random.Generator, bar: _Bar) -> list[BarNote]:
    """Thirds, sixths, octaves in parallel, or a line beside an open string."""
    count = max(1, min(bar.fast, int(bar.beats * rng.choice([0.5, 1, 2, 4]))))
    ladder = keys_of(bar.chord.scale, LOWEST, HIGHEST)
    apart = int(rng.choice([2, 2, 5, 5, 7, 0]))  # rungs of the scale; 0: an open string
    if apart:
        upper = [key for key in ladder[apart:] if bar.low <= key <= bar.high + 12]
        upper = walk(rng, upper, bar.last, count, (0,))
        lower = [ladder[ladder.index(key) - apart] for key in upper]
    else:
        string = int(rng.choice(OPEN[:3]))
        upper = walk(rng, range(string + 7, string + 17), bar.last, count, (0,))
        lower = [string] * count
    return sorted(even(upper, bar.beats) + even(lower, bar.beats))


def _rest(rng: np.random.Generator, bar: _Bar) -> list[BarNote]:
    return []


_FIGURES: dict[_Figure, float] = {
    _cantabile: 5,
    _long: 1,
    _scale: 3,
    _chromatic: 0.7,
    _arpeggio: 3,
    _repeated: 1.2,
    _leaps: 1.2,
    _trill: 0.8,
    _double_stops: 2.2,
    _rest: 1.2,
}


def _line(
    rng: np.random.Generator,
    chords: Sequence[Chord],
    beats: int,
    beat: float,
    start: float,
) -> list[NoteRow]:
    """Returns the violin's notes over a section.

    Each phrase has one figure and one bowing. Arguments as `accompaniment.accompany`.
    """
    rows: list[NoteRow] = []
    begin, last = 0, int(rng.integers(LOWEST, HIGHEST + 1))
    while begin < len(chords):
        figure, length = harmony.draw(rng, _FIGURES), int(rng.choice([1, 1, 2, 2, 4]))
        middle = 0.5 * last + 0.5 * rng.uniform(LOWEST - 5, HIGHEST + 5)
        reach = rng.uniform(6, 14)
        low = int(np.clip(middle - reach, LOWEST, HIGHEST - 12))
        high = int(np.clip(middle + reach, low + 12, HIGHEST))
        per_beat = [n for n in (1, 2, 3, 4, 4, 6, 8) if beat / n >= _FASTEST]
        fast = beats * int(rng.choice(per_beat))
        phrase = []
        for i, chord in enumerate(chords[begin : begin + length], begin):
            bar = _Bar(chord, beats, last, low, high, fast)
            for onset, duration, key in figure(rng, bar):
                phrase.append((start + (i * beats + onset) * beat, duration * beat, key))
                last = key
        rows += _bowed(rng, phrase, figure is _trill)
        begin += length
    return rows


def _bowed(
    rng: np.random.Generator, phrase: list[tuple[float, float, int]], legato: bool
) -> list[NoteRow]:
    """Adds bowing and dynamics to a phrase of (onset, duration, key) in seconds.

    Bowing is slurs of a drawn length, separate bows, or spiccato; `legato` slurs all.
    """
    slur = 64 if legato else int(rng.choice([1, 1, 1, 2, 3, 4, 8, 16]))
    is_fast = bool(phrase) and np.median([duration for _, duration, _ in phrase]) < 0.3
    is_brief = slur == 1 and is_fast and rng.random() < 0.4
    share = rng.uniform(0.3, 0.6) if is_brief else rng.uniform(0.65, 1)
    loudness, swell = rng.uniform(45, 100), rng.uniform(-15, 25)
    rows: list[NoteRow] = []
    ended, last = -1.0, 0
    groups = itertools.groupby(phrase, key=lambda row: row[0])
    for i, (onset, chord) in enumerate(groups):
        group = [*chord]
        joins = i % slur > 0 and abs(onset - ended) < 1e-6
        slurred = joins and abs(group[0][2] - last) <= 12
        ended, last = onset + group[0][1], group[0][2]
        level = loudness + swell * np.sin(np.pi * i / len(phrase)) + rng.normal(0, 5)
        velocity = int(np.clip(level, 20, 120))
        for _, duration, key in group:
            held = duration * (1 if slur > 1 else share)
            rows.append((onset, held, key, velocity, slurred, is_brief))
    return rows
