"""Sound files: the only place that opens them.

Shapes: C channel, T sample; samples are float32, full scale is 1.
"""

import contextlib
import io
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr

from sep.errors import UserError

SUFFIXES = frozenset(
    f".{name.lower()}" for name in soundfile.available_formats() if name != "RAW"
) | {".aif", ".aifc", ".oga", ".opus"}
# Vorbis writes of millions of samples at once crash libsndfile 1.2; and memory is bounded.
BLOCK = 2**14
_RATES = range(1000, 1_000_001)  # Hz; a second converted from 1 Hz would fill the memory
_WAV_LIMIT = 2**32 - 2**16  # bytes that a plain WAV file can hold


class Format(NamedTuple):
    """What a stem must keep of its recording."""

    sample_rate: int
    channels: int


class Survey(NamedTuple):
    """A recording, read once from end to end."""

    format: Format
    length: int  # samples
    rms: float


def find(path: Path) -> list[Path]:
    """The sound files under a folder, sorted; hidden files and folders left out."""
    return sorted(
        found
        for found in path.rglob("*")
        if found.suffix.lower() in SUFFIXES
        and os.path.isfile(found)  # the method raises where it may not look
        and not any(part.startswith(".") for part in found.relative_to(path).parts)
    )


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[soundfile.SoundFile]:
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        what = "is a link to nothing" if path.is_symlink() else "no such file"
        raise UserError(f"{path}: {what}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be opened ({error.strerror})") from None
    if path.is_dir():
        raise UserError(f"{path}: is a folder, not a sound file")
    if not path.is_file():
        raise UserError(f"{path}: is a pipe or device; save it to a file first")
    if not os.access(path, os.R_OK):
        raise UserError(f"{path}: may not be read; change its permissions")
    if not size:
        raise UserError(f"{path}: is empty (0 bytes); copy or record it again")
    try:
        with soundfile.SoundFile(_name(path)) as file:
            if file.samplerate not in _RATES:
                raise UserError(
                    f"{path}: its header says {file.samplerate} Hz, as no recording has; "
                    "export it again"
                )
            yield file
    except (soundfile.LibsndfileError, TypeError) as error:
        reason = getattr(error, "error_string", "unknown format").rstrip(".")
        if "does not exist" in reason:  # what libsndfile says of an MP3 that is none
            reason = "unknown format"
        raise UserError(
            f"{path}: cannot be read as sound ({reason}); convert it to WAV or FLAC first"
        ) from None


def _name(path: Path) -> str | bytes:
    """As libsndfile wants it: bytes where names need not be UTF-8, text on Windows."""
    return str(path) if os.name == "nt" else os.fsencode(path)


def blocks(path: Path) -> Iterator[np.ndarray]:
    """A recording as consecutive blocks (C, up to `BLOCK`).

    Raises:
      UserError: the file is missing, not sound or broken, has no samples, or has some
        that are not numbers.
    """
    with _opened(path) as file:
        while len(block_TC := file.read(BLOCK, dtype="float32", always_2d=True)):
            if not np.isfinite(block_TC).all():
                raise UserError(
                    f"{path}: has samples that are not finite numbers, before "
                    f"{file.tell() / file.samplerate:.1f} s; export it again"
                )
            yield block_TC.T
        if not file.tell():
            raise UserError(f"{path}: has no samples; copy or record it again")


def probe(path: Path) -> Format:
    """Its rate and channels, from the header. Raises UserError if it cannot be opened."""
    with _opened(path) as file:
        return Format(file.samplerate, file.channels)


def survey(path: Path) -> Survey:
    """Reads a recording through: its format, length and level.

    Raises:
      UserError: as `blocks`.
    """
    found = probe(path)
    length, power = 0, 0.0
    for block_CT in blocks(path):
        length += block_CT.shape[1]
        power += float((block_CT.astype(np.float64) ** 2).mean(0).sum())
    return Survey(found, length, float(np.sqrt(power / length)))


def read(path: Path, sample_rate: int | None = None) -> tuple[np.ndarray, int]:
    """A whole recording (C, T) and its rate in Hz, converted if a rate is given.

    Raises:
      UserError: as `blocks`.
    """
    found_rate = probe(path).sample_rate
    wave_CT = np.concatenate(list(blocks(path)), axis=1)
    if sample_rate in (None, found_rate):
        return wave_CT, found_rate
    return soxr.resample(wave_CT.T, found_rate, sample_rate).T, sample_rate


def resample(
    waves: Iterable[np.ndarray], from_rate: int, to_rate: int
) -> Iterator[np.ndarray]:
    """A stream of blocks (..., T) at another rate; the leading axes stay as they are."""
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


@contextlib.contextmanager
def writers(
    paths: Iterable[Path], sound: Format, length: int, subtype: str
) -> Iterator[list[soundfile.SoundFile]]:
    """Opens WAV or FLAC files to write together: all appear under their names, or none.

    They grow as hidden files beside their places and are renamed at the end. Files too
    large for plain WAV become RF64, which keeps the suffix and is read like it.

    Raises:
      UserError: they cannot be written.
    """
    paths = list(paths)
    width = 4 if subtype == "FLOAT" else int(subtype.removeprefix("PCM_")) // 8
    large = length * sound.channels * width > _WAV_LIMIT
    parts = [path.with_name(f".{path.name}.{os.getpid()}.part") for path in paths]
    made = []
    try:
        made = [f for path in paths for f in path.parents if not f.exists()]
        for path in paths:
            if path.is_dir():
                raise IsADirectoryError(0, f"{path.name} is a folder")
        with contextlib.ExitStack() as stack:
            files = []
            for part, path in zip(parts, paths, strict=True):
                part.parent.mkdir(parents=True, exist_ok=True)
                files.append(
                    stack.enter_context(
                        soundfile.SoundFile(
                            _name(part),
                            "w",
                            samplerate=sound.sample_rate,
                            channels=sound.channels,
                            format=_container(path, large),
                            subtype=subtype,
                        )
                    )
                )
            yield files
        for part, path in zip(parts, paths, strict=True):
            os.replace(part, path)
    except (soundfile.LibsndfileError, OSError) as error:
        reason = getattr(error, "error_string", None) or error.strerror or str(error)
        raise UserError(
            f"{paths[0].parent}: cannot be written ({reason.rstrip('.')}); "
            "choose another folder, or see to its permissions and free space"
        ) from None
    finally:
        for part in parts:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
        for folder in made:  # those that hold nothing
            with contextlib.suppress(OSError):
                folder.rmdir()


def _container(path: Path, large: bool) -> str:
    if path.suffix.lower() == ".flac":
        return "FLAC"
    return "RF64" if large else "WAV"


def write(path: Path, wave_CT: np.ndarray, sample_rate: int, subtype="PCM_16") -> None:
    """Writes one WAV or FLAC file at once, under a temporary name until it is whole.

    Samples of int16 are kept as they are by PCM_16.
    """
    channels, length = wave_CT.shape
    sound = Format(sample_rate, channels)
    with writers([path], sound, length, subtype) as (file,):
        file.write(wave_CT.T)


def encode_flac(integers_CT: np.ndarray, sample_rate: int) -> bytes:
    """24-bit integers (C, T), at most 8 channels, as the bytes of a FLAC file."""
    file = io.BytesIO()
    shifted_TC = integers_CT.T.astype(np.int32) << 8  # libsndfile takes the upper bits
    soundfile.write(file, shifted_TC, sample_rate, format="FLAC", subtype="PCM_24")
    return file.getvalue()
