"""Spectrograms as musicians read them: nine octaves from C1 up, loudness as colour.

A picture is a pyramid of PNG tiles, as maps are: level 0 has 40 columns a second, and
each further level a column for eight of the one below. So a page shows any stretch of a
recording of any length with a few tiles, and they are made in a stream.

Shapes: C channel, T sample, N column, K sample of a window, F bin, R row (upwards).
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
_HEADROOM_DB = 12.0  # music's loudest band lies that far below its loudest sample
_SHADES = 128  # fewer than 256: half the bytes, and no eye sees a step
_COLOURS = ["#05040f", "#1b1147", "#57157e", "#a3307e", "#e55964", "#fca16e", "#fdf3c5"]


def hop_length(sample_rate: int) -> int:
    """Samples to a column of level 0."""
    return max(1, round(sample_rate / _COLUMNS_PER_SECOND))


def num_levels(length: int, sample_rate: int) -> int:
    """Levels, of which the last has at most two tiles."""
    columns, levels = -(-length // hop_length(sample_rate)), 1
    while columns > 2 * TILE:
        columns, levels = -(-columns // POOL), levels + 1
    return levels


def tiles(
    blocks: Iterable[np.ndarray], sample_rate: int, levels: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Tiles (level, power_RN) of a recording's blocks (C, any length), in order.

    Power is 1 for a sine of full scale. All tiles of a level but its last have `TILE`
    columns.
    """
    stream = ((0, tile_RN) for tile_RN in recut(columns(blocks, sample_rate), TILE))
    for level in range(1, levels):
        stream = _with_level(stream, level)
    return stream


def _with_level(stream, level):
    parts = []
    for found, tile_RN in stream:
        yield found, tile_RN
        if found == level - 1:
            starts = np.arange(0, tile_RN.shape[1], POOL)
            counts = np.diff(np.append(starts, tile_RN.shape[1]))
            parts.append(np.add.reduceat(tile_RN, starts, axis=1) / counts)
            if len(parts) == POOL:
                yield level, np.concatenate(parts, axis=1)
                parts = []
    if parts:
        yield level, np.concatenate(parts, axis=1)


def columns(blocks: Iterable[np.ndarray], sample_rate: int) -> Iterator[np.ndarray]:
    """Power in bands (R, some N) of blocks (C, any length), the mean of the channels.

    Column n shows the samples from ``n * hop_length`` to the next; its window is centred
    on them.
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
        if block_CT is None:  # the end: as much silence as the last columns' windows need
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
    """Triangular bands, (R, F) float32, R = 216: evenly spaced on a scale of pitch.

    Where bins lie further apart than bands, a band interpolates between two bins. Bands
    above half the sample rate are empty.
    """
    rows = np.arange(OCTAVES * ROWS_PER_OCTAVE) + 0.5
    centre_R1 = LOWEST * 2 ** (rows[:, None] / ROWS_PER_OCTAVE)
    bin_F = np.arange(n_fft // 2 + 1) * (sample_rate / n_fft)
    width_R1 = np.maximum(centre_R1 * (2 ** (1 / ROWS_PER_OCTAVE) - 1), sample_rate / n_fft)
    weights_RF = np.maximum(0, 1 - np.abs(bin_F - centre_R1) / width_R1)
    return np.where(centre_R1 < sample_rate / 2, weights_RF, 0).astype(np.float32)


class _Bands:
    """A product with few weights (R, F) that are not 0: power (N, F) to (N, R).

    BLAS would take all of them, on threads that keep other work from the cores.
    """

    def __init__(self, weights_RF: np.ndarray):
        used_RF = weights_RF > 0
        used_RF[:, 0] |= ~used_RF.any(1)  # one at least, for reduceat
        row_J, self._bin_J = np.nonzero(used_RF)
        self._weight_J = weights_RF[row_J, self._bin_J]
        self._first_R = np.searchsorted(row_J, np.arange(len(weights_RF)))

    def __call__(self, power_NF: np.ndarray) -> np.ndarray:
        weighted_NJ = power_NF[:, self._bin_J] * self._weight_J
        return np.add.reduceat(weighted_NJ, self._first_R, axis=1)


def shades(power_RN: np.ndarray, exponent: int) -> np.ndarray:
    """Power as shades (R, N) uint8, from 0 to `_SHADES` - 1.

    The brightest is 12 dB below a peak of ``2 ** exponent``, the darkest 70 dB lower.
    """
    top = 20 * np.log10(2.0) * exponent - _HEADROOM_DB
    level_RN = 10 * np.log10(np.maximum(power_RN, 1e-30))
    share_RN = np.clip(1 + (level_RN - top) / _RANGE_DB, 0, 1)
    return np.round((_SHADES - 1) * share_RN).astype(np.uint8)


def png(shades_RN: np.ndarray) -> bytes:
    """Shades as a PNG picture with a palette (W3C, Portable Network Graphics, 2003)."""
    rows, count = shades_RN.shape
    stops_3 = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in _COLOURS])
    at = np.linspace(0, len(_COLOURS) - 1, _SHADES)
    palette = [np.interp(at, range(len(_COLOURS)), channel) for channel in stops_3.T]
    unfiltered = np.pad(shades_RN[::-1], ((0, 0), (1, 0)))  # low notes below
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
