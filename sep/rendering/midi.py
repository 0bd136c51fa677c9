"""Converts performances to the events that samplers take: notes and controllers."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from sep.rendering import RATE
from sep.rendering.performance import CONTROL_RATE, Performance

BEND_CENTS = 200  # default range of the pitch wheel of SFZ and SoundFont
EXPRESSION, PEDAL = 11, 64  # MIDI controllers
BEND = -1  # in place of a controller: the pitch wheel, with a value in cents
OFF, CONTROL, ON = 0, 1, 2  # kinds of events, in their order at one time

TimedEvent = tuple[float, int, int, float]  # an Event, but with a time in seconds


class Event(NamedTuple):
    """One event for a sampler."""

    sample: int  # its time
    kind: int  # OFF, CONTROL or ON
    target: int  # a key for OFF and ON; BEND or a controller for CONTROL
    value: float  # velocity for ON; cents for BEND; the controller's value


def curves(performance: Performance) -> list[TimedEvent]:
    """Converts the control curves and the pedal, that is, all but the notes."""
    events: list[TimedEvent] = [
        (i / CONTROL_RATE, CONTROL, BEND, cents)
        for i, cents in enumerate(performance.bend)
        if i == 0 or cents != performance.bend[i - 1]
    ]
    if performance.expression is not None:
        events += [
            (i / CONTROL_RATE, CONTROL, EXPRESSION, value)
            for i, value in enumerate(performance.expression)
        ]
    return events + [(s, CONTROL, PEDAL, 127 * is_down) for s, is_down in performance.pedal]


def strikes(notes: np.ndarray) -> list[TimedEvent]:
    """Converts notes to note-ons and note-offs."""
    events: list[TimedEvent] = []
    again: dict[int, float] = {}  # when each key is struck next: it ends the note before
    for note in notes[np.argsort(notes["onset"], kind="stable")[::-1]]:
        onset, key = float(note["onset"]), int(note["pitch"])
        end = min(onset + float(note["duration"]), again.get(key, np.inf))
        again[key] = onset
        events += [(onset, ON, key, int(note["velocity"])), (end, OFF, key, 0)]
    return events


def timeline(
    notes: np.ndarray, controls: Iterable[TimedEvent], seconds: float
) -> list[Event]:
    """Returns all events before the end of a piece, in order."""
    events = [
        Event(int(second * RATE), kind, target, value)
        for second, kind, target, value in [*controls, *strikes(notes)]
    ]
    last = round(seconds * RATE)
    return sorted((e for e in events if e.sample < last), key=lambda event: event[:2])


def held_on(performance: Performance) -> np.ndarray:
    """Returns the notes, lengthened until the pedal that holds them is released.

    A pedal holds a note for at most 4 s.
    """
    notes = performance.notes.copy()
    if performance.pedal:
        second, is_down = map(np.array, zip(*performance.pedal, strict=True))
        ends = notes["onset"] + notes["duration"]
        index = np.searchsorted(second, ends, side="right") - 1
        held = (index >= 0) & is_down[index.clip(0)]
        up = np.append(second, np.inf)[(index + 1).clip(0)]
        up = np.minimum(up, ends + 4)
        notes["duration"] = np.where(held, up, ends) - notes["onset"]
    return notes
