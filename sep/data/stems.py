"""Stems of a split, decoded once into a cache; `folders` describes the layout.

Shapes: C channel, T sample, N block of `ACTIVITY_BLOCK` samples.
"""

import hashlib
import os
import threading
from collections.abc import Mapping, Sequence
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
QUIET = 1e-3  # RMS below which a block counts as silent: background noise at most
LOUDEST = float(np.finfo(np.float16).max)  # largest sample that the cache can store
TOO_LOUD = "is thousands of times beyond full scale; export it again"
_TOGETHER = 0.1  # seconds by which the stems of a track may differ: codecs pad
# NumPy parses headers with `ast`, which is not safe in threads before Python 3.12.
_PARSING = threading.Lock()


class Stem(NamedTuple):
    """One decoded recording of one source.

    Attributes:
      entry: file in the cache.
      length: in samples.
      active_N: bool, whether a block is not silent; the last block may be shorter.
    """

    entry: Path
    length: int
    active_N: np.ndarray

    @property
    def wave_CT(self) -> np.ndarray:
        """Maps the float16 samples into memory.

        The map is not kept: it holds a file open, and a data set can have more files than
        a process may open.

        Raises:
          UserError: the file has been removed or damaged since it was decoded.
        """
        try:
            with _PARSING:
                return np.load(self.entry, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise UserError(
                f"{self.entry}: a decoded stem in the cache is missing or damaged "
                f"({error}); run the same command again to decode it again"
            ) from None


class Stems(NamedTuple):
    """The decoded stems of a split.

    Attributes:
      solos: source -> all its recordings, including those of tracks.
      tracks: source -> stem of one piece, aligned in time; None if the source is silent.
    """

    solos: dict[str, list[Stem]]
    tracks: list[dict[str, Stem | None]]

    def unbound(self, source: str) -> list[Stem]:
        """Recordings of a source that belong to no track."""
        of_tracks = [track[source] for track in self.tracks]
        bound = {stem.entry for stem in of_tracks if stem}
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
    """Returns all stems of a split at one sample rate, decoded or from the cache.

    A file that changed since it was decoded is decoded again. A file that cannot be read
    is skipped with a warning, and the other stems of its track are used as solos.

    Args:
      folder: of the split.
      sources: names of the sources.
      sample_rate: in Hz.
      cache: folder for decoded stems; empty: the user's cache folder.
      strict: whether to refuse what would be skipped.
      missing_is_silence: whether a source without a file in a track is silent there.

    Raises:
      UserError: as `folders.checked`; the cache cannot be written; a source has no file
        that can be read; or `strict`, and something would be skipped.
    """
    index = folders.checked(folder, sources, missing_is_silence=missing_is_silence)
    if index.others:
        warn(folders.ignored(index))
    stems = _decode_all(index, sources, sample_rate, cache, strict)
    solos = {
        source: [stems[path] for path in index.files(source) if path in stems]
        for source in sources
    }
    for source, found in solos.items():
        if not found:
            raise UserError(f"{folder}: no recording of {source} can be read; replace them")
    return Stems(solos, _tracks(index, stems, sample_rate, strict))


def _decode_all(
    index: folders.Index,
    sources: Sequence[str],
    sample_rate: int,
    cache: str,
    strict: bool,
) -> dict[Path, Stem]:
    """Returns the stem of each file that can be read; warns of the others, or raises."""
    place = Path(cache) if cache else cache_folder("stems")
    paths = [path for source in sources for path in index.files(source)]
    stems, skipped = {}, []
    # Cached stems open at once; the bar is shown only if decoding takes longer.
    with progress_bar(
        paths, f"reading {index.folder.name}", unit="file", delay=1, leave=False
    ) as progress:
        for path in progress:
            try:
                stems[path] = _stem(path, sample_rate, place)
            except _UnusableError as error:
                if strict:
                    raise
                skipped.append(str(error))
    if skipped:
        skipped.append(f"{index.folder}: {len(skipped)} of {len(paths)} files skipped")
    for problem in skipped:
        warn(problem)
    return stems


def _tracks(
    index: folders.Index, stems: Mapping[Path, Stem], sample_rate: int, strict: bool
) -> list[dict[str, Stem | None]]:
    """Returns the tracks whose stems can all be read and have one length.

    Warns of tracks with stems of unequal lengths, or raises UserError if `strict`.
    """
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
    return tracks


def uneven(track: Path, seconds: dict[str, float]) -> str | None:
    """Returns a line that names a track whose stems differ in length, or None."""
    if max(seconds.values()) - min(seconds.values()) <= _TOGETHER:
        return None
    lengths = ", ".join(f"{name} {value:.1f} s" for name, value in seconds.items())
    return f"{track}: its stems differ in length ({lengths}); not used as a pair"


def activity(wave_CT: np.ndarray) -> np.ndarray:
    """Whether the blocks of a recording are not silent: bool (N,)."""
    length = wave_CT.shape[1]
    starts_N = np.arange(0, length, ACTIVITY_BLOCK)
    power_CN = np.add.reduceat(np.square(wave_CT, dtype=np.float32), starts_N, axis=1)
    count_N = np.minimum(ACTIVITY_BLOCK, length - starts_N)
    return power_CN.mean(0) / count_N > QUIET**2


def excerpts(
    stems: Sequence[Stem], count: int, length: int, rng: np.random.Generator
) -> np.ndarray:
    """Returns random passages (E, T) of recordings, float32, E up to `count`, T = `length`.

    Each passage is of one channel and contains an active block that no other was drawn
    for; E is less than `count` if there are fewer active blocks. Recordings that are too
    short are padded with silence.
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


class _UnusableError(UserError):
    """One recording cannot be used."""


def _stem(path: Path, sample_rate: int, cache: Path) -> Stem:
    """Returns a recording from the cache; decodes it first if needed."""
    entry = _entry(path, sample_rate, cache)
    if stem := _cached(entry):
        return stem
    try:
        wave_CT = _decode(path, sample_rate)
    except UserError as error:
        raise _UnusableError(str(error)) from None
    with replacing(entry) as part, part.open("wb") as file:
        np.save(file, wave_CT, allow_pickle=False)
        np.save(file, activity(wave_CT), allow_pickle=False)
    stem = _cached(entry)
    if not stem:
        raise UserError(f"{entry}: was written but cannot be read; check the disk")
    return stem


def _entry(path: Path, sample_rate: int, cache: Path) -> Path:
    """File in the cache for a recording in its present state."""
    try:
        stat = path.stat()
        identity = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}|{sample_rate}"
    except OSError:  # decoding it will give the reason
        identity = str(path)
    identity += f"|{ACTIVITY_BLOCK}"
    return cache / f"{hashlib.sha256(os.fsencode(identity)).hexdigest()[:32]}.npy"


def _cached(entry: Path) -> Stem | None:
    """Reads an entry, a wave and its activity; None if it is missing or damaged."""
    try:
        with entry.open("rb") as file:
            wave_CT = np.load(entry, mmap_mode="r", allow_pickle=False)
            file.seek(wave_CT.offset + wave_CT.nbytes)
            return Stem(entry, wave_CT.shape[1], np.load(file, allow_pickle=False))
    except (OSError, ValueError, EOFError):
        return None


def _decode(path: Path, sample_rate: int) -> np.ndarray:
    """Reads a recording as float16 (C, T). Raises UserError if it cannot be used."""
    wave_CT, _ = audio.read(path, sample_rate)
    if not wave_CT.size:
        raise UserError(f"{path}: is too short to be used; leave it out")
    if np.abs(wave_CT).max() > LOUDEST:
        raise UserError(f"{path}: {TOO_LOUD}")
    return wave_CT.astype(np.float16, order="C")  # a channel is contiguous
