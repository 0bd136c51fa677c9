"""Performances as the events that samplers take: note-ons, note-offs, controllers.

An event is (when, order, what, value); at one time offs come first, then controls, ons.
"""

import numpy as np

from sep.rendering import RATE
from sep.rendering.performance import CONTROL_RATE, Performance

BEND_CENTS = 200  # the range of SFZ's and SoundFont's pitch wheel, unless they say else
EXPRESSION, PEDAL = 11, 64  # MIDI controllers
OFF, CONTROL, ON = 0, 1, 2


def curves(performance: Performance) -> list[tuple[float, int, object, float]]:
    """(second, order, 'bend' in cents or a controller, value): all but the notes."""
    events = [
        (i / CONTROL_RATE, CONTROL, "bend", cents)
        for i, cents in enumerate(performance.bend)
        if i == 0 or cents != performance.bend[i - 1]
    ]
    if performance.expression is not None:
        events += [
            (i / CONTROL_RATE, CONTROL, EXPRESSION, value)
            for i, value in enumerate(performance.expression)
        ]
    return events + [(s, CONTROL, PEDAL, 127 * down) for s, down in performance.pedal]


def strikes(notes: np.ndarray) -> list[tuple[float, int, int, int]]:
    """(second, order, key, velocity): note-ons and -offs."""
    events, again = [], {}  # when a key is struck next: a later off would end that note
    for note in notes[np.argsort(notes["onset"], kind="stable")[::-1]]:
        onset, key = float(note["onset"]), int(note["pitch"])
        end = min(onset + float(note["duration"]), again.get(key, np.inf))
        again[key] = onset
        events += [(onset, ON, key, int(note["velocity"])), (end, OFF, key, 0)]
    return events


def timeline(notes, controls, seconds: float) -> list[tuple[int, int, object, float]]:
    """All events within the piece, in order, at samples."""
    events = [(int(s * RATE), *rest) for s, *rest in [*controls, *strikes(notes)]]
    last = round(seconds * RATE)
    return sorted((e for e in events if e[0] < last), key=lambda event: event[:2])


def held_on(performance: Performance) -> np.ndarray:
    """The notes, each until the pedal that holds it goes up."""
    notes = performance.notes.copy()
    if performance.pedal:
        second, down = map(np.array, zip(*performance.pedal, strict=True))
        ends = notes["onset"] + notes["duration"]
        index = np.searchsorted(second, ends, side="right") - 1
        held = (index >= 0) & down[index.clip(0)]
        up = np.append(second, np.inf)[(index + 1).clip(0)]
        up = np.minimum(up, ends + 4)
        notes["duration"] = np.where(held, up, ends) - notes["onset"]
    return notes
