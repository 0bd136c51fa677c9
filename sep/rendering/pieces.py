"""Renders one piece: notes to finished stems. Pure, except for the samples that it reads.

Shapes: T sample, C channel (2), R room, L sample of an impulse response.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from sep.errors import UserError
from sep.rendering import RATE, instruments, performance, samplers, scores
from sep.rendering.arrangement import for_violin, vary
from sep.rendering.instruments import Instrument
from sep.rendering.performance import Performance

_PEAK = 10 ** (-3 / 20)  # largest peak of a stem
_SILENT = 1e-6  # RMS up to which a stem is silent


class PieceOptions(NamedTuple):
    """Options that hold for every piece of a dataset."""

    seconds: float  # longest piece
    start: float | None  # second of the score; None: anywhere
    variety: float  # share of pieces that are transposed and arranged
    level_db: float  # each stem is louder or softer by up to this


class RenderedStem(NamedTuple):
    """One source of a piece, and what it was made of."""

    wave_CT: np.ndarray  # int16
    instrument: Instrument
    notes: np.ndarray  # performance.NOTE, as played
    tuning: float  # cents


def render(
    rng: np.random.Generator,
    parts: Sequence[np.ndarray],
    catalogue: Mapping[str, Sequence[Instrument]],
    rooms_RL: np.ndarray,
    options: PieceOptions,
) -> dict[str, RenderedStem]:
    """Renders the stems of one piece; their sum stays below full scale.

    Args:
      rng: draws passage, arrangement, performance, instruments, room and levels.
      parts: notes of the melody and of the piano.
      catalogue: instruments to draw from, as `instruments.catalogue` returns them.
      rooms_RL: impulse responses; without any, the stems are dry.
      options: those of the dataset.

    Returns:
      A stem for each kind of instrument.

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
    waves = _play(rng, drawn, performed, seconds, rooms_RL, options.level_db)
    loudest = max(np.abs(wave_TC).max() for wave_TC in waves.values())
    scale = min(_PEAK / loudest, 0.99 / np.abs(sum(waves.values())).max())
    return {
        kind: RenderedStem(
            np.round(wave_TC.T * scale * 32767).astype(np.int16),
            drawn[kind],
            performed[kind].notes,
            tunings[kind],
        )
        for kind, wave_TC in waves.items()
    }


def _play(
    rng: np.random.Generator,
    drawn: Mapping[str, Instrument],
    performed: Mapping[str, Performance],
    seconds: float,
    rooms_RL: np.ndarray,
    level_db: float,
) -> dict[str, np.ndarray]:
    """Plays each part at a random level within `level_db` of an RMS of 1, in one room.

    Returns:
      wave_TC of each kind of instrument.
    """
    place = choose_room(rng, rooms_RL)
    waves = {}
    for kind, played in performed.items():
        wave_TC = samplers.play(drawn[kind], rng, played, seconds)
        loudness = np.sqrt(np.mean(wave_TC**2))
        if not loudness > _SILENT:
            raise UserError(f"{drawn[kind].name}: is silent in this {kind} part")
        gain = 10 ** (rng.uniform(-1, 1) * level_db / 20)
        wave_TC = place(wave_TC * (gain / loudness))
        waves[kind] = faded(panned(rng, wave_TC) if kind == "violin" else wave_TC)
    return waves


def arranged(
    rng: np.random.Generator, parts: Sequence[np.ndarray], options: PieceOptions
) -> list[np.ndarray]:
    """Chooses a passage of a score, arranges some, and applies rubato.

    Returns:
      The notes of the melody and of the piano.

    Raises:
      UserError: a part has no notes in the passage.
    """
    if not all(map(len, parts)):
        raise UserError("violin or piano has nothing to play")
    is_varied, tempo = rng.random() < options.variety, 1.0
    start = options.start
    if start is None:
        start = scores.busy_start(rng, parts, options.seconds)
    melody, piano = scores.cut(parts, start, 1.3 * options.seconds)
    if not len(melody) or not len(piano):
        raise UserError("violin or piano has nothing to play in this passage")
    melody = for_violin(melody)
    if is_varied:
        melody, piano = vary(rng, melody, piano)
        tempo = rng.uniform(0.85, 1.2)
    played = performance.rubato(rng, [melody, piano], tempo)
    played = [notes[notes["onset"] < options.seconds] for notes in played]
    if not all(map(len, played)):
        raise UserError("violin or piano has nothing to play in this passage")
    return played


def choose_room(
    rng: np.random.Generator, rooms_RL: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    """Draws a room, and returns a function that adds it to wave_TC.

    Without rooms, the function returns its argument.
    """
    if not len(rooms_RL):
        return lambda wave_TC: wave_TC
    import scipy.signal  # takes a second to import

    room_L, wet = rooms_RL[rng.integers(len(rooms_RL))], rng.uniform(0.1, 0.6)

    def place(wave_TC: np.ndarray) -> np.ndarray:
        echo_TC = np.empty_like(wave_TC)
        for channel in range(2):  # different random phases widen the sound
            spectrum = np.fft.rfft(room_L, 2 * len(room_L))
            phase = np.cumsum(rng.normal(0, 0.25, len(spectrum)))
            side_L = np.fft.irfft(spectrum * np.exp(1j * phase))
            echo = scipy.signal.fftconvolve(wave_TC[:, channel], side_L)
            echo_TC[:, channel] = echo[: len(wave_TC)]
        return wave_TC + wet * wave_TC.std() / (echo_TC.std() + 1e-9) * echo_TC

    return place


def panned(rng: np.random.Generator, wave_TC: np.ndarray) -> np.ndarray:
    """Moves a stem a little to one side."""
    return wave_TC * np.sqrt(1 + rng.uniform(-0.35, 0.35) * np.array([1, -1]))


def faded(wave_TC: np.ndarray) -> np.ndarray:
    """Fades a stem in and out, against clicks at its ends."""
    wave_TC = wave_TC.copy()
    wave_TC[:100] *= np.linspace(0, 1, 100)[:, None][: len(wave_TC)]
    tail = min(RATE // 4, len(wave_TC))
    wave_TC[-tail:] *= np.linspace(1, 0, tail)[:, None]
    return wave_TC
