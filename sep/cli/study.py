r"""Compares representations and architectures, each pair trained on an equal budget.

  python study.py --config=configs/study.py --data=STEMS --tests=A=TEST_A,B=REAL/test \
      --out=STUDY --tflop=8
  python study.py --config=configs/study.py --data=STEMS --tests=A=TEST_A,B=REAL/test \
      --out=STUDY_2 --tflop=30 --from=STUDY --best=12      STUDY, or its results.csv

STEMS is a folder as for train.py; tests are folders as for evaluate.py, each with a name.
The budget of a cell (a pair and a seed) is its work (--tflop), counted in the training
step, or a number of steps (--steps). It does not depend on how busy the machine is. Each
architecture's learning rate is the best of three (--rates), tried for a tenth of the budget
on one representation.

Written to STUDY: results.csv, results.md, plots (heat_map.png, bleeding.png, curves.png,
quality_against_cost.png) and page/, a listening page with an excerpt separated by every
cell. The same command resumes an interrupted study; with more pairs or seeds it adds to
the existing results. Small networks leave cores idle; --jobs=2 trains two cells at once,
each on half of the cores.

  python study.py ... --architectures=lstm,tcn --representations=mel,complex --seeds=2
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import config_flags

from sep import cli, config
from sep.errors import UserError

_REPRESENTATIONS = flags.DEFINE_list(
    "representations", None, "Representations to compare; default: all."
)
_ARCHITECTURES = flags.DEFINE_list(
    "architectures", None, "Architectures to compare; default: all."
)
_SEEDS = flags.DEFINE_integer(
    "seeds", 1, "Cells of every pair, the first with --config.seed.", lower_bound=1
)
_FROM = flags.DEFINE_list(
    "from", [], "Earlier studies, or their results.csv, of which --best pairs are compared."
)
_BEST = flags.DEFINE_integer(
    "best",
    None,
    "Number of pairs to take from --from, by SI-SDR on the first test.",
    lower_bound=1,
)
_TFLOP = flags.DEFINE_float(
    "tflop", None, "Training work of a cell, in TFLOP.", lower_bound=0
)
_STEPS = flags.DEFINE_integer("steps", None, "Training steps of a cell.", lower_bound=1)
_RATES = flags.DEFINE_list(
    "rates", ["3e-4", "1e-3", "3e-3"], "Learning rates to try; a single one is not tried."
)
_PROBE_SHARE = flags.DEFINE_float(
    "probe_share", 0.1, "Budget for trying one rate, as a share of a cell's.", 0, 1
)
_JOBS = flags.DEFINE_integer(
    "jobs", 1, "Cells trained at once, each on its share of the cores.", lower_bound=1
)
_DATA = flags.DEFINE_string("data", None, "Folder of stems.", required=True)
_TESTS = flags.DEFINE_list("tests", None, "Test sets, as NAME=FOLDER,...", required=True)
_EXCERPT = flags.DEFINE_string(
    "excerpt", None, "Track of the excerpt; default: the first one of the first test."
)
_EXCERPT_SECONDS = flags.DEFINE_float(
    "excerpt_seconds", 10.0, "Length of the excerpt, from the middle of its track.", 1
)
_OUT = flags.DEFINE_string("out", None, "Folder to write to.", required=True)


def run() -> None:
    """Runs the command, for `study.py`."""
    with cli.plain_flag_errors():  # defining the flag already reads the command line
        config_flags.DEFINE_config_file(
            "config",
            config.__file__,
            "File with get_config(); or any setting of it: --config.model.lstm.width=80",
        )
    cli.launch(main)


def main(argv: list[str]) -> int:
    """Trains and compares the cells, once flags are parsed.

    Returns:
      SOME_FAILED if a cell failed, or else 0.
    """
    cli.expect_no_arguments(argv)
    with cli.plain_flag_errors():
        settings = config.settings_of(flags.FLAGS.config)

    # Slow to import, therefore after the flags have been checked.
    from sep.runtime.files import locked
    from sep.study import excerpt, rounds
    from sep.study.plan import SOME_FAILED, Budget, Study, cells

    check_plots()
    if (_TFLOP.value is None) == (_STEPS.value is None):
        raise UserError("set the budget of a cell with either --tflop or --steps")
    if _TFLOP.value == 0 or not _PROBE_SHARE.value:
        raise UserError("--tflop and --probe_share must be more than 0")
    out, tests, jobs = Path(_OUT.value), chosen_tests(), _JOBS.value
    study = Study(
        out,
        settings,
        Budget(_STEPS.value, _TFLOP.value),
        Path(_DATA.value),
        tests,
        chosen_rates(),
        _PROBE_SHARE.value,
    )
    test = next(iter(tests))
    earlier = earlier_rows(test)
    first = settings.seed
    planned = cells(chosen_pairs(earlier, test), range(first, first + _SEEDS.value))
    known = {row["architecture"]: row["learning_rate"] for row in earlier}
    study.check()
    signal.signal(signal.SIGTERM, cli.leave)
    with locked(out, "studying"):
        study.claim()
        track = Path(_EXCERPT.value) if _EXCERPT.value else None
        excerpt.write(study, track, _EXCERPT_SECONDS.value)
        commit = cli.commit()
        rates = rounds.chosen_rates(study, planned, known, jobs, commit)
        errors = rounds.train(study, planned, rates, jobs, commit)
        print(rounds.report(study))
    if errors:
        print(
            f"error: {len(errors)} of {len(planned)} cells failed; repeat the command to "
            "try them again",
            file=sys.stderr,
        )
    return SOME_FAILED if errors else 0


def check_plots() -> None:
    """Checks that matplotlib is installed, before hours of training."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        cure = "pip install -c constraints.txt -e '.[plot]'"
        raise UserError(f"study.py: matplotlib is not installed; run {cure}") from None


def chosen_tests() -> dict[str, Path]:
    """Returns the folder of every test set by name."""
    tests = {}
    for name, folder in cli.named(_TESTS.value, "--tests").items():
        if not os.path.isdir(folder):
            raise UserError(f"--tests: {folder}: no such folder; check the path")
        if name == "excerpt":
            raise UserError("--tests: excerpt is a reserved name; choose another")
        tests[name] = Path(folder)
    if not tests:
        raise UserError("--tests names no test set; set --tests=NAME=FOLDER")
    return tests


def chosen_rates() -> tuple[float, ...]:
    """Returns the learning rates to try."""
    try:
        rates = tuple(float(text) for text in _RATES.value)
    except ValueError:
        raise UserError(f"--rates: not numbers: {','.join(_RATES.value)}") from None
    if not rates or min(rates) <= 0:
        raise UserError("--rates must be positive numbers")
    return rates


def earlier_rows(test: str) -> list[dict[str, Any]]:
    """Returns the rows of the studies of --from on a test set."""
    from sep.study.results import read_rows

    if bool(_FROM.value) != bool(_BEST.value):
        raise UserError("--from and --best are only valid together; set both")
    if _FROM.value and flags.FLAGS["rates"].present:
        raise UserError("--from includes learning rates; remove --rates")
    try:
        return read_rows([Path(name) for name in _FROM.value], test)
    except UserError as error:
        raise UserError(f"--from={error}") from None


def chosen_pairs(earlier: list[dict[str, Any]], test: str) -> list[tuple[str, str]]:
    """Returns all pairs of the chosen names, or the best of them in earlier studies.

    Args:
      earlier: rows of the studies of --from; empty without --from.
      test: test set that decides which pairs are the best.
    """
    from itertools import product

    from sep.model.architectures import ARCHITECTURES
    from sep.model.representations import REPRESENTATIONS
    from sep.study.plan import names_among
    from sep.study.results import ranking

    representations = names_among(
        "representation", _REPRESENTATIONS.value or [], REPRESENTATIONS
    )
    architectures = names_among("architecture", _ARCHITECTURES.value or [], ARCHITECTURES)
    pairs = list(product(representations, architectures))
    if not earlier:
        return pairs
    return [pair for pair in ranking(earlier, test) if pair in pairs][: _BEST.value]
