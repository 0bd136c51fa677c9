"""Solos to test tracks: the passages where most is played, mixed at known levels.

Shapes: C channel (2), T sample.
"""

import hashlib
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sep import audio
from sep.data.folders import SPLITS
from sep.errors import UserError
from sep.runtime.files import read_toml

RATE = 44100  # Hz, of every file
RMS = 0.1  # of every passage before it is mixed; full scale is 1
_PEAK = 0.95


def trimmed(wave_CT: np.ndarray) -> np.ndarray:
    """Without digital silence at the ends."""
    sounding = np.flatnonzero(np.abs(wave_CT).max(0) > 1e-4)
    return wave_CT[:, sounding[0] : sounding[-1] + 1] if len(sounding) else wave_CT[:, :0]


def stereo(wave_CT: np.ndarray) -> np.ndarray:
    """Mono doubled, the first two of more channels."""
    return np.repeat(wave_CT, 2, 0) if len(wave_CT) == 1 else wave_CT[:2]


def steadiness(wave_CT: np.ndarray, frame: int) -> float:
    """Level of the quietest twentieth of the frames, over the level of all: 0 .. 1."""
    whole = wave_CT[:, : wave_CT.shape[1] // frame * frame]
    level_N = np.sqrt((whole.reshape(len(wave_CT), -1, frame) ** 2).mean((0, 2)))
    return float(np.percentile(level_N, 5) / (np.sqrt((wave_CT**2).mean()) + 1e-9))


def busiest(wave_CT: np.ndarray, length: int, count: int, frame: int) -> list[int]:
    """Starts of the `count` passages with the fewest pauses, none overlapping, in order."""
    starts = range(0, wave_CT.shape[1] - length + 1, length)
    ranked = sorted(starts, key=lambda s: -steadiness(wave_CT[:, s : s + length], frame))
    return sorted(ranked[:count])


def mix(passages: list[np.ndarray], level_db: float) -> list[np.ndarray]:
    """Passages at equal loudness but for the last, which is `level_db` louder.

    Returns 16-bit stems, scaled together so that neither they nor their sum can clip.
    """
    gains = [1.0] * (len(passages) - 1) + [10 ** (level_db / 20)]
    stems = [
        passage * (gain * RMS / (np.sqrt((passage**2).mean()) + 1e-9))
        for passage, gain in zip(passages, gains, strict=True)
    ]
    peak = max(np.abs(wave).max() for wave in (*stems, sum(stems)))
    scale = min(1.0, _PEAK / peak)
    return [np.round(wave * scale * 32767).astype(np.int16) for wave in stems]


def read_split(path: Path, root: Path) -> dict[str, dict[str, list[Path]]]:
    """Recordings by split and source.

    Raises:
      UserError: the file is wrong, or a recording is missing or in two splits, or would
        take the place of another.
    """
    tables = read_toml(path, "table of recordings")
    known = ", ".join(f"[{split}]" for split in SPLITS)
    if unknown := tables.keys() - set(SPLITS):
        raise UserError(f"{path}: {min(unknown)} is none of {known}")
    if not tables:
        raise UserError(f"{path}: is empty; it needs some of {known}")
    splits, split_of = {}, {}
    for split, recordings in tables.items():
        if not isinstance(recordings, dict):
            raise UserError(f"{path}: {split} is no table; write [{split}]")
        for source, names in recordings.items():
            if not (isinstance(names, list) and names and {*map(type, names)} == {str}):
                raise UserError(f"{path}: {source} in [{split}] is no list of recordings")
            if split == "train" and len({Path(name).stem for name in names}) < len(names):
                raise UserError(f"{path}: {source} in [{split}] has two of the same name")
            for place in (root / name for name in names):
                if not place.is_file():
                    raise UserError(f"{place}: no such recording; see --recordings")
                content = hashlib.sha256(place.read_bytes()).digest()
                if split_of.setdefault(content, split) != split:
                    raise UserError(f"{place}: is in {split_of[content]} and in {split}")
                splits.setdefault(split, {}).setdefault(source, []).append(place)
    return splits


def planned_files(
    splits: dict[str, dict[str, list[Path]]], passages: int, levels: list[float]
) -> Iterator[str]:
    """What a set has, without its list of files; names within it."""
    for split, recordings in splits.items():
        if split == "train":
            for source, paths in recordings.items():
                yield from (f"{split}/{source}/{path.stem}.flac" for path in paths)
            continue
        for number, level in itertools.product(range(passages), levels):
            for name in (*recordings, "mixture"):
                yield f"{split}/{track_name(number, level)}/{name}.flac"


def track_name(number: int, level: float) -> str:
    """Of a passage at a level."""
    return f"{number:02d}{level:+g}dB"


def refuse_overwriting(splits: dict[str, dict[str, list[Path]]], out: Path) -> None:
    """Raises UserError if a recording lies where a split will be written."""
    places = [(out / split).resolve() for split in splits]
    for recordings in splits.values():
        for path in itertools.chain(*recordings.values()):
            if any(path.resolve().is_relative_to(place) for place in places):
                raise UserError(f"{path}: might be overwritten; choose another --out")


def files_of(manifest: Path) -> set[str]:
    """What a set had when it was made before."""
    try:
        return {entry["file"] for entry in json.loads(manifest.read_text())["files"]}
    except FileNotFoundError:
        return set()
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{manifest}: is no list of files; choose another --out") from None


def write_tracks(
    out: Path,
    split: str,
    recordings: dict,
    waves: dict,
    passages: int,
    seconds: float,
    levels: list[float],
) -> list[dict]:
    """A split's tracks: every passage at every level."""
    length, frame = round(seconds * RATE), RATE // 20
    chosen = {}
    for source, paths in recordings.items():
        of_file = []
        for i, path in enumerate(paths):
            count = passages // len(paths) + (i < passages % len(paths))
            starts = busiest(waves[path], length, count, frame)
            if len(starts) < count:
                raise UserError(f"{path}: too short for {count} passages; lower --passages")
            of_file.append([(path, start) for start in starts])
        # In turn from each recording.
        turns = range(max(map(len, of_file)))
        chosen[source] = [cuts[k] for k in turns for cuts in of_file if k < len(cuts)]
    entries = []
    for number in range(passages):
        places = [cuts[number] for cuts in chosen.values()]
        waves_CT = [stereo(waves[p][:, s : s + length]) for p, s in places]
        for level in levels:
            stems = mix(waves_CT, level)
            track = out / split / track_name(number, level)
            named = dict(zip(chosen, stems, strict=True)) | {"mixture": sum(stems)}
            facts = {
                source: {"recording": path.name, "second": round(start / RATE, 3)}
                for source, (path, start) in zip(chosen, places, strict=True)
            }
            for name, wave_CT in named.items():
                entry = write(track / f"{name}.flac", out, wave_CT)
                entries.append(entry | facts.get(name, {}))
    return entries


def sixteen_bit(wave_CT: np.ndarray) -> np.ndarray:
    """As it is unless it would clip."""
    return np.round(wave_CT / max(1.0, np.abs(wave_CT).max()) * 32767).astype(np.int16)


def write(path: Path, out: Path, wave_CT: np.ndarray) -> dict:
    """Writes a file; its name and hash."""
    audio.write(path, wave_CT, RATE)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"file": path.relative_to(out).as_posix(), "sha256": digest}
