"""Writes sound files that appear together or not at all."""

import contextlib
import errno
import io
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import soundfile

from sep.audio import sndfile
from sep.audio.encodings import Encoding
from sep.audio.kinds import BLOCK, About, Format, name_for_c
from sep.errors import UserError
from sep.runtime.files import part_of, sweep


class Encoder:
    """A file open for writing."""

    def __init__(self, file: soundfile.SoundFile, bits: int):
        self._file, self._bits = file, bits

    def write(self, wave_TC: np.ndarray) -> None:
        """Appends samples (T, C): floating point, or integers of the type's full scale."""
        for start in range(0, len(wave_TC), BLOCK):
            block_TC = wave_TC[start : start + BLOCK]
            if self._bits:
                block_TC = quantised(block_TC, self._bits)
            try:
                self._file.write(np.ascontiguousarray(block_TC))
            except AssertionError:  # soundfile raises it on a full disk
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from None


def quantised(wave: np.ndarray, bits: int) -> np.ndarray:
    """Returns samples as int32: the nearest integers of `bits` in the upper bits, then 0.

    libsndfile itself rounds down, and takes full scale to be one less than on reading.
    """
    if np.issubdtype(wave.dtype, np.integer):
        wave = wave / 2.0 ** (8 * wave.itemsize - 1)
    top = 2.0 ** (bits - 1)
    # In float64: 32-bit floats cannot represent the largest integers.
    numbers = np.rint(wave.astype(np.float64) * top).clip(-top, top - 1)
    return (numbers * 2.0 ** (32 - bits)).astype(np.int32)


@contextlib.contextmanager
def writers(
    paths: Iterable[Path],
    sound: Format,
    length: int,
    encoding: Encoding,
    about: About | None = None,
) -> Iterator[list[Encoder]]:
    """Opens files to write together: all appear under their names, or none.

    They are written as hidden files beside their places, and renamed at the end. Files
    that are too large for plain WAV become RF64, with the same suffix.

    Args:
      paths: of the files.
      sound: sample rate and channels.
      length: in samples.
      encoding: of the files.
      about: their metadata.

    Raises:
      UserError: the files cannot be written.
    """
    paths, about = list(paths), about or About()
    options = encoding.options(sound, length, len(about.speakers) == sound.channels)
    parts = [part_of(path) for path in paths]
    made: list[Path] = []
    try:
        made = [f for path in paths for f in path.parents if not f.exists()]
        for path in paths:
            if path.is_dir():
                raise IsADirectoryError(0, f"{path.name} is a folder")
        with contextlib.ExitStack() as stack:
            files = []
            for part, path in zip(parts, paths, strict=True):
                part.parent.mkdir(parents=True, exist_ok=True)
                sweep(path)
                file = soundfile.SoundFile(name_for_c(part), "w", **options)
                files.append(stack.enter_context(file))
                sndfile.describe(file, about)
            yield [Encoder(file, encoding.bits) for file in files]
        for part, path in zip(parts, paths, strict=True):
            part.replace(path)
    except (soundfile.LibsndfileError, OSError) as error:
        reason = getattr(error, "error_string", None) or error.strerror or str(error)
        raise UserError(
            f"{paths[0].parent}: cannot be written ({reason.rstrip('.')}); "
            "choose another folder, or check its permissions and free space"
        ) from None
    finally:
        for part in parts:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
        for folder in made:  # rmdir removes only empty ones
            with contextlib.suppress(OSError):
                folder.rmdir()


def write(
    path: Path, wave_CT: np.ndarray, sample_rate: int, subtype: str = "PCM_16"
) -> None:
    """Writes one WAV or FLAC file, under a temporary name until it is complete.

    PCM_16 preserves samples of int16. Samples beyond full scale are clipped.

    Args:
      path: the file; FLAC if its suffix is .flac, else WAV.
      wave_CT: floating point, or integers of the type's full scale.
      sample_rate: in Hz.
      subtype: a sample format of the container; see `CONTAINERS`.

    Raises:
      UserError: the file cannot be written.
    """
    channels, length = wave_CT.shape
    sound = Format(sample_rate, channels)
    container = "flac" if path.suffix.lower() == ".flac" else "wav"
    with writers([path], sound, length, Encoding(container, subtype)) as (file,):
        file.write(wave_CT.T)


def encode_flac(integers_CT: np.ndarray, sample_rate: int) -> bytes:
    """Returns the FLAC file of 24-bit integers (C, T), of at most 8 channels."""
    file = io.BytesIO()
    shifted_TC = integers_CT.T.astype(np.int32) << 8  # libsndfile uses the upper bits
    soundfile.write(file, shifted_TC, sample_rate, format="FLAC", subtype="PCM_24")
    return file.getvalue()
