"""Recordings as streams of blocks: one pass surveys a recording, another uses it."""

import contextlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soxr

from sep.audio import media, sndfile
from sep.audio.kinds import Format, Header, Reader, place
from sep.errors import UserError

# By suffix; the first match counts. libsndfile reads files of all other suffixes.
READERS: dict[frozenset[str], Callable[[Path], AbstractContextManager[Reader]]] = {
    sndfile.SUFFIXES: sndfile.opened,
    media.SUFFIXES: media.opened,
}
SUFFIXES: frozenset[str] = frozenset().union(*READERS)
_RATES = range(1000, 1_000_001)  # Hz; a second converted from 1 Hz would fill the memory


class Excerpt(NamedTuple):
    """A part of a recording, in seconds."""

    start: float = 0.0
    duration: float = float("inf")

    def samples(self, sample_rate: int) -> tuple[int, float]:
        """Returns its first sample and the one after its last, infinity if at the end."""
        first = round(self.start * sample_rate)
        if self.duration == float("inf"):
            return first, self.duration
        return first, first + max(1, round(self.duration * sample_rate))


WHOLE = Excerpt()


class Survey(NamedTuple):
    """Properties of a recording that was read from end to end."""

    format: Format
    length: int  # samples
    rms: float


def find(path: Path) -> list[Path]:
    """Returns the sound files under a folder, sorted, without hidden files and folders."""
    return sorted(
        found
        for found in path.rglob("*")
        if found.suffix.lower() in SUFFIXES
        and os.path.isfile(found)  # Path.is_file raises in folders without permission
        and not any(part.startswith(".") for part in found.relative_to(path).parts)
    )


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Reader]:
    """Opens a file with the reader for its suffix.

    Raises:
      UserError: it is missing, not a readable file, or not sound.
    """
    _refuse_if_no_file(path)
    suffix = path.suffix.lower()
    readers = (reader for suffixes, reader in READERS.items() if suffix in suffixes)
    with next(readers, sndfile.opened)(path) as sound:
        rate = sound.header.format.sample_rate
        if rate not in _RATES:
            raise UserError(
                f"{path}: its header gives a sample rate of {rate} Hz, outside "
                f"{_RATES.start} to {_RATES.stop - 1} Hz; export it again"
            )
        yield sound


def _refuse_if_no_file(path: Path) -> None:
    """Raises UserError unless `path` is a readable file with contents."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        what = "is a broken link" if path.is_symlink() else "no such file"
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


def blocks(
    path: Path, excerpt: Excerpt = WHOLE, dtype: str = "float32"
) -> Iterator[np.ndarray]:
    """Yields a recording as consecutive blocks (C, T).

    Args:
      path: the file.
      excerpt: the part to read.
      dtype: "float32" or "float64".

    Yields:
      Blocks of at most some 16 thousand samples.

    Raises:
      UserError: the file is missing, not sound, cut short, damaged or without samples, or
        some samples are not finite.
    """
    with _opened(path) as sound:
        rate = sound.header.format.sample_rate
        first, end = excerpt.samples(rate)
        at = first
        for block_TC in sound.blocks(first, dtype):
            if at + len(block_TC) > end:
                block_TC = block_TC[: int(end) - at]
            finite_TC = np.isfinite(block_TC)
            if not finite_TC.all():
                where = place(at + int(finite_TC.all(1).argmin()), rate)
                raise UserError(
                    f"{path}: has samples that are not finite numbers, first at {where}; "
                    "export it again"
                )
            at += len(block_TC)
            yield block_TC.T
            if at == end:
                return
        if at == first == 0:
            raise UserError(f"{path}: has no samples; copy or record it again")
        if at == first:
            raise UserError(
                f"{path}: ends before {excerpt.start:g} s; choose an earlier start"
            )


def header(path: Path) -> Header:
    """Returns a file's header. Raises UserError if it cannot be opened."""
    with _opened(path) as sound:
        return sound.header


def probe(path: Path) -> Format:
    """Returns a file's rate and channels. Raises UserError if it cannot be opened."""
    return header(path).format


def survey(
    path: Path, excerpt: Excerpt = WHOLE, on_block: Callable[[], None] = lambda: None
) -> Survey:
    """Reads a recording to its end for its length and level.

    Args:
      path: the file.
      excerpt: the part to read.
      on_block: is called after every block; an exception that it raises ends the survey.

    Raises:
      UserError: as `blocks`.
    """
    found = probe(path)
    length, sum_C, power_C = 0, np.zeros(found.channels), np.zeros(found.channels)
    for block_CT in blocks(path, excerpt):
        length += block_CT.shape[1]
        samples_CT = block_CT.astype(np.float64)
        sum_C += samples_CT.sum(1)
        power_C += np.square(samples_CT).sum(1)
        on_block()
    return Survey(found, length, rms(length, sum_C, power_C))


def rms(length: int, sum_C: np.ndarray, power_C: np.ndarray) -> float:
    """Returns the RMS of a wave over all channels, without each channel's mean.

    A constant offset is inaudible, and must not count as level.

    Args:
      length: in samples.
      sum_C: sum of each channel's samples.
      power_C: sum of their squares.
    """
    mean_C = sum_C / length
    variance_C = power_C / length - mean_C**2
    audible_C = variance_C > 1e-12 * mean_C**2  # less is rounding
    return float(np.sqrt((variance_C * audible_C).mean()))


def read(path: Path, sample_rate: int | None = None) -> tuple[np.ndarray, int]:
    """Returns a whole recording (C, T) and its sample rate in Hz.

    Args:
      path: the file.
      sample_rate: rate to convert to; None keeps the file's.

    Raises:
      UserError: as `blocks`.
    """
    found_rate = probe(path).sample_rate
    wave_CT = np.concatenate(list(blocks(path)), axis=1)
    if sample_rate is None or sample_rate == found_rate:
        return wave_CT, found_rate
    return soxr.resample(wave_CT.T, found_rate, sample_rate).T, sample_rate
