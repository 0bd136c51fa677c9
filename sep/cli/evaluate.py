"""Scores a separator on tracks whose stems are known.

  python evaluate.py --data=TEST --out=SCORES

TEST holds one folder a track: TEST/<track>/{mixture,piano,violin}.wav or any other
readable format. SCORES gets scores.csv, a row per track, source and system; the mean of
each system is printed. The first system is the mixture itself, taken for every source:
what a separator must beat. SI-SDR, its improvement (SI-SDRi) and uSDR are in dB.
"""

import csv
from pathlib import Path

from absl import flags

from sep import cli
from sep.errors import UserError
from sep.files import replacing

_MODEL = flags.DEFINE_string(
    "model",
    "duet",
    "A bundled model, a release file (.safetensors) or a training workdir.",
)
_DATA = flags.DEFINE_string("data", None, "Folder of tracks with stems.", required=True)
_OUT = flags.DEFINE_string("out", None, "Folder for scores.csv.", required=True)


def run() -> None:
    """The command, as `evaluate.py` and sep-evaluate call it."""
    cli.launch(main)


def main(argv: list[str]) -> int:
    """What the command does once its flags are parsed."""
    cli.expect_no_arguments(argv)

    # Slow imports, after the flags have been checked.
    from sep.checkpoints import load_model
    from sep.evaluation import COLUMNS, evaluate, table

    model = load_model(_MODEL.value)
    rows, errors = evaluate(model, _MODEL.value, Path(_DATA.value))
    out = Path(_OUT.value)
    with (
        replacing(out / "scores.csv") as part,
        part.open("w", newline="", encoding="utf-8", errors="replace") as file,
    ):
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    print(table(rows))
    print(f"every track: {out / 'scores.csv'}")
    if errors:
        raise UserError(f"{len(errors)} tracks left out: {'; '.join(errors)}")
    return 0
