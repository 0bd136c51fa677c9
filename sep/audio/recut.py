"""Streams of blocks, cut into other lengths in bounded memory."""

from collections.abc import Iterable, Iterator

import numpy as np


def recut(blocks: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Yields blocks (..., any length) as blocks (..., `size`); the last may be shorter."""
    waiting: list[np.ndarray] = []
    count = 0
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
    """Yields windows (..., `size`) of a stream, every `hop` samples.

    Yields:
      A window, and whether it is the last. Only the last may be shorter.
    """
    waiting: list[np.ndarray] = []
    length = 0
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
