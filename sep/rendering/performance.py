"""Performs notes as a person would: timing, dynamics, bowing, vibrato, pedal.

Notes are structured arrays of dtype NOTE, sorted by onset. Times are in seconds.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

NOTE = np.dtype(
    [
        ("onset", "f8"),  # seconds
        ("duration", "f8"),  # seconds
        ("pitch", "i4"),  # MIDI key
        ("velocity", "i4"),  # 1 .. 127
        ("slurred", "?"),  # in one bow with the note before
        ("brief", "?"),  # a spiccato or staccato stroke
    ]
)
NoteRow = tuple[float, float, int, int, bool, bool]  # one note, with the fields of NOTE
CONTROL_RATE = 100  # Hz: sample rate of the curves below

# Chances of legato, detached and brief bowing, by whether the notes are short.
_BOWINGS = {False: (0.6, 0.35, 0.05), True: (0.4, 0.35, 0.25)}


class Performance(NamedTuple):
    """Notes and control curves of one player."""

    notes: np.ndarray  # NOTE
    bend: np.ndarray  # cents at CONTROL_RATE: tuning, vibrato, intonation
    expression: np.ndarray | None  # 0 .. 127 at CONTROL_RATE; None for struck strings
    pedal: list[tuple[float, bool]]  # (second, whether it goes down)


def note_array(rows: Sequence[tuple[float, float, int]]) -> np.ndarray:
    """Converts rows of (onset, duration, pitch) to sorted notes of medium velocity."""
    notes = np.zeros(len(rows), NOTE)
    notes["velocity"] = 80
    notes["onset"], notes["duration"], notes["pitch"] = zip(*rows, strict=True)
    return np.sort(notes, order=["onset", "pitch"])


def phrases(notes: np.ndarray, longest: int = 14) -> Iterator[slice]:
    """Yields runs of notes between rests, of at most `longest` notes."""
    ends = np.maximum.accumulate(notes["onset"] + notes["duration"])
    cuts = np.flatnonzero(notes["onset"][1:] - ends[:-1] > 0.2) + 1
    for begin, end in itertools.pairwise([0, *cuts, len(notes)]):
        for first in range(begin, end, longest):
            yield slice(first, min(first + longest, end))


def held_keys(notes: np.ndarray, second: float) -> np.ndarray:
    """Returns the keys that sound at a time, from low to high."""
    begun = notes["onset"] <= second + 0.05
    return np.unique(notes["pitch"][begun & (notes["onset"] + notes["duration"] > second)])


def drift(rng: np.random.Generator, seconds: np.ndarray) -> np.ndarray:
    """Draws a slow random curve, and returns its values (about -1 to 1) at these times."""
    rate = 2 * np.pi / rng.uniform(4, 15, (3, 1))
    return np.sin(rate * seconds + rng.uniform(0, 2 * np.pi, (3, 1))).mean(0) * 1.5


def rubato(
    rng: np.random.Generator, parts: Sequence[np.ndarray], tempo: float
) -> list[np.ndarray]:
    """Plays all parts in one varying tempo, and shifts each note by a few milliseconds.

    Args:
      rng: draws tempo changes and shifts.
      parts: notes of each part, in the time of the score.
      tempo: factor on the speed of the score.
    """
    last = max((n["onset"] + n["duration"]).max(initial=0) for n in parts)
    grid = np.arange(0, last + 1, 0.05)
    pace = tempo * (1 + rng.uniform(0.02, 0.07) * drift(rng, grid))
    played = np.cumsum(0.05 / pace) - 0.05 / pace[0]
    performed = []
    for notes in map(np.copy, parts):
        end = np.interp(notes["onset"] + notes["duration"], grid, played)
        spread = rng.uniform(0.004, 0.01)
        jitter = rng.normal(0, spread, len(notes)).clip(-0.025, 0.025)
        notes["onset"] = (np.interp(notes["onset"], grid, played) + jitter).clip(0)
        notes["duration"] = (end - notes["onset"]).clip(0.04)
        performed.append(np.sort(notes, order=["onset", "pitch"]))
    return performed


def at_piano(
    rng: np.random.Generator, notes: np.ndarray, seconds: float, tuning: float
) -> Performance:
    """Performs notes at the piano: phrased dynamics, louder upper line, pedal.

    Args:
      rng: draws dynamics and pedal.
      notes: notes of the part.
      seconds: length of the control curves.
      tuning: cents above equal temperament at 440 Hz.
    """
    notes = notes.copy()
    upper = np.array([n["pitch"] >= held_keys(notes, n["onset"]).max() for n in notes])
    swell = rng.uniform(5, 18) * drift(rng, notes["onset"])
    force = rng.uniform(50, 80) + swell + 8 * upper + rng.normal(0, 5, len(notes))
    notes["velocity"] = force.clip(15, 120)
    pedal: list[tuple[float, bool]] = []
    if rng.random() < 0.85:  # a new pedal with the bass, pressed just after the onset
        gap, changed = rng.uniform(0.4, 1.2), -9.0
        for onset in notes["onset"][notes["pitch"] < 57]:
            if onset - changed > gap:
                changed = onset
                pedal += [(onset, False), (onset + rng.uniform(0.06, 0.15), True)]
    bend = np.full(int(seconds * CONTROL_RATE) + 1, tuning)
    return Performance(notes, bend, None, pedal)


def at_violin(
    rng: np.random.Generator, notes: np.ndarray, seconds: float, tuning: float
) -> Performance:
    """Performs notes on the violin: bowing by phrase, intonation and vibrato by note.

    Args:
      rng: draws bowing, dynamics, intonation and vibrato.
      notes: notes of the part.
      seconds: length of the control curves.
      tuning: cents above equal temperament at 440 Hz.
    """
    notes = notes.copy()
    for phrase in phrases(notes):
        notes[phrase] = bowed(rng, notes[phrase])
    notes["velocity"] = rng.normal(notes["velocity"], 14).clip(30, 120)
    time = np.arange(int(seconds * CONTROL_RATE) + 1) / CONTROL_RATE
    bend = np.full(len(time), tuning)
    expression = 92 + rng.uniform(8, 22) * drift(rng, time)
    depths = 0, rng.uniform(4, 15), rng.uniform(12, 32)  # cents
    depth = rng.choice(depths, p=(0.1, 0.4, 0.5))
    scoop = rng.choice([0, rng.uniform(10, 40)], p=[0.6, 0.4])
    for note in notes:
        onset, held = note["onset"], note["duration"]
        here = slice(*np.searchsorted(time, [onset, onset + held]))
        since = time[here] - onset
        starts, rate = rng.uniform(0.08, 0.35), rng.uniform(4.5, 7)
        grows = rng.uniform(0.6, 1.2) * np.clip(since / starts - 0.5, 0, 1)
        bend[here] = tuning + rng.normal(0, 4) - scoop * np.exp(-since / 0.04)
        bend[here] += depth * grows * np.sin(2 * np.pi * rate * since)
        if held > 0.5:  # long notes swell
            expression[here] += rng.uniform(0, 25) * np.sin(np.pi * since / held)
    return Performance(notes, bend, expression.clip(35, 127), [])


def bowed(rng: np.random.Generator, phrase: np.ndarray) -> np.ndarray:
    """Shortens a phrase's notes as its bowing requires.

    Legato, detached or off the string is drawn, unless notes are marked as slurred or
    brief already.
    """
    phrase = phrase.copy()
    if not (phrase["slurred"] | phrase["brief"]).any():
        is_short = np.median(phrase["duration"]) < 0.3
        bowing = rng.choice(["legato", "detached", "brief"], p=_BOWINGS[bool(is_short)])
        if bowing == "legato":
            bow = rng.integers(2, 9)  # notes in one stroke
            phrase["slurred"] = np.arange(len(phrase)) % bow > 0
            phrase["slurred"][1:] &= np.diff(phrase["pitch"]) != 0
            phrase["slurred"][1:] &= np.diff(phrase["onset"]) > 0.03  # not a double stop
        phrase["brief"] = bowing == "brief"
    connected = np.append(phrase["slurred"][1:], False)
    share = np.where(phrase["brief"], rng.uniform(0.3, 0.6), rng.uniform(0.75, 0.97))
    phrase["duration"] *= np.where(connected, 1, share)
    phrase["duration"] = phrase["duration"].clip(0.05)
    return phrase
