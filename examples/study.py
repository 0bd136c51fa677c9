"""The study of docs/study.md: every pair for a little work, the best for more.

  python examples/study.py --data=STEMS --tests=A=TEST_A,B=TEST_B --out=runs/study

or make study STUDY_FLAGS="--data=... --tests=... --out=...". Three rounds of study.py: all
pairs, then the twelve best on the first test for four times as much work, then the four
best of those for four times as much again, with two seeds. Stop it whenever you like, for
the same command goes on. What follows a lone -- goes to every study.py.
"""

import subprocess
import sys
from pathlib import Path

from absl import app, flags

_DATA = flags.DEFINE_string("data", None, "Stems, as for train.py.", required=True)
_TESTS = flags.DEFINE_string("tests", None, "Test sets: NAME=DIR,...", required=True)
_OUT = flags.DEFINE_string("out", "runs/study", "Folder for the rounds.")
_CONFIG = flags.DEFINE_string("base", "configs/study.py", "Config of every cell.")
_JOBS = flags.DEFINE_integer("jobs", 2, "Cells at once, each on its share of the cores.")
_TFLOP = flags.DEFINE_float(
    "tflop", 2.5, "Work of a cell of the first round; about 4 minutes on one core."
)

ROOT = Path(__file__).parent.parent
ROUNDS = (  # folder, times as much work, further flags
    ("all", 1, []),
    ("twelve", 4, ["--from=all", "--best=12"]),
    ("four", 16, ["--from=twelve", "--best=4", "--seeds=2"]),
)
PROBE_SHARE = 0.2  # of the first round's cells: a tenth is 20 steps for the dearest


def main(argv: list[str]) -> None:
    """Runs the rounds."""
    out = Path(_OUT.value)
    for name, times, more in ROUNDS:
        more = [flag.replace("--from=", f"--from={out}/") for flag in more]
        command = [
            *(sys.executable, ROOT / "study.py", f"--config={_CONFIG.value}"),
            *(f"--data={_DATA.value}", f"--tests={_TESTS.value}", f"--out={out / name}"),
            *(f"--tflop={times * _TFLOP.value:g}", f"--probe_share={PROBE_SHARE}"),
            *(f"--jobs={_JOBS.value}", *more, *argv[1:]),
        ]
        if code := subprocess.run(command).returncode:
            sys.exit(code)


if __name__ == "__main__":
    app.run(main)
