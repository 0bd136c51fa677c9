"""Makes test tracks of real recordings: solos of several sources, mixed at known levels.

  python -m sep.data pair --split=configs/test_sets/real.toml --recordings=ROOT --out=OUT

The split names the recordings for training, validation and test; one that is in two of
them is refused. OUT/train/{source}/ gets the first as stems to train on, OUT/valid/ and
OUT/test/ the others as tracks for evaluate.py: <track>/{mixture,piano,violin}.flac, 44.1
kHz stereo. From each source come the passages with the fewest pauses, spread evenly over
its recordings; each is mixed at every level of --levels_db, the last source so much louder.
OUT/manifest.json has every file with its hash: the same recordings make the same files.
"""

import hashlib
import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from absl import flags

import sep
from sep import audio, cli
from sep.bars import progress_bar
from sep.data import duets
from sep.data.folders import SPLITS
from sep.errors import UserError
from sep.files import read_toml, replacing

_SPLIT = flags.DEFINE_string(
    "split", None, "TOML file that names recordings.", required=True
)
_RECORDINGS = flags.DEFINE_string("recordings", None, "Folder they are in.", required=True)
_OUT = flags.DEFINE_string("out", None, "Folder to write to.", required=True)
_PASSAGES = flags.DEFINE_integer("passages", 8, "Passages of each source in a split.", 1)
_SECONDS = flags.DEFINE_float("seconds", 10.0, "Length of a passage.", 1.0)
_LEVELS = flags.DEFINE_list("levels_db", ["0", "5", "-5"], "Levels of the last source.")

RATE = 44100


def run() -> None:
    """The command."""
    cli.launch(main)


def main(argv: list[str]) -> None:
    """Reads, cuts, mixes, writes."""
    cli.expect_no_arguments(argv)
    try:
        levels = [float(level) for level in _LEVELS.value]
    except ValueError:
        levels = [math.nan]
    if not all(map(math.isfinite, levels)):
        raise UserError("--levels_db wants numbers, as in 0,5,-5")
    splits = read_split(Path(_SPLIT.value), Path(_RECORDINGS.value))
    out, entries = Path(_OUT.value), []
    refuse_overwriting(splits, out)
    before = files_of(out / "manifest.json") - set(planned_files(splits, levels))
    if left := sorted(name for name in before if (out / name).exists()):
        raise UserError(
            f"{out / left[0]}: is left from another set ({len(left)} files are); delete "
            "them, or choose another --out"
        )
    for split, recordings in splits.items():
        found = [(source, path) for source, paths in recordings.items() for path in paths]
        waves = {
            path: duets.trimmed(audio.read(path, RATE)[0])
            for _, path in progress_bar(found, f"reading {split}", unit="file", leave=False)
        }
        for path, wave_CT in waves.items():
            if not wave_CT.size:
                raise UserError(f"{path}: is silent; leave it out")
        if split == "train":
            for source, path in found:
                place = out / split / source / f"{path.stem}.flac"
                entries.append(write(place, out, sixteen_bit(waves[path])))
        else:
            entries += write_tracks(out, split, recordings, waves, levels)
    text = json.dumps({"version": sep.__version__, "files": entries}, indent=1)
    with replacing(out / "manifest.json") as part:
        part.write_text(text + "\n")
    digest = hashlib.sha256("".join(e["sha256"] for e in entries).encode()).hexdigest()
    print(f"{len(entries)} files in {out}, together sha256 {digest[:16]}")


def planned_files(splits: dict[str, dict[str, list[Path]]], levels) -> Iterator[str]:
    """What a set has, without its list of files; names within it."""
    for split, recordings in splits.items():
        if split == "train":
            for source, paths in recordings.items():
                yield from (f"{split}/{source}/{path.stem}.flac" for path in paths)
            continue
        for number, level in itertools.product(range(_PASSAGES.value), levels):
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


def write_tracks(
    out: Path, split: str, recordings: dict, waves: dict, levels
) -> list[dict]:
    """A split's tracks: every passage at every level."""
    length, frame = round(_SECONDS.value * RATE), RATE // 20
    chosen = {}
    for source, paths in recordings.items():
        of_file = []
        for i, path in enumerate(paths):
            count = _PASSAGES.value // len(paths) + (i < _PASSAGES.value % len(paths))
            starts = duets.busiest(waves[path], length, count, frame)
            if len(starts) < count:
                raise UserError(f"{path}: too short for {count} passages; lower --passages")
            of_file.append([(path, start) for start in starts])
        # In turn from each recording.
        turns = range(max(map(len, of_file)))
        chosen[source] = [cuts[k] for k in turns for cuts in of_file if k < len(cuts)]
    entries = []
    for number in range(_PASSAGES.value):
        places = [cuts[number] for cuts in chosen.values()]
        passages = [duets.stereo(waves[p][:, s : s + length]) for p, s in places]
        for level in levels:
            stems = duets.mix(passages, level)
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
