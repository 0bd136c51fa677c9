"""Streams of blocks, cut anew: what keeps memory bounded for recordings of any length."""

from collections.abc import Iterable, Iterator

import numpy as np


def recut(blocks: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Blocks (..., any length) as blocks (..., `size`); only the last may be shorter."""
    waiting, count = [], 0
    for block in blocks:
        while count + block.shape[-1] >= size:
            cut = size - count
            yield np.concatenate([*waiting, block[..., :cut]], axis=-1)
            waiting, count, block = [], 0, block[..., cut:]
        if block.shape[-1]:
            waiting.append(block)
            count += block.shape[-1]
    if waiting:
        yield np.concatenate(waiting, axis=-1)


def windows(
    blocks: Iterable[np.ndarray], size: int, hop: int
) -> Iterator[tuple[np.ndarray, bool]]:
    """Windows (..., size) of a stream, every `hop` samples; with each, if it is the last.

    The last alone can be shorter.
    """
    waiting, length = [], 0
    for block in blocks:
        waiting.append(block)
        length += block.shape[-1]
        if length > size:
            buffer = np.concatenate(waiting, -1)
            while buffer.shape[-1] > size:
                yield buffer[..., :size], False
                buffer = buffer[..., hop:]
            waiting, length = [buffer], buffer.shape[-1]
    if length:
        yield np.concatenate(waiting, -1), True
