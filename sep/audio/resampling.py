"""Streams at other sample rates."""

from collections.abc import Iterable, Iterator

import numpy as np
import soxr


def resample(
    waves: Iterable[np.ndarray], from_rate: int, to_rate: int
) -> Iterator[np.ndarray]:
    """Yields a stream of blocks (..., T) at another rate; leading axes are unchanged."""
    if from_rate == to_rate:
        yield from waves
        return
    stream = None
    for wave in waves:
        if stream is None:
            leading = wave.shape[:-1]
            channels = int(np.prod(leading))
            stream = soxr.ResampleStream(from_rate, to_rate, channels, dtype="float32")
        flat = np.ascontiguousarray(wave.reshape(channels, -1).T)
        out = stream.resample_chunk(flat)
        if len(out):
            yield out.reshape(-1, channels).T.reshape(*leading, -1)
    if stream is not None:
        rest = stream.resample_chunk(np.zeros((0, channels), np.float32), last=True)
        yield rest.reshape(-1, channels).T.reshape(*leading, -1)
