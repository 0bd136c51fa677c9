"""Files of integers that never clip: one gain for all, if any needs one.

Which gain is known once all is there. So what is to be written waits in a temporary file
of floating point, unless the files can hold any level themselves.
"""

import contextlib
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from sep.audio.encodings import Encoding
from sep.audio.kinds import BLOCK, About, Format
from sep.audio.writing import Encoder, writers


class Takes:
    """Where waves go, block by block.

    Attributes:
      gain: that was applied to all of them, at most 1; known once all is written.
    """

    def __init__(self, files: list[Encoder]):
        self.gain, self._files = 1.0, files

    def write(self, waves_OCT: np.ndarray) -> None:
        """Appends a block (O, C, T) to the O files."""
        for file, wave_CT in zip(self._files, waves_OCT, strict=True):
            file.write(wave_CT.T)


class _Waiting(Takes):
    """Keeps all in a temporary file until the loudest sample is known."""

    def __init__(self, files: list[Encoder], spool, bits: int, channels: int):
        super().__init__(files)
        # 32-bit floats hold what up to 24 bits need.
        self._dtype = np.float64 if bits > 24 else np.float32
        self._spool, self._channels = spool, channels
        self._highest = 1 - 2.0 ** (1 - bits) if bits else 1.0
        self._half = 2.0**-bits if bits else 0.0  # a step's; by so much rounding forgives
        self._loudest, self._lowest = 0.0, 0.0

    def write(self, waves_OCT: np.ndarray) -> None:
        self._loudest = max(self._loudest, float(waves_OCT.max()))
        self._lowest = min(self._lowest, float(waves_OCT.min()))
        # In blocks of one size but for the last, each (T, O, C).
        self._spool.write(np.moveaxis(waves_OCT, -1, 0).astype(self._dtype).tobytes())

    def finish(self) -> None:
        """Completes the files."""
        if self._loudest >= self._highest + self._half:
            self.gain = self._highest / self._loudest
        if -self._lowest > 1 + self._half:
            self.gain = min(self.gain, -1 / self._lowest)
        self._spool.seek(0)
        shape = -1, len(self._files), self._channels
        size = BLOCK * shape[1] * shape[2] * np.dtype(self._dtype).itemsize
        while block := self._spool.read(size):
            block_TOC = np.frombuffer(block, self._dtype).reshape(shape) * self.gain
            for file, wave_TC in zip(
                self._files, np.moveaxis(block_TOC, 1, 0), strict=True
            ):
                file.write(wave_TC)


@contextlib.contextmanager
def unclipped(
    paths: Iterable[Path],
    sound: Format,
    length: int,
    encoding: Encoding,
    about: About | None = None,
) -> Iterator[Takes]:
    """As `writers`, for waves that may be louder than the files can hold.

    Raises:
      UserError: they cannot be written.
    """
    paths = list(paths)
    with writers(paths, sound, length, encoding, about) as files:
        if not encoding.clips:
            yield Takes(files)
            return
        # Nameless where the system can do that, so that nothing is left of it.
        with tempfile.TemporaryFile(dir=paths[0].parent) as spool:
            takes = _Waiting(files, spool, encoding.bits, sound.channels)
            yield takes
            takes.finish()
