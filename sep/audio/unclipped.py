"""Writes files without clipping, with one gain for all of them.

The gain is known only after the last sample. Until then the samples are kept in a
temporary file of floating point, unless the files themselves are floating point.
"""

import contextlib
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

import numpy as np

from sep.audio.encodings import Encoding
from sep.audio.kinds import BLOCK, About, Format
from sep.audio.writing import Encoder, writers


class Outputs:
    """Files that are written together, block by block.

    Attributes:
      gain: the gain of all files, at most 1; final when the files are complete.
    """

    def __init__(self, files: list[Encoder]):
        self.gain, self._files = 1.0, files

    def write(self, waves_OCT: np.ndarray) -> None:
        """Appends a block (O, C, T) to the O files."""
        for file, wave_CT in zip(self._files, waves_OCT, strict=True):
            file.write(wave_CT.T)


class _SpooledOutputs(Outputs):
    """Keeps all samples in a temporary file until the peak is known."""

    def __init__(
        self, files: list[Encoder], spool: IO[bytes], bits: int, channels: int
    ) -> None:
        super().__init__(files)
        # 32-bit floats are exact for integers of up to 24 bits.
        self._dtype = np.dtype(np.float64 if bits > 24 else np.float32)
        self._spool, self._channels = spool, channels
        self._highest = 1 - 2.0 ** (1 - bits) if bits else 1.0
        self._half_step = 2.0**-bits if bits else 0.0  # rounding corrects an excess of it
        self._loudest, self._lowest = 0.0, 0.0

    def write(self, waves_OCT: np.ndarray) -> None:
        self._loudest = max(self._loudest, float(waves_OCT.max()))
        self._lowest = min(self._lowest, float(waves_OCT.min()))
        # As (T, O, C): the file can then be read in blocks of another length.
        self._spool.write(np.moveaxis(waves_OCT, -1, 0).astype(self._dtype).tobytes())

    def finish(self) -> None:
        """Determines the gain, and writes the files."""
        if self._loudest >= self._highest + self._half_step:
            self.gain = self._highest / self._loudest
        if -self._lowest > 1 + self._half_step:
            self.gain = min(self.gain, -1 / self._lowest)
        self._spool.seek(0)
        shape = -1, len(self._files), self._channels
        size = BLOCK * shape[1] * shape[2] * self._dtype.itemsize
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
) -> Iterator[Outputs]:
    """Opens files as `writers` does, for waves that may exceed full scale.

    Args:
      paths: of the O files.
      sound: sample rate and channels.
      length: in samples.
      encoding: of the files.
      about: their metadata.

    Raises:
      UserError: the files cannot be written.
    """
    paths = list(paths)
    with writers(paths, sound, length, encoding, about) as files:
        if not encoding.clips:
            yield Outputs(files)
            return
        # It has no name where the system supports that, and cannot be left behind.
        with tempfile.TemporaryFile(dir=paths[0].parent) as spool:
            outputs = _SpooledOutputs(files, spool, encoding.bits, sound.channels)
            yield outputs
            outputs.finish()
