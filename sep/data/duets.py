"""Makes test tracks of solo recordings: passages with few pauses, mixed at known levels.

Shapes: C channel (2), T sample.
"""

import hashlib
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import sep
from sep import audio
from sep.data.folders import SPLITS
from sep.errors import UserError
from sep.runtime.files import read_toml
from sep.runtime.progress import progress_bar
from sep.runtime.record import Record

MANIFEST = "manifest.json"
RATE = 44100  # Hz, of all files that are written
RMS = 0.1  # of every passage before mixing; full scale is 1
_PEAK = 0.95
_FRAME = RATE // 20  # samples over which the level is taken to find pauses

Splits = dict[str, dict[str, list[Path]]]  # split -> source -> recordings
Entry = dict[str, Any]  # what the manifest contains about a file


@dataclass(frozen=True)
class Passages:
    """What is cut from the recordings of a split.

    Attributes:
      count: passages of each source.
      seconds: length of a passage.
      levels: of the last source over the others, in dB; every passage has all of them.
    """

    count: int
    seconds: float
    levels: list[float]


def make_set(split_file: Path, root: Path, out: Path, passages: Passages) -> list[Entry]:
    """Writes a set: stems of the recordings for training, tracks of the others, manifest.

    Args:
      split_file: TOML file, see `read_split`.
      root: folder that its names are relative to.
      out: folder to write to.
      passages: what to cut for the tracks.

    Returns:
      The manifest's entries: file, hash, and the origin of stems.

    Raises:
      UserError: the split is wrong, a recording cannot be used or would be overwritten, or
        `out` contains files of another set.
    """
    splits = read_split(split_file, root)
    refuse_overwriting(splits, out)
    refuse_leftovers(out, set(planned_files(splits, passages)))
    entries = []
    for split, recordings in splits.items():
        waves = _read_recordings(split, recordings)
        if split == "train":
            for source, paths in recordings.items():
                for path in paths:
                    place = out / split / source / f"{path.stem}.flac"
                    entries.append(write(place, out, sixteen_bit(waves[path])))
        else:
            entries += write_tracks(out, split, recordings, waves, passages)
    Record(out / MANIFEST, {}).write({"version": sep.__version__, "files": entries})
    return entries


def _read_recordings(
    split: str, recordings: dict[str, list[Path]]
) -> dict[Path, np.ndarray]:
    """Returns the trimmed recordings of a split.

    Raises:
      UserError: one cannot be read, or is silent.
    """
    paths = [path for source_paths in recordings.values() for path in source_paths]
    with progress_bar(paths, f"reading {split}", unit="file", leave=False) as progress:
        waves = {path: trimmed(audio.read(path, RATE)[0]) for path in progress}
    for path, wave_CT in waves.items():
        if not wave_CT.size:
            raise UserError(f"{path}: is silent; leave it out")
    return waves


def trimmed(wave_CT: np.ndarray) -> np.ndarray:
    """Returns a recording without digital silence at its ends."""
    sounding = np.flatnonzero(np.abs(wave_CT).max(0) > 1e-4)
    return wave_CT[:, sounding[0] : sounding[-1] + 1] if len(sounding) else wave_CT[:, :0]


def stereo(wave_CT: np.ndarray) -> np.ndarray:
    """Returns two channels: mono doubled, or the first two."""
    return np.repeat(wave_CT, 2, 0) if len(wave_CT) == 1 else wave_CT[:2]


def steadiness(wave_CT: np.ndarray, frame: int) -> float:
    """5th percentile of the level of frames, relative to the level of all: 0 to 1."""
    whole = wave_CT[:, : wave_CT.shape[1] // frame * frame]
    level_N = np.sqrt((whole.reshape(len(wave_CT), -1, frame) ** 2).mean((0, 2)))
    return float(np.percentile(level_N, 5) / (np.sqrt((wave_CT**2).mean()) + 1e-9))


def busiest(wave_CT: np.ndarray, length: int, count: int, frame: int) -> list[int]:
    """Returns the starts of up to `count` passages with the fewest pauses, in order.

    Passages start at multiples of their length, hence none overlap.
    """
    starts = range(0, wave_CT.shape[1] - length + 1, length)
    ranked = sorted(starts, key=lambda s: -steadiness(wave_CT[:, s : s + length], frame))
    return sorted(ranked[:count])


def mix(waves: list[np.ndarray], level_db: float) -> list[np.ndarray]:
    """Returns 16-bit stems of equal RMS, the last one louder by `level_db`.

    All are scaled by one factor such that neither they nor their sum clip.
    """
    gains = [1.0] * (len(waves) - 1) + [10 ** (level_db / 20)]
    stems = [
        wave_CT * (gain * RMS / (np.sqrt((wave_CT**2).mean()) + 1e-9))
        for wave_CT, gain in zip(waves, gains, strict=True)
    ]
    peak = max(np.abs(wave_CT).max() for wave_CT in (*stems, sum(stems)))
    scale = min(1.0, _PEAK / peak)
    return [np.round(wave_CT * scale * 32767).astype(np.int16) for wave_CT in stems]


def read_split(path: Path, root: Path) -> Splits:
    """Returns the recordings that a TOML file names: a table per split, a list per source.

    Raises:
      UserError: the file is wrong, a recording is missing or in two splits, or two
        recordings for training would be written to the same file.
    """
    tables = read_toml(path, "table of recordings")
    known = ", ".join(f"[{split}]" for split in SPLITS)
    if unknown := tables.keys() - set(SPLITS):
        raise UserError(f"{path}: unknown split {min(unknown)}; use {known}")
    if not tables:
        raise UserError(f"{path}: is empty; it needs at least one of {known}")
    splits: Splits = {}
    split_of: dict[bytes, str] = {}  # by content
    for split, recordings in tables.items():
        if not isinstance(recordings, dict):
            raise UserError(f"{path}: {split} is not a table; write [{split}]")
        for source, names in recordings.items():
            _check_names(path, split, source, names)
            for place in (root / name for name in names):
                if not place.is_file():
                    raise UserError(f"{place}: no such recording; check --recordings")
                content = hashlib.sha256(place.read_bytes()).digest()
                if (other := split_of.setdefault(content, split)) != split:
                    raise UserError(
                        f"{place}: is in {other} and in {split}; remove it from one of them"
                    )
                splits.setdefault(split, {}).setdefault(source, []).append(place)
    return splits


def _check_names(path: Path, split: str, source: str, names: Any) -> None:
    """Raises UserError unless the value of a source is a list of usable names."""
    if not (isinstance(names, list) and names and {*map(type, names)} == {str}):
        raise UserError(
            f"{path}: {source} in [{split}] is not a list of recordings; write names of "
            "files in brackets"
        )
    if split == "train" and len({Path(name).stem for name in names}) < len(names):
        raise UserError(
            f"{path}: {source} in [{split}] has two recordings of the same name; rename one"
        )


def planned_files(splits: Splits, passages: Passages) -> Iterator[str]:
    """Yields the files that a set will have, relative to it, without the manifest."""
    for split, recordings in splits.items():
        if split == "train":
            for source, paths in recordings.items():
                yield from (f"{split}/{source}/{path.stem}.flac" for path in paths)
            continue
        for number, level in itertools.product(range(passages.count), passages.levels):
            for name in (*recordings, "mixture"):
                yield f"{split}/{track_name(number, level)}/{name}.flac"


def track_name(number: int, level: float) -> str:
    """Name of the track of a passage at a level in dB."""
    return f"{number:02d}{level:+g}dB"


def refuse_overwriting(splits: Splits, out: Path) -> None:
    """Raises UserError if a recording lies in a folder that will be written to."""
    places = [(out / split).resolve() for split in splits]
    for recordings in splits.values():
        for path in itertools.chain(*recordings.values()):
            if any(path.resolve().is_relative_to(place) for place in places):
                raise UserError(f"{path}: might be overwritten; choose another --out")


def refuse_leftovers(out: Path, planned: set[str]) -> None:
    """Raises UserError if files of an earlier set are in `out` that are not planned now."""

    def left(before: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
        names = {entry["file"] for entry in before["files"]} - planned
        found = sorted(name for name in names if (out / name).exists())
        return [f"{found[0]}, {len(found)} in all"] if found else []

    Record(out / MANIFEST, {}, left).claim(
        "contains files of another set",
        "delete them, or choose another --out",
        "the manifest of a set",
    )


def write_tracks(
    out: Path,
    split: str,
    recordings: dict[str, list[Path]],
    waves: dict[Path, np.ndarray],
    passages: Passages,
) -> list[Entry]:
    """Writes every passage at every level as a track; returns the manifest's entries.

    Raises:
      UserError: a recording is too short.
    """
    length = round(passages.seconds * RATE)
    chosen = {
        source: _cuts(paths, waves, length, passages.count)
        for source, paths in recordings.items()
    }
    entries = []
    for number in range(passages.count):
        places = [cuts[number] for cuts in chosen.values()]
        waves_CT = [stereo(waves[p][:, s : s + length]) for p, s in places]
        origins = {
            source: {"recording": path.name, "second": round(start / RATE, 3)}
            for source, (path, start) in zip(chosen, places, strict=True)
        }
        for level in passages.levels:
            stems = mix(waves_CT, level)
            track = out / split / track_name(number, level)
            mixture = sum(stems[1:], start=stems[0])
            named = dict(zip(chosen, stems, strict=True)) | {"mixture": mixture}
            for name, wave_CT in named.items():
                entry = write(track / f"{name}.flac", out, wave_CT)
                entries.append(entry | origins.get(name, {}))
    return entries


def _cuts(
    paths: list[Path], waves: dict[Path, np.ndarray], length: int, count: int
) -> list[tuple[Path, int]]:
    """Returns recording and first sample of `count` passages, from each path in turn.

    Raises:
      UserError: a recording is too short for its share of the passages.
    """
    cuts_of_paths = []
    for i, path in enumerate(paths):
        share = count // len(paths) + (i < count % len(paths))
        starts = busiest(waves[path], length, share, _FRAME)
        if len(starts) < share:
            raise UserError(f"{path}: too short for {share} passages; lower --passages")
        cuts_of_paths.append([(path, start) for start in starts])
    turns = range(max(map(len, cuts_of_paths)))
    return [cuts[turn] for turn in turns for cuts in cuts_of_paths if turn < len(cuts)]


def sixteen_bit(wave_CT: np.ndarray) -> np.ndarray:
    """Converts to 16 bits; scales the recording down if it would clip."""
    return np.round(wave_CT / max(1.0, np.abs(wave_CT).max()) * 32767).astype(np.int16)


def write(path: Path, out: Path, wave_CT: np.ndarray) -> Entry:
    """Writes a file; returns its name relative to `out`, and its hash."""
    audio.write(path, wave_CT, RATE)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"file": path.relative_to(out).as_posix(), "sha256": digest}
