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
import json
import math
from pathlib import Path

from absl import flags

import sep
from sep import audio, cli
from sep.data import duets
from sep.errors import UserError
from sep.runtime.files import replacing
from sep.runtime.progress import progress_bar

_SPLIT = flags.DEFINE_string(
    "split", None, "TOML file that names recordings.", required=True
)
_RECORDINGS = flags.DEFINE_string("recordings", None, "Folder they are in.", required=True)
_OUT = flags.DEFINE_string("out", None, "Folder to write to.", required=True)
_PASSAGES = flags.DEFINE_integer("passages", 8, "Passages of each source in a split.", 1)
_SECONDS = flags.DEFINE_float("seconds", 10.0, "Length of a passage.", 1.0)
_LEVELS = flags.DEFINE_list("levels_db", ["0", "5", "-5"], "Levels of the last source.")


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
    splits = duets.read_split(Path(_SPLIT.value), Path(_RECORDINGS.value))
    out, entries = Path(_OUT.value), []
    duets.refuse_overwriting(splits, out)
    planned = set(duets.planned_files(splits, _PASSAGES.value, levels))
    before = duets.files_of(out / "manifest.json") - planned
    if left := sorted(name for name in before if (out / name).exists()):
        raise UserError(
            f"{out / left[0]}: is left from another set ({len(left)} files are); delete "
            "them, or choose another --out"
        )
    for split, recordings in splits.items():
        found = [(source, path) for source, paths in recordings.items() for path in paths]
        waves = {
            path: duets.trimmed(audio.read(path, duets.RATE)[0])
            for _, path in progress_bar(found, f"reading {split}", unit="file", leave=False)
        }
        for path, wave_CT in waves.items():
            if not wave_CT.size:
                raise UserError(f"{path}: is silent; leave it out")
        if split == "train":
            for source, path in found:
                place = out / split / source / f"{path.stem}.flac"
                entries.append(duets.write(place, out, duets.sixteen_bit(waves[path])))
        else:
            entries += duets.write_tracks(
                out, split, recordings, waves, _PASSAGES.value, _SECONDS.value, levels
            )
    text = json.dumps({"version": sep.__version__, "files": entries}, indent=1)
    with replacing(out / "manifest.json") as part:
        part.write_text(text + "\n")
    digest = hashlib.sha256("".join(e["sha256"] for e in entries).encode()).hexdigest()
    print(f"{len(entries)} files in {out}, together sha256 {digest[:16]}")
