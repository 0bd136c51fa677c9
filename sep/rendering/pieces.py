"""One piece: notes to finished stems. Pure but for the samples that it plays.

Shapes: T sample, C channel (2), R room, L sample of an impulse response.
"""

from typing import NamedTuple

import numpy as np
import scipy.signal

from sep.errors import UserError
from sep.rendering import RATE, instruments, performance, samplers, scores
from sep.rendering.arrangement import for_violin, vary
from sep.rendering.instruments import Instrument

_PEAK = 10 ** (-3 / 20)


class Options(NamedTuple):
    """What holds for every piece of a set."""

    seconds: float  # longest piece
    start: float | None  # second of the score; None: anywhere
    variety: float  # share of pieces arranged anew
    level_db: float  # each stem is louder or softer by up to this


class Stem(NamedTuple):
    """One source, and how it came about."""

    wave_CT: np.ndarray  # int16
    instrument: Instrument
    notes: np.ndarray  # performance.NOTE, as played
    tuning: float  # cents


def render(rng, parts, catalogue, rooms_RL: np.ndarray, options: Options):
    """The stems of one piece, by kind of instrument; their sum stays below full scale.

    `parts` are melody and piano notes, `catalogue` the instruments to draw from, as
    `instruments.catalogue` gives them; without rooms the stems are dry.

    Raises:
      UserError: there is nothing to play, or an instrument cannot be used.
    """
    melody, piano = arranged(rng, parts, options)
    ends = [
        (notes["onset"] + notes["duration"]).max(initial=0) for notes in (melody, piano)
    ]
    seconds = min(options.seconds, max(ends) + 1)
    tuning = rng.uniform(-15, 15)  # the piano's; the violin is near it
    drawn = {kind: instruments.draw(rng, catalogue[kind]) for kind in catalogue}
    tunings = {"piano": tuning, "violin": tuning + rng.uniform(-6, 6)}
    performed = {
        "piano": performance.at_piano(rng, piano, seconds, tunings["piano"]),
        "violin": performance.at_violin(rng, melody, seconds, tunings["violin"]),
    }
    performed = {k: samplers.playable(drawn[k], p) for k, p in performed.items()}
    place = placed(rng, rooms_RL)
    waves = {}
    for kind, played in performed.items():
        wave_TC = samplers.play(drawn[kind], rng, played, seconds)
        loudness = np.sqrt(np.mean(wave_TC**2))
        if not loudness > 1e-6:
            raise UserError(f"{drawn[kind].name}: plays nothing of this {kind} part")
        gain = 10 ** (rng.uniform(-1, 1) * options.level_db / 20)
        wave_TC = place(wave_TC * (gain / loudness))
        waves[kind] = faded(panned(rng, wave_TC) if kind == "violin" else wave_TC)
    loudest = max(np.abs(wave).max() for wave in waves.values())
    scale = min(_PEAK / loudest, 0.99 / np.abs(sum(waves.values())).max())
    return {
        kind: Stem(
            np.round(wave_TC.T * scale * 32767).astype(np.int16),
            drawn[kind],
            performed[kind].notes,
            tunings[kind],
        )
        for kind, wave_TC in waves.items()
    }


def arranged(rng, parts, options: Options) -> list[np.ndarray]:
    """A passage of a score, perhaps in another form, in human time."""
    if not all(map(len, parts)):
        raise UserError("violin or piano has nothing to play")
    varied, tempo = rng.random() < options.variety, 1.0
    start = options.start
    if start is None:
        start = scores.busy_start(rng, parts, options.seconds)
    melody, piano = scores.cut(parts, start, 1.3 * options.seconds)
    if not len(melody) or not len(piano):
        raise UserError("violin or piano has nothing to play in this passage")
    melody = for_violin(melody)
    if varied:
        melody, piano = vary(rng, melody, piano)
        tempo = rng.uniform(0.85, 1.2)
    human = performance.rubato(rng, [melody, piano], tempo)
    human = [notes[notes["onset"] < options.seconds] for notes in human]
    if not all(map(len, human)):
        raise UserError("violin or piano has nothing to play in this passage")
    return human


def placed(rng, rooms_RL: np.ndarray):
    """A function wave_TC -> wave_TC that puts stems into one room, or leaves them dry."""
    if not len(rooms_RL):
        return lambda wave_TC: wave_TC
    room_L, wet = rooms_RL[rng.integers(len(rooms_RL))], rng.uniform(0.1, 0.6)

    def place(wave_TC: np.ndarray) -> np.ndarray:
        echo_TC = np.empty_like(wave_TC)
        for channel in range(2):  # a wandering phase of its own makes it wide
            spectrum = np.fft.rfft(room_L, 2 * len(room_L))
            phase = np.cumsum(rng.normal(0, 0.25, len(spectrum)))
            side_L = np.fft.irfft(spectrum * np.exp(1j * phase))
            echo = scipy.signal.fftconvolve(wave_TC[:, channel], side_L)
            echo_TC[:, channel] = echo[: len(wave_TC)]
        return wave_TC + wet * wave_TC.std() / (echo_TC.std() + 1e-9) * echo_TC

    return place


def panned(rng, wave_TC: np.ndarray) -> np.ndarray:
    """A little to one side."""
    return wave_TC * np.sqrt(1 + rng.uniform(-0.35, 0.35) * np.array([1, -1]))


def faded(wave_TC: np.ndarray) -> np.ndarray:
    """No click at either end."""
    wave_TC = wave_TC.copy()
    wave_TC[:100] *= np.linspace(0, 1, 100)[:, None][: len(wave_TC)]
    tail = min(RATE // 4, len(wave_TC))
    wave_TC[-tail:] *= np.linspace(1, 0, tail)[:, None]
    return wave_TC
