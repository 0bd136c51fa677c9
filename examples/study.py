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
_TFLOP = flags.DEFINE_float(
    "tflop", 10.0, "Work of a cell of the first round; about 3 minutes on two cores."
)

ROOT = Path(__file__).parent.parent
ROUNDS = (  # folder, times as much work, further flags
    ("all", 1, []),
    ("twelve", 4, ["--from=all", "--best=12"]),
    ("four", 16, ["--from=twelve", "--best=4", "--seeds=2"]),
)


def main(argv: list[str]) -> None:
    """Runs the rounds."""
    out = Path(_OUT.value)
    for name, times, more in ROUNDS:
        more = [flag.replace("--from=", f"--from={out}/") for flag in more]
        command = [
            *(sys.executable, ROOT / "study.py", f"--config={_CONFIG.value}"),
            *(f"--data={_DATA.value}", f"--tests={_TESTS.value}", f"--out={out / name}"),
            *(f"--tflop={times * _TFLOP.value:g}", *more, *argv[1:]),
        ]
        if code := subprocess.run(command).returncode:
            sys.exit(code)


if __name__ == "__main__":
    app.run(main)
