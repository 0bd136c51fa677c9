"""Generated duets: music without scores, with what songs for voice lack.

The violin plays lines, scales, arpeggios, repeated notes, leaps, trills and double stops
over its whole range, slurred, detached or off the string; the piano accompanies, answers
and plays alone. Sections in random keys, metres and tempos are made of bars with one chord
each, by functional harmony (Piston, Harmony, 1941: which chord follows which).

Rows are (onset, duration, pitch): beats from the bar's beginning, and MIDI keys.
"""

import itertools
from typing import NamedTuple

import numpy as np

from sep.data.rendering.performance import NOTE

LOWEST, HIGHEST = 55, 100  # the violin: G3 to E7
OPEN = (55, 62, 69, 76)  # its strings
KEYBOARD = (24, 105)  # of the piano: what is played often
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
_FASTEST = 0.075  # seconds a note
_SHORTEST = 0.03  # what is left of a note cut off at the end


class Chord(NamedTuple):
    """Pitch classes: the chord's, from its root, and its scale's."""

    tones: tuple[int, ...]
    scale: tuple[int, ...]


def compose(rng: np.random.Generator, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """A duet of this length: the violin's and the piano's notes (NOTE), in seconds.

    The violin plays two notes at once at most. No key is struck while it sounds.
    """
    melody, piano = [], []
    start, tonic, minor = 0.0, rng.integers(12), rng.random() < 0.5
    while start < seconds:
        beats, beat = int(rng.choice([2, 3, 3, 4, 4])), 60 / rng.uniform(50, 150)
        bars = int(rng.choice([2, 4, 6, 8]))
        chords = _progression(rng, tonic, minor, bars)
        who = rng.choice(["both", "violin", "piano", "nobody"], p=[0.72, 0.12, 0.12, 0.04])
        if who == "nobody":
            start += rng.uniform(0.5, 3)
            continue
        if who != "piano":
            melody += _line(rng, chords, beats, beat, start)
        if who != "violin":
            piano += _keyboard(rng, chords, beats, beat, start, alone=who == "piano")
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


# Harmony


def _chord(degree, tonic, minor, seventh):
    """The chord on a degree (0..6); dominants in minor have the leading note."""
    scale = [(tonic + step) % 12 for step in (_MINOR if minor else _MAJOR)]
    if minor and degree in (4, 6):
        scale[6] = (tonic + 11) % 12
    tones = [scale[(degree + third) % 7] for third in (0, 2, 4, 6)[: 3 + seventh]]
    return Chord(tuple(tones), tuple(sorted(scale)))


def _progression(rng, tonic, minor, bars):
    """A chord a bar: free or a sequence of falling fifths, ending in a cadence."""
    sequence, degrees = rng.random() < 0.25, [int(rng.choice([0, 0, 0, 3, 5]))]
    while len(degrees) < bars:
        last = degrees[-1]
        degrees.append((last + 3) % 7 if sequence else int(rng.choice(_FOLLOWING[last])))
    degrees[-2:] = [4, int(rng.choice([0, 0, 0, 5]))]
    chords = [_chord(d, tonic, minor, rng.random() < 0.3) for d in degrees]
    for i in range(bars - 1):
        if rng.random() < 0.12:  # the dominant of what follows
            root, scale = chords[i + 1].tones[0] + 7, chords[i].scale
            tones = tuple((root + step) % 12 for step in (0, 4, 7, 10))
            near = {min(scale, key=lambda p, t=t: (p - t) % 12) for t in tones}
            chords[i] = Chord(tones, tuple(sorted({*scale} - near | {*tones})))
    return chords


def _ladder(classes, low, high):
    """All keys of these pitch classes from low to high."""
    return [key for key in range(low, high + 1) if key % 12 in classes]


def _nearest(ladder, key):
    return int(np.argmin(np.abs(np.array(ladder) - key)))


def _walk(rng, ladder, near, count, pattern):
    """Keys up or down a ladder, turning at its ends, each with a pattern of steps."""
    place, way, keys = _nearest(ladder, near), int(rng.choice([-1, 1])), []
    for i in range(count):
        step = pattern[i % len(pattern)]
        keys.append(ladder[int(np.clip(place + way * step, 0, len(ladder) - 1))])
        if i % len(pattern) == len(pattern) - 1:
            way = -way if not 0 <= place + way < len(ladder) else way
            place = int(np.clip(place + way, 0, len(ladder) - 1))
    return keys


def _even(keys, beats):
    """Keys in notes of equal length."""
    return [(i * beats / len(keys), beats / len(keys), key) for i, key in enumerate(keys)]


# The violin: figure(rng, chord, beats, near, around, count) -> rows of a bar, where `near`
# is the key before, `around` the lowest and highest key, and `count` the notes if fast.


def _cantabile(rng, chord, beats, near, around, count):
    rows, onset = [], 0.0
    while onset < beats:
        duration = min(rng.choice([0.5, 0.5, 1, 1, 1.5, 2, 3]), beats - onset)
        strong = onset == 0 or rng.random() < 0.3
        ladder = _ladder(chord.tones if strong else chord.scale, *around)
        place = _nearest(ladder, near) + rng.choice([-2, -1, -1, 0, 1, 1, 2])
        near = ladder[int(np.clip(place, 0, len(ladder) - 1))]
        if rng.random() < 0.93:
            rows.append((onset, duration, near))
        onset += duration
    return rows


def _long(rng, chord, beats, near, around, count):
    return [(0, beats, int(rng.choice(_ladder(chord.tones, *around))))]


def _scale(rng, chord, beats, near, around, count):
    pattern = [(0,), (0,), (0, 2), (0, 1, 2), (0, 1, 2, 3), (0, -1)][rng.integers(6)]
    return _even(_walk(rng, _ladder(chord.scale, *around), near, count, pattern), beats)


def _chromatic(rng, chord, beats, near, around, count):
    return _even(_walk(rng, range(around[0], around[1] + 1), near, count, (0,)), beats)


def _arpeggio(rng, chord, beats, near, around, count):
    wide = max(LOWEST, around[0] - 7), min(HIGHEST, around[1] + 7)
    pattern = [(0,), (0,), (0, 2), (0, 1, 2)][rng.integers(4)]
    return _even(_walk(rng, _ladder(chord.tones, *wide), near, count, pattern), beats)


def _repeated(rng, chord, beats, near, around, count):
    times = int(rng.choice([2, 3, 4, 8]))
    ladder = _ladder(rng.choice([chord.tones, chord.scale][rng.integers(2)], 3), *around)
    keys = _walk(rng, ladder, near, -(-count // times), (0,))
    return _even([key for key in keys for _ in range(times)][:count], beats)


def _leaps(rng, chord, beats, near, around, count):
    """Back and forth between a moving and a still voice, often an open string."""
    still = int(rng.choice([*OPEN, *_ladder(chord.tones, *around)]))
    keys = _walk(rng, _ladder(chord.scale, *around), near, count, (0, 0))
    return _even([still if i % 2 else key for i, key in enumerate(keys)], beats)


def _trill(rng, chord, beats, near, around, count):
    ladder = _ladder(chord.scale, *around)
    place = min(_nearest(ladder, near), len(ladder) - 2)
    return _even([ladder[place + i % 2] for i in range(max(count, 8 * beats))], beats)


def _double_stops(rng, chord, beats, near, around, count):
    """Thirds, sixths, octaves in parallel, or a line beside an open string."""
    count = max(1, min(count, int(beats * rng.choice([0.5, 1, 2, 4]))))
    ladder = _ladder(chord.scale, LOWEST, HIGHEST)
    apart = int(rng.choice([2, 2, 5, 5, 7, 0]))
    if apart:
        upper = [key for key in ladder[apart:] if around[0] <= key <= around[1] + 12]
        upper = _walk(rng, upper, near, count, (0,))
        lower = [ladder[ladder.index(key) - apart] for key in upper]
    else:
        string = int(rng.choice(OPEN[:3]))
        upper = _walk(rng, range(string + 7, string + 17), near, count, (0,))
        lower = [string] * count
    return sorted(_even(upper, beats) + _even(lower, beats))


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


def _draw(rng, weighted):
    """A key of a dict, by the weights that are its values."""
    weights = np.array([*weighted.values()], float)
    return [*weighted][rng.choice(len(weights), p=weights / weights.sum())]


def _line(rng, chords, beats, beat, start):
    """The violin's notes over a section, in phrases of a figure and a bowing each."""
    rows, bar, near = [], 0, int(rng.integers(LOWEST, HIGHEST + 1))
    while bar < len(chords):
        figure, length = _draw(rng, _FIGURES), int(rng.choice([1, 1, 2, 2, 4]))
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


# The piano: hand(rng, chord, beats, low, near) -> rows of a bar, where `low` is the lowest
# key of the hand's place and `near` its last upper key. At most four notes sound at once.


def _close(chord, low):
    """The chord in close position: up to four keys within a hand."""
    return _ladder(chord.tones, low, low + 12)[: len(chord.tones)]


def _root(chord, low):
    return _ladder(chord.tones[:1], low, low + 11)[0]


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
    return _even(
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
        return _even([root + 12 * (i % 2) for i in range(times)], beats)
    return [(0, beats, root), (0, beats, root + 12)]


def _sweep(rng, chord, beats, low, near):
    """Arpeggios over the keyboard."""
    ladder = _ladder(chord.tones, max(low - 12, KEYBOARD[0]), min(low + 31, KEYBOARD[1]))
    count = beats * int(rng.choice([2, 3, 4]))
    return _even(_walk(rng, ladder, near, count, (0,)), beats)


def _run(rng, chord, beats, low, near):
    """A counter-melody, or a fast run."""
    ladder = _ladder(chord.scale, low, min(low + 26, KEYBOARD[1]))
    return _even(
        _walk(rng, ladder, near, beats * int(rng.choice([1, 1, 2, 4])), (0,)), beats
    )


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


def _keyboard(rng, chords, beats, beat, start, alone):
    """The piano's notes over a section, each hand in phrases of its own."""
    rows = []
    for figures, lowest, highest in _HANDS:
        figures, bar = {**figures, _nothing: 0} if alone else figures, 0
        while bar < len(chords):
            figure, length = _draw(rng, figures), int(rng.choice([2, 4, 4, 8]))
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
