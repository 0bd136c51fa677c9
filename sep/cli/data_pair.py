"""Makes test tracks of real recordings: solos of several sources, mixed at known levels.

  python -m sep.data pair --split=configs/test_sets/real.toml --recordings=ROOT --out=OUT

The split lists recordings for training, validation and test; a recording that is in two of
them is refused. OUT/train/{source}/ gets the first as stems for training. OUT/valid/ and
OUT/test/ get the others as tracks for evaluate.py, <track>/{mixture,piano,violin}.flac at
44.1 kHz, stereo. The passages with the fewest pauses are taken from each source, spread
evenly over its recordings. Each is mixed at every level of --levels_db, which is the level
of the last source over the others. OUT/manifest.json lists every file with its hash: the
same recordings give the same files.
"""

import hashlib
import math
from pathlib import Path

from absl import flags

from sep import cli
from sep.errors import UserError

_SPLIT = flags.DEFINE_string(
    "split", None, "TOML file that lists recordings.", required=True
)
_RECORDINGS = flags.DEFINE_string(
    "recordings", None, "Folder that contains the recordings.", required=True
)
_OUT = flags.DEFINE_string("out", None, "Folder to write to.", required=True)
_PASSAGES = flags.DEFINE_integer(
    "passages", 8, "Passages of each source in a split.", lower_bound=1
)
_SECONDS = flags.DEFINE_float("seconds", 10.0, "Length of a passage.", lower_bound=1.0)
_LEVELS = flags.DEFINE_list(
    "levels_db", ["0", "5", "-5"], "Levels of the last source over the others, in dB."
)


def run() -> None:
    """Runs the command, as `python -m sep.data` calls it."""
    cli.launch(main)


def main(argv: list[str]) -> None:
    """Makes the set, and prints the number of files and a hash of all."""
    cli.expect_no_arguments(argv)
    try:
        levels = [float(level) for level in _LEVELS.value]
    except ValueError:
        levels = [math.nan]
    if not all(map(math.isfinite, levels)):
        raise UserError("--levels_db needs numbers, as in 0,5,-5")

    from sep.data import duets  # slow, hence after the flags have been checked

    out = Path(_OUT.value)
    passages = duets.Passages(_PASSAGES.value, _SECONDS.value, levels)
    entries = duets.make_set(Path(_SPLIT.value), Path(_RECORDINGS.value), out, passages)
    digest = hashlib.sha256("".join(e["sha256"] for e in entries).encode()).hexdigest()
    print(f"{len(entries)} files in {out}, together sha256 {digest[:16]}")
