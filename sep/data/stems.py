"""Stems of a split, decoded once for fast reading; `folders` says how they may lie.

Shapes: C channel, T sample, N block of `ACTIVITY_BLOCK` samples.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sep import audio
from sep.data import folders
from sep.data.folders import warn
from sep.errors import UserError
from sep.runtime.cache import cache_folder
from sep.runtime.files import replacing
from sep.runtime.progress import progress_bar

ACTIVITY_BLOCK = 4096  # samples
QUIET = 1e-3  # RMS under which there is background noise at most, and nothing to learn
LOUDEST = float(np.finfo(np.float16).max)  # sample that the cache can hold
TOO_LOUD = "is thousands of times beyond full scale; export it again"
_TOGETHER = 0.1  # seconds that the stems of a track may differ in length: codecs pad


class Stem(NamedTuple):
    """One recording of one source, in the cache."""

    entry: Path
    length: int  # samples
    active_N: np.ndarray  # bool: this block, the last one maybe shorter, is not silent

    @property
    def wave_CT(self) -> np.ndarray:
        """Its float16 samples: mapped, not in memory, and only while they are used.

        A map holds a file open, and a data set may have more files than a process may.

        Raises:
          UserError: the file has been lost, or spoilt, since it was decoded.
        """
        try:
            return np.load(self.entry, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise UserError(
                f"{self.entry}: the cache lost a decoded stem ({error}); the same command "
                "decodes it again and goes on"
            ) from None


class Stems(NamedTuple):
    """One split, decoded."""

    solos: dict[str, list[Stem]]  # all recordings of each source, those of tracks too
    tracks: list[dict[str, Stem | None]]  # those that belong together; None: silent

    def unbound(self, source: str) -> list[Stem]:
        """Recordings of a source that belong to no track."""
        bound = {track[source].entry for track in self.tracks if track[source]}
        return [stem for stem in self.solos[source] if stem.entry not in bound]


def load(
    folder: Path,
    sources: Sequence[str],
    sample_rate: int,
    cache: str,
    *,
    strict: bool,
    missing_is_silence: bool,
) -> Stems:
    """All stems of a split at one sample rate.

    What was decoded before comes from the cache; a file that changed is decoded anew.
    A file that cannot be read is skipped with a warning; what else its track has is used
    as solos.

    Raises:
      UserError: as `folders.checked`, the cache cannot be written, a source has no file
        that can be read, or `strict` and something would be skipped.
    """
    index = folders.checked(folder, sources, missing_is_silence=missing_is_silence)
    if index.others:
        warn(folders.ignored(index))
    place = Path(cache) if cache else cache_folder("stems")
    paths = [path for source in sources for path in index.files(source)]
    stems, skipped = {}, []
    # Shown only once it takes long: what is in the cache opens at once.
    for path in progress_bar(
        paths, f"reading {folder.name}", unit="file", delay=1, leave=False
    ):
        try:
            stems[path] = _stem(path, sample_rate, place)
        except _SpoiltError as error:
            if strict:
                raise
            skipped.append(str(error))
    if skipped:
        skipped.append(f"{folder}: {len(skipped)} of {len(paths)} files skipped")
    for problem in skipped:
        warn(problem)
    solos = {
        source: [stems[path] for path in index.files(source) if path in stems]
        for source in sources
    }
    for source, found in solos.items():
        if not found:
            raise UserError(f"{folder}: no recording of {source} can be read; replace them")
    tracks = []
    for track, files in index.tracks.items():
        if any(path not in stems for paths in files.values() for path in paths):
            continue
        together = {
            name: stems[paths[0]] if paths else None for name, paths in files.items()
        }
        seconds = {name: s.length / sample_rate for name, s in together.items() if s}
        if problem := uneven(track, seconds):
            if strict:
                raise UserError(problem)
            warn(problem)
        else:
            tracks.append(together)
    return Stems(solos, tracks)


def uneven(track: Path, seconds: dict[str, float]) -> str | None:
    """What is wrong with the lengths of a track's stems, if anything is."""
    if max(seconds.values()) - min(seconds.values()) <= _TOGETHER:
        return None
    lengths = ", ".join(f"{name} {value:.1f} s" for name, value in seconds.items())
    return f"{track}: its stems differ in length ({lengths}); not used as a pair"


def activity(wave_CT: np.ndarray) -> np.ndarray:
    """Which blocks of a recording are not silent: bool (N,)."""
    length = wave_CT.shape[1]
    starts_N = np.arange(0, length, ACTIVITY_BLOCK)
    power_CN = np.add.reduceat(np.square(wave_CT, dtype=np.float32), starts_N, axis=1)
    count_N = np.minimum(ACTIVITY_BLOCK, length - starts_N)
    return power_CN.mean(0) / count_N > QUIET**2


def excerpts(
    stems: Sequence[Stem], count: int, length: int, rng: np.random.Generator
) -> np.ndarray:
    """Random passages (E, T) of recordings, float32, E up to `count`, T = `length`.

    Each is of one channel and has another block in it that is not silent; E is less than
    `count` where there are fewer such blocks. Recordings that are too short end in silence.
    """
    starts = [np.flatnonzero(stem.active_N) * ACTIVITY_BLOCK for stem in stems]
    ends = np.cumsum([len(of_one) for of_one in starts])
    chosen = rng.choice(ends[-1], min(count, ends[-1]), replace=False)
    excerpts_ET = np.zeros((len(chosen), length), np.float32)
    for excerpt_T, number in zip(excerpts_ET, np.sort(chosen), strict=True):
        which = np.searchsorted(ends, number, side="right")
        wave_CT = stems[which].wave_CT
        start = starts[which][number - ends[which]]  # counted from the end
        start = max(0, min(start, wave_CT.shape[1] - length))
        part_T = wave_CT[rng.integers(len(wave_CT)), start : start + length]
        excerpt_T[: len(part_T)] = part_T
    return excerpts_ET


class _SpoiltError(UserError):
    """A recording cannot be used; others can."""


def _stem(path: Path, sample_rate: int, cache: Path) -> Stem:
    """A recording from the cache, or decoded into it."""
    entry = _entry(path, sample_rate, cache)
    if stem := _cached(entry):
        return stem
    try:
        wave_CT = _decode(path, sample_rate)
    except UserError as error:
        raise _SpoiltError(str(error)) from None
    with replacing(entry) as part, part.open("wb") as file:
        np.save(file, wave_CT, allow_pickle=False)
        np.save(file, activity(wave_CT), allow_pickle=False)
    return _cached(entry)


def _entry(path: Path, sample_rate: int, cache: Path) -> Path:
    try:
        stat = path.stat()
        identity = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}|{sample_rate}"
    except OSError:  # decoding it will say what is wrong
        identity = str(path)
    identity += f"|{ACTIVITY_BLOCK}"
    return cache / f"{hashlib.sha256(os.fsencode(identity)).hexdigest()[:32]}.npy"


def _cached(entry: Path) -> Stem | None:
    """What an entry holds, a wave and then its activity; None if it is not (whole)."""
    try:
        with entry.open("rb") as file:
            wave_CT = np.load(entry, mmap_mode="r", allow_pickle=False)
            file.seek(wave_CT.offset + wave_CT.nbytes)
            return Stem(entry, wave_CT.shape[1], np.load(file, allow_pickle=False))
    except (OSError, ValueError, EOFError):
        return None


def _decode(path: Path, sample_rate: int) -> np.ndarray:
    """A recording as float16 (C, T). Raises UserError if there is none to be had."""
    wave_CT, _ = audio.read(path, sample_rate)
    if not wave_CT.size:
        raise UserError(f"{path}: is too short to be of use; leave it out")
    if np.abs(wave_CT).max() > LOUDEST:
        raise UserError(f"{path}: {TOO_LOUD}")
    return wave_CT.astype(np.float16, order="C")  # for crops of one channel
