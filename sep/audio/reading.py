"""Recordings as streams of blocks: one pass to survey them, another to use them."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soxr

from sep.audio import media, sndfile
from sep.audio.kinds import Format, Header, place
from sep.errors import UserError

# Who reads what; the first that knows a suffix, and libsndfile what nobody knows.
READERS = {sndfile.SUFFIXES: sndfile.opened, media.SUFFIXES: media.opened}
SUFFIXES = frozenset().union(*READERS)
_RATES = range(1000, 1_000_001)  # Hz; a second converted from 1 Hz would fill the memory


class Excerpt(NamedTuple):
    """A part of a recording, in seconds."""

    start: float = 0.0
    duration: float = float("inf")

    def samples(self, sample_rate: int) -> tuple[int, float]:
        """Its first sample, and the one after its last: infinity is the end."""
        first = round(self.start * sample_rate)
        if self.duration == float("inf"):
            return first, self.duration
        return first, first + max(1, round(self.duration * sample_rate))


WHOLE = Excerpt()


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
def _opened(path: Path) -> Iterator:
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
    suffix, reader = path.suffix.lower(), sndfile.opened
    for suffixes, its_reader in READERS.items():
        if suffix in suffixes:
            reader = its_reader
            break
    with reader(path) as sound:
        rate = sound.header.format.sample_rate
        if rate not in _RATES:
            raise UserError(
                f"{path}: its header says {rate} Hz, as no recording has; export it again"
            )
        yield sound


def blocks(path: Path, excerpt: Excerpt = WHOLE, dtype="float32") -> Iterator[np.ndarray]:
    """A recording as consecutive blocks (C, T) of at most some 16 thousand samples.

    Raises:
      UserError: the file is missing, not sound, cut or damaged, has no samples, or has
        some that are not numbers.
    """
    with _opened(path) as sound:
        rate = sound.header.format.sample_rate
        first, end = excerpt.samples(rate)
        at = first
        for block_TC in sound.blocks(first, dtype):
            if at + len(block_TC) > end:
                block_TC = block_TC[: end - at]
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
            raise UserError(f"{path}: ends before {excerpt.start:g} s, where to start")


def header(path: Path) -> Header:
    """What it says of itself. Raises UserError if it cannot be opened."""
    with _opened(path) as sound:
        return sound.header


def probe(path: Path) -> Format:
    """Its rate and channels, from the header. Raises UserError if it cannot be opened."""
    return header(path).format


def survey(
    path: Path, excerpt: Excerpt = WHOLE, tell: Callable[[], None] = lambda: None
) -> Survey:
    """Reads a recording through: its format, length and level, each channel's mean aside.

    `tell` is called now and then, and may raise to end that.

    Raises:
      UserError: as `blocks`.
    """
    found = probe(path)
    length, sum_C, power_C = 0, 0.0, 0.0
    for block_CT in blocks(path, excerpt):
        length += block_CT.shape[1]
        samples_CT = block_CT.astype(np.float64)
        sum_C += samples_CT.sum(1)
        power_C += np.square(samples_CT).sum(1)
        tell()
    return Survey(found, length, rms(length, sum_C, power_C))


def rms(length: int, sum_C: np.ndarray, power_C: np.ndarray) -> float:
    """Of a wave, by its sums and its sums of squares; each channel's mean aside.

    Nobody hears that, and a recording with an offset is no louder for it.
    """
    mean_C = sum_C / length
    variance_C = power_C / length - mean_C**2
    heard_C = variance_C > 1e-12 * mean_C**2  # less is rounding
    return float(np.sqrt((variance_C * heard_C).mean()))


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
