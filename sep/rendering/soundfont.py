"""Plays SoundFonts with TinySoundFont.

Shapes: T sample, C channel (2).
"""

import numpy as np
import tinysoundfont

from sep.errors import UserError
from sep.rendering import RATE, midi
from sep.rendering.instruments import Instrument
from sep.rendering.midi import Event
from sep.rendering.performance import Performance


def play(
    instrument: Instrument,
    rng: np.random.Generator,
    performance: Performance,
    seconds: float,
) -> np.ndarray:
    """Plays a SoundFont's preset: wave_TC.

    TinySoundFont has no pedal: notes are lengthened instead. `rng` is not used.

    Raises:
      UserError: the file is not a SoundFont, or lacks the preset.
    """
    synth = _load(instrument)
    controls = [event for event in midi.curves(performance) if event[2] != midi.PEDAL]
    waves, position = [np.zeros((0, 2), np.float32)], 0

    def render_up_to(sample: int) -> None:
        nonlocal position
        if sample > position:
            block = np.frombuffer(synth.generate(sample - position), np.float32)
            waves.append(block.reshape(-1, 2).copy())
            position = sample

    for event in midi.timeline(midi.held_on(performance), controls, seconds):
        render_up_to(event.sample)
        _send(synth, event)
    render_up_to(round(seconds * RATE))
    return np.concatenate(waves)


def _load(instrument: Instrument) -> tinysoundfont.Synth:
    """Returns a synthesiser with the instrument's preset on channel 0.

    Raises:
      UserError: as `play`.
    """
    synth = tinysoundfont.Synth(gain=-6, samplerate=RATE)
    try:
        font = synth.sfload(str(instrument.path))
    except Exception as error:  # the library raises plain exceptions
        raise UserError(f"{instrument.path}: no usable SoundFont ({error})") from None
    try:
        synth.program_select(0, font, 0, instrument.preset)
    except Exception:  # again a plain exception
        raise UserError(
            f"{instrument.path}: has no preset {instrument.preset} in bank 0; "
            "choose one that it has"
        ) from None
    return synth


def _send(synth: tinysoundfont.Synth, event: Event) -> None:
    if event.kind == midi.ON:
        synth.noteon(0, event.target, int(event.value))
    elif event.kind == midi.OFF:
        synth.noteoff(0, event.target)
    elif event.target == midi.BEND:
        wheel = 8192 + np.clip(event.value / midi.BEND_CENTS, -1, 1) * 8191
        synth.pitchbend(0, int(wheel))
    else:
        synth.control_change(0, event.target, int(event.value))
