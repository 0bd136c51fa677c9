"""Generated duets: music without scores, with what songs for voice lack.

The violin plays lines, scales, arpeggios, repeated notes, leaps, trills and double stops
over its whole range, slurred, detached or off the string; the piano accompanies, answers
and plays alone. Sections in random keys, metres and tempos are made of bars with one chord
each, by functional harmony (Piston, Harmony, 1941: which chord follows which).

Rows are (onset, duration, pitch): beats from the bar's beginning, and MIDI keys.
"""

import itertools

import numpy as np

from sep.rendering import harmony
from sep.rendering.accompaniment import accompany
from sep.rendering.arrangement import HIGHEST, LOWEST, OPEN
from sep.rendering.harmony import even, keys_of, nearest, walk
from sep.rendering.performance import NOTE

_FASTEST = 0.075  # seconds a note
_SHORTEST = 0.03  # what is left of a note cut off at the end


def duet(rng: np.random.Generator, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """As `compose`, and both play in it, unless it is too short for that."""
    for _ in range(20):
        parts = compose(rng, seconds)
        if all(map(len, parts)):
            break
    return parts


def compose(rng: np.random.Generator, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """A duet of this length: the violin's and the piano's notes (NOTE), in seconds.

    The violin plays two notes at once at most. No key is struck while it sounds.
    """
    melody, piano = [], []
    start, tonic, minor = 0.0, rng.integers(12), rng.random() < 0.5
    while start < seconds:
        beats, beat = int(rng.choice([2, 3, 3, 4, 4])), 60 / rng.uniform(50, 150)
        bars = int(rng.choice([2, 4, 6, 8]))
        chords = harmony.progression(rng, tonic, minor, bars)
        who = rng.choice(["both", "violin", "piano", "nobody"], p=[0.72, 0.12, 0.12, 0.04])
        if who == "nobody":
            start += rng.uniform(0.5, 3)
            continue
        if who != "piano":
            melody += _line(rng, chords, beats, beat, start)
        if who != "violin":
            piano += accompany(rng, chords, beats, beat, start, alone=who == "piano")
        start += bars * beats * beat
        tonic = (tonic + rng.choice([0, 0, 5, 7, 7, 2, 3, 9])) % 12
        minor ^= rng.random() < 0.3
    return _playable(melody, seconds), _playable(piano, seconds)


def _playable(rows, seconds):
    """Rows (onset, duration, pitch, velocity, slurred, brief) as notes that end in time."""
    notes = np.sort(np.array(rows, NOTE), order=["onset", "pitch"])
    notes = notes[notes["onset"] <= seconds - _SHORTEST]
    again = np.full(128, float(seconds))  # when each key is struck next
    for i in range(len(notes) - 1, -1, -1):
        onset, duration, pitch = notes[["onset", "duration", "pitch"]][i]
        notes["duration"][i] = min(duration, again[pitch] - onset)
        # Of a key struck twice at once the first is left no time, and goes.
        again[pitch] = onset
    return notes[notes["duration"] >= _SHORTEST / 2]


# The violin: figure(rng, chord, beats, near, around, count) -> rows of a bar, where `near`
# is the key before, `around` the lowest and highest key, and `count` the notes if fast.


def _cantabile(rng, chord, beats, near, around, count):
    rows, onset = [], 0.0
    while onset < beats:
        duration = min(rng.choice([0.5, 0.5, 1, 1, 1.5, 2, 3]), beats - onset)
        strong = onset == 0 or rng.random() < 0.3
        ladder = keys_of(chord.tones if strong else chord.scale, *around)
        place = nearest(ladder, near) + rng.choice([-2, -1, -1, 0, 1, 1, 2])
        near = ladder[int(np.clip(place, 0, len(ladder) - 1))]
        if rng.random() < 0.93:
            rows.append((onset, duration, near))
        onset += duration
    return rows


def _long(rng, chord, beats, near, around, count):
    return [(0, beats, int(rng.choice(keys_of(chord.tones, *around))))]


def _scale(rng, chord, beats, near, around, count):
    pattern = [(0,), (0,), (0, 2), (0, 1, 2), (0, 1, 2, 3), (0, -1)][rng.integers(6)]
    return even(walk(rng, keys_of(chord.scale, *around), near, count, pattern), beats)


def _chromatic(rng, chord, beats, near, around, count):
    return even(walk(rng, range(around[0], around[1] + 1), near, count, (0,)), beats)


def _arpeggio(rng, chord, beats, near, around, count):
    wide = max(LOWEST, around[0] - 7), min(HIGHEST, around[1] + 7)
    pattern = [(0,), (0,), (0, 2), (0, 1, 2)][rng.integers(4)]
    return even(walk(rng, keys_of(chord.tones, *wide), near, count, pattern), beats)


def _repeated(rng, chord, beats, near, around, count):
    times = int(rng.choice([2, 3, 4, 8]))
    ladder = keys_of(rng.choice([chord.tones, chord.scale][rng.integers(2)], 3), *around)
    keys = walk(rng, ladder, near, -(-count // times), (0,))
    return even([key for key in keys for _ in range(times)][:count], beats)


def _leaps(rng, chord, beats, near, around, count):
    """Back and forth between a moving and a still voice, often an open string."""
    still = int(rng.choice([*OPEN, *keys_of(chord.tones, *around)]))
    keys = walk(rng, keys_of(chord.scale, *around), near, count, (0, 0))
    return even([still if i % 2 else key for i, key in enumerate(keys)], beats)


def _trill(rng, chord, beats, near, around, count):
    ladder = keys_of(chord.scale, *around)
    place = min(nearest(ladder, near), len(ladder) - 2)
    return even([ladder[place + i % 2] for i in range(max(count, 8 * beats))], beats)


def _double_stops(rng, chord, beats, near, around, count):
    """Thirds, sixths, octaves in parallel, or a line beside an open string."""
    count = max(1, min(count, int(beats * rng.choice([0.5, 1, 2, 4]))))
    ladder = keys_of(chord.scale, LOWEST, HIGHEST)
    apart = int(rng.choice([2, 2, 5, 5, 7, 0]))
    if apart:
        upper = [key for key in ladder[apart:] if around[0] <= key <= around[1] + 12]
        upper = walk(rng, upper, near, count, (0,))
        lower = [ladder[ladder.index(key) - apart] for key in upper]
    else:
        string = int(rng.choice(OPEN[:3]))
        upper = walk(rng, range(string + 7, string + 17), near, count, (0,))
        lower = [string] * count
    return sorted(even(upper, beats) + even(lower, beats))


def _rest(rng, chord, beats, near, around, count):
    return []


_FIGURES = {
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


def _line(rng, chords, beats, beat, start):
    """The violin's notes over a section, in phrases of a figure and a bowing each."""
    rows, bar, near = [], 0, int(rng.integers(LOWEST, HIGHEST + 1))
    while bar < len(chords):
        figure, length = harmony.draw(rng, _FIGURES), int(rng.choice([1, 1, 2, 2, 4]))
        middle = 0.5 * near + 0.5 * rng.uniform(LOWEST - 5, HIGHEST + 5)
        reach = rng.uniform(6, 14)
        low = int(np.clip(middle - reach, LOWEST, HIGHEST - 12))
        around = low, int(np.clip(middle + reach, low + 12, HIGHEST))
        per_beat = [n for n in (1, 2, 3, 4, 4, 6, 8) if beat / n >= _FASTEST]
        count = beats * int(rng.choice(per_beat))
        phrase = []
        for i, chord in enumerate(chords[bar : bar + length], bar):
            for onset, duration, key in figure(rng, chord, beats, near, around, count):
                phrase.append((start + (i * beats + onset) * beat, duration * beat, key))
                near = key
        rows += _bowed(rng, phrase, figure is _trill)
        bar += length
    return rows


def _bowed(rng, phrase, legato):
    """A phrase with bowing and dynamics: slurs of some length, separate bows, spiccato."""
    slur = 64 if legato else int(rng.choice([1, 1, 1, 2, 3, 4, 8, 16]))
    quick = bool(phrase) and np.median([duration for _, duration, _ in phrase]) < 0.3
    brief = slur == 1 and quick and rng.random() < 0.4
    share = rng.uniform(0.3, 0.6) if brief else rng.uniform(0.65, 1)
    loud, swell = rng.uniform(45, 100), rng.uniform(-15, 25)
    rows, ended, last = [], -1.0, 0
    groups = itertools.groupby(phrase, key=lambda row: row[0])
    for i, (onset, group) in enumerate(groups):
        group = [*group]
        bound = i % slur > 0 and abs(onset - ended) < 1e-6 and abs(group[0][2] - last) <= 12
        ended, last = onset + group[0][1], group[0][2]
        velocity = loud + swell * np.sin(np.pi * i / len(phrase)) + rng.normal(0, 5)
        for _, duration, key in group:
            held = duration * (1 if slur > 1 else share)
            velocity = int(np.clip(velocity, 20, 120))
            rows.append((onset, held, key, velocity, bound, brief))
    return rows
