"""Spectrograms as PNG tiles: nine octaves from C1, evenly spaced in pitch.

The tiles form a pyramid, like those of an online map. Level 0 has 40 columns per second;
each column of a further level is the mean of eight columns of the level below. A page
therefore shows any part of a recording with a few tiles, and tiles are computed in a
stream.

Shapes: C channel, T sample, N column, K sample of a window, F bin, R row (from low to
high pitch), J non-zero weight.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np

from sep.audio.recut import recut

LOWEST = 440 * 2 ** (-45 / 12)  # Hz, the note C1
OCTAVES, ROWS_PER_OCTAVE = 9, 24
TILE = 1000  # columns, a multiple of POOL
POOL = 8
_COLUMNS_PER_SECOND = 40
_WINDOW_SECONDS = 0.09
_RANGE_DB = 70.0
_HEADROOM_DB = 12.0  # distance of the loudest band from the loudest sample in music
_SHADES = 128  # half the bytes of 256, without visible steps
_COLOURS = ["#05040f", "#1b1147", "#57157e", "#a3307e", "#e55964", "#fca16e", "#fdf3c5"]


def hop_length(sample_rate: int) -> int:
    """Samples per column of level 0."""
    return max(1, round(sample_rate / _COLUMNS_PER_SECOND))


def num_levels(length: int, sample_rate: int) -> int:
    """Number of levels, such that the last has at most two tiles."""
    count, levels = -(-length // hop_length(sample_rate)), 1
    while count > 2 * TILE:
        count, levels = -(-count // POOL), levels + 1
    return levels


def tiles(
    blocks: Iterable[np.ndarray], sample_rate: int, levels: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields the tiles of a recording; those of a level come in order.

    Each tile has `TILE` columns, except the last of a level, which may have fewer.

    Args:
      blocks: the recording, (C, any length) each.
      sample_rate: in Hz.
      levels: number of levels, from `num_levels`.

    Yields:
      (level, power_RN): the power in each band is 1 for a sine of full scale.
    """
    stream: Iterator[tuple[int, np.ndarray]] = (
        (0, tile_RN) for tile_RN in recut(columns(blocks, sample_rate), TILE)
    )
    for level in range(1, levels):
        stream = _with_level(stream, level)
    return stream


def _with_level(
    stream: Iterable[tuple[int, np.ndarray]], level: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Adds the tiles of a level to a stream that includes those of the level below."""
    parts: list[np.ndarray] = []
    for tile_level, tile_RN in stream:
        yield tile_level, tile_RN
        if tile_level == level - 1:
            starts = np.arange(0, tile_RN.shape[1], POOL)
            counts = np.diff(np.append(starts, tile_RN.shape[1]))
            parts.append(np.add.reduceat(tile_RN, starts, axis=1) / counts)
            if len(parts) == POOL:
                yield level, np.concatenate(parts, axis=1)
                parts = []
    if parts:
        yield level, np.concatenate(parts, axis=1)


def columns(blocks: Iterable[np.ndarray], sample_rate: int) -> Iterator[np.ndarray]:
    """Yields power in bands, the mean of all channels, as arrays (R, some N).

    Column n covers the samples from ``n * hop_length`` to ``(n + 1) * hop_length``; its
    window is centred on them.

    Args:
      blocks: the recording, (C, any length) each; at least one.
      sample_rate: in Hz.
    """
    hop = hop_length(sample_rate)
    size = 2 ** max(5, round(np.log2(_WINDOW_SECONDS * sample_rate)))
    window_K = np.hanning(size + 1)[:-1].astype(np.float32)
    bands = _Bands(band_weights(sample_rate, size) * (2 / window_K.sum()) ** 2)
    blocks = iter(blocks)
    first_CT = next(blocks)
    before = (size - hop) // 2
    waiting_CT = np.zeros((len(first_CT), before), np.float32)
    length = 0
    for block_CT in chain([first_CT], blocks, [None]):
        if block_CT is None:  # the end: pad with zeros for the last columns' windows
            missing = (-(-length // hop) - 1) * hop + size - before - length
            block_CT = np.zeros((len(first_CT), max(0, missing)), np.float32)
        length += block_CT.shape[1]
        waiting_CT = np.concatenate([waiting_CT, block_CT], axis=1)
        if waiting_CT.shape[1] < size:
            continue
        windows_CNK = np.lib.stride_tricks.sliding_window_view(waiting_CT, size, axis=1)
        frames_CNK = windows_CNK[:, ::hop] * window_K
        spectrum_CNF = np.fft.rfft(frames_CNK)
        power_NF = (spectrum_CNF.real**2 + spectrum_CNF.imag**2).mean(0)
        yield bands(power_NF).T
        waiting_CT = waiting_CT[:, len(power_NF) * hop :]


def band_weights(sample_rate: int, n_fft: int) -> np.ndarray:
    """Returns weights of triangular bands evenly spaced in pitch, (216, F) float32.

    Where bins are further apart than bands, a band interpolates between two bins. Bands
    above half the sample rate have zero weights.
    """
    rows = np.arange(OCTAVES * ROWS_PER_OCTAVE) + 0.5
    centre_R1 = LOWEST * 2 ** (rows[:, None] / ROWS_PER_OCTAVE)
    bin_F = np.arange(n_fft // 2 + 1) * (sample_rate / n_fft)
    width_R1 = np.maximum(centre_R1 * (2 ** (1 / ROWS_PER_OCTAVE) - 1), sample_rate / n_fft)
    weights_RF = np.maximum(0, 1 - np.abs(bin_F - centre_R1) / width_R1)
    return np.where(centre_R1 < sample_rate / 2, weights_RF, 0).astype(np.float32)


class _Bands:
    """Multiplies power (N, F) by sparse weights (R, F), giving (N, R).

    A dense product with BLAS would also multiply the zeros, and its threads would take
    the cores from other work.
    """

    def __init__(self, weights_RF: np.ndarray) -> None:
        used_RF = weights_RF > 0
        used_RF[:, 0] |= ~used_RF.any(1)  # reduceat needs at least one per row
        row_J, self._bin_J = np.nonzero(used_RF)
        self._weight_J = weights_RF[row_J, self._bin_J]
        self._first_R = np.searchsorted(row_J, np.arange(len(weights_RF)))

    def __call__(self, power_NF: np.ndarray) -> np.ndarray:
        weighted_NJ = power_NF[:, self._bin_J] * self._weight_J
        return np.add.reduceat(weighted_NJ, self._first_R, axis=1)


def shades(power_RN: np.ndarray, exponent: int) -> np.ndarray:
    """Returns power as shades (R, N) uint8, from 0 to `_SHADES` - 1.

    The brightest shade is 12 dB below a peak of ``2 ** exponent``, the darkest 70 dB
    below the brightest.
    """
    top = 20 * np.log10(2.0) * exponent - _HEADROOM_DB
    level_RN = 10 * np.log10(np.maximum(power_RN, 1e-30))
    share_RN = np.clip(1 + (level_RN - top) / _RANGE_DB, 0, 1)
    return np.round((_SHADES - 1) * share_RN).astype(np.uint8)


def png(shades_RN: np.ndarray) -> bytes:
    """Returns a PNG file with a palette (W3C, Portable Network Graphics, 2003)."""
    rows, count = shades_RN.shape
    stops_3 = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in _COLOURS])
    at = np.linspace(0, len(_COLOURS) - 1, _SHADES)
    palette = [np.interp(at, range(len(_COLOURS)), channel) for channel in stops_3.T]
    # Rows of a PNG run downwards. Each begins with the number of its filter: 0, none.
    unfiltered = np.pad(shades_RN[::-1], ((0, 0), (1, 0)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data))
        + kind
        + data
        + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in (
            (b"IHDR", struct.pack(">IIBBBBB", count, rows, 8, 3, 0, 0, 0)),
            (b"PLTE", np.stack(palette, axis=1).round().astype(np.uint8).tobytes()),
            (b"IDAT", zlib.compress(unfiltered.tobytes(), 6)),
            (b"IEND", b""),
        )
    )
