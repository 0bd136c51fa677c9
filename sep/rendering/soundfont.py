"""SoundFonts, played by TinySoundFont.

Shapes: T sample, C channel (2).
"""

import numpy as np
import tinysoundfont

from sep.errors import UserError
from sep.rendering import RATE, midi
from sep.rendering.instruments import Instrument
from sep.rendering.performance import Performance


def play(
    instrument: Instrument, rng, performance: Performance, seconds: float
) -> np.ndarray:
    """A SoundFont's preset, by TinySoundFont, which knows no pedal: notes are held on.

    Raises:
      UserError: the file is no SoundFont, or lacks the preset.
    """
    synth = tinysoundfont.Synth(gain=-6, samplerate=RATE)
    try:
        font = synth.sfload(str(instrument.path))
    except Exception as error:  # the library's own, of no better kind
        raise UserError(f"{instrument.path}: no usable SoundFont ({error})") from None
    try:
        synth.program_select(0, font, 0, instrument.preset)
    except Exception:  # the library's own again
        raise UserError(
            f"{instrument.path}: has no preset {instrument.preset} in bank 0; "
            "choose one that it has"
        ) from None
    controls = [event for event in midi.curves(performance) if event[2] != midi.PEDAL]
    waves, now = [np.zeros((0, 2), np.float32)], 0
    last = (round(seconds * RATE), midi.OFF, None, 0)
    for sample, order, what, value in [
        *midi.timeline(midi.held_on(performance), controls, seconds),
        last,
    ]:
        if sample > now:
            block = np.frombuffer(synth.generate(sample - now), np.float32)
            waves.append(block.reshape(-1, 2).copy())
            now = sample
        if order == midi.ON:
            synth.noteon(0, what, value)
        elif what == "bend":
            wheel = 8192 + np.clip(value / midi.BEND_CENTS, -1, 1) * 8191
            synth.pitchbend(0, int(wheel))
        elif order == midi.CONTROL:
            synth.control_change(0, what, int(value))
        elif what is not None:
            synth.noteoff(0, what)
    return np.concatenate(waves)
