"""Estimates of the example's stems with many kinds of errors, to score with BSS Eval.

Used by test_bss_eval.py and by benchmarks/bss_eval_vectors.py, which stores the scores of
the reference tools. Only NumPy computes them, so that they stay the same.

Shapes: S source, C channel, T sample.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

RATE = 44100
FIRST, SECONDS = 6 * RATE, 4  # part of the example in which both instruments play


class Case(NamedTuple):
    """Signals to score, and the windows."""

    references_SCT: np.ndarray
    estimates_SCT: np.ndarray
    window: int
    hop: int


def cases(duet: dict[str, np.ndarray]) -> dict[str, Case]:
    """Cases by name; `duet` has the example's waves (C, T) by name."""
    cut = slice(FIRST, FIRST + SECONDS * RATE)
    stereo = np.stack([duet[name][:, cut] for name in ("piano", "violin")])
    stereo = stereo.astype(np.float64)
    mono = stereo.mean(1, keepdims=True)
    near = stereo[:, :, : RATE * 2]
    three = np.stack([stereo[0], stereo[1], np.roll(stereo[1], 7777)])
    found = {f"stereo {name}": _case(stereo, add(stereo)) for name, add in ERRORS.items()}
    found |= {f"mono {name}": _case(mono, ERRORS[name](mono)) for name in MONO}
    rests, pauses = stereo.copy(), _bleed(stereo)
    rests[1, :, RATE : 2 * RATE] = 0
    pauses[0, :, 3 * RATE :] = 0
    found |= {
        "reference rests": _case(rests, _bleed(stereo)),
        "estimate rests": _case(stereo, pauses),
        "overlapping windows": _case(stereo, _bleed(stereo), 2 * RATE, RATE // 2),
        "odd windows": _case(stereo, _noisy(stereo), 30_001, 20_011),
        "whole": _case(near, _bleed(near), near.shape[-1]),
        "mono whole": _case(mono, _gated(mono), mono.shape[-1]),
        "three sources": _case(three, _bleed(three)),
    }
    return found


def _case(references_SCT, estimates_SCT, window=RATE, hop=None) -> Case:
    return Case(references_SCT, estimates_SCT, window, hop or window)


def _noise(like, scale):
    return scale * np.random.default_rng(0).standard_normal(like.shape)


def _filtered(wave, taps):
    return sum(tap * np.roll(wave, lag, -1) for lag, tap in enumerate(taps))


def _bleed(stems):
    return stems + 0.1 * np.roll(stems, 1, 0) + _noise(stems, 1e-4)


def _noisy(stems):
    return stems + _noise(stems, 0.01)


def _gated(stems):
    """Bins of the mixture in which the source is the loudest, and a little noise."""
    frames = stems[..., : stems.shape[-1] // 1024 * 1024].reshape(
        *stems.shape[:-1], -1, 1024
    )
    spectra = np.fft.rfft(frames)
    mask = abs(spectra) == abs(spectra).max(0)
    waves = np.fft.irfft(mask * spectra.sum(0)).reshape(*stems.shape[:-1], -1)
    return np.concatenate([waves, stems[..., waves.shape[-1] :]], -1) + _noise(stems, 1e-5)


ERRORS: dict[str, Callable] = {
    "mixture and noise": lambda x: np.repeat(x.sum(0)[None], len(x), 0) + _noise(x, 1e-3),
    "bleed": _bleed,
    "noise": _noisy,
    "nearly perfect": lambda x: x + _noise(x, 1e-6),
    "half as loud": lambda x: 0.5 * x + _noise(x, 1e-4),
    "filtered": lambda x: _filtered(_bleed(x), [0.5, 0.3, -0.2]),
    "late": lambda x: np.roll(_bleed(x), 100, -1),
    "too late": lambda x: np.roll(_bleed(x), 700, -1),
    "channels swapped": lambda x: _bleed(x)[:, ::-1],
    "clipped": lambda x: np.clip(_bleed(x), -0.03, 0.03),
    "coarse": lambda x: np.round(_bleed(x) * 128) / 128,
    "masks": _gated,
    "sources swapped": lambda x: _bleed(x)[::-1],
    "one channel off": lambda x: _bleed(x) * np.array([1.0, 0.1])[:, None],
}
MONO = (
    "mixture and noise",
    "bleed",
    "noise",
    "nearly perfect",
    "filtered",
    "late",
    "masks",
)
