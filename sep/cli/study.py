r"""Compares representations and architectures, each pair trained on an equal budget.

  python study.py --config=configs/study.py --data=STEMS --tests=A=TEST_A,B=REAL/test \
      --out=STUDY --tflop=8
  python study.py --config=configs/study.py --data=STEMS --tests=A=TEST_A,B=REAL/test \
      --out=STUDY_2 --tflop=30 --from=STUDY --best=12      STUDY, or its results.csv

STEMS is a folder as for train.py, tests are folders as for evaluate.py, each with a name.
The budget of a cell (a pair, a seed) is work, --tflop, counted in its training step, or
--steps: so a busy machine changes nothing. Each architecture's learning rate is the best of
three (--rates), tried for a tenth of the budget on one representation.

STUDY gets results.csv, results.md, plots (heat_map.png, bleeding.png, curves.png,
quality_against_cost.png) and page/, an excerpt by every cell to listen to. Stop whenever
you like: the same command goes on where it stopped, and with more pairs or seeds it adds to
what is there. Small networks leave cores idle: --jobs=2 trains two at once on half of the
cores each.

  python study.py ... --architectures=lstm,tcn --representations=mel,complex --seeds=2
"""

import os
import signal
import sys
from pathlib import Path

from absl import flags
from ml_collections import config_flags

from sep import cli, config
from sep.errors import UserError

_REPRESENTATIONS = flags.DEFINE_list("representations", None, "Only these; default: all.")
_ARCHITECTURES = flags.DEFINE_list("architectures", None, "Only these; default: all.")
_SEEDS = flags.DEFINE_integer(
    "seeds", 1, "Cells of every pair, the first with --config.seed.", lower_bound=1
)
_FROM = flags.DEFINE_list(
    "from", [], "Earlier studies, or their results.csv, whose --best go on here."
)
_BEST = flags.DEFINE_integer(
    "best", None, "So many pairs of --from, by SI-SDR on the first test.", lower_bound=1
)
_TFLOP = flags.DEFINE_float(
    "tflop", None, "Training work of a cell, in TFLOP.", lower_bound=0
)
_STEPS = flags.DEFINE_integer("steps", None, "Training steps of a cell.", lower_bound=1)
_RATES = flags.DEFINE_list(
    "rates", ["3e-4", "1e-3", "3e-3"], "Learning rates to choose from; one: no probes."
)
_PROBE_SHARE = flags.DEFINE_float(
    "probe_share", 0.1, "Share of a cell's budget for the probe of a rate.", 0, 1
)
_JOBS = flags.DEFINE_integer(
    "jobs", 1, "Cells at once, each on its share of the cores.", lower_bound=1
)
_DATA = flags.DEFINE_string("data", None, "Folder of stems.", required=True)
_TESTS = flags.DEFINE_list("tests", None, "Test sets, as NAME=FOLDER,...", required=True)
_EXCERPT = flags.DEFINE_string(
    "excerpt", None, "Track to listen to; default: the first of the first test."
)
_EXCERPT_SECONDS = flags.DEFINE_float("excerpt_seconds", 10.0, "From its middle.", 1)
_OUT = flags.DEFINE_string("out", None, "Folder to write to.", required=True)


def run() -> None:
    """The command, as `study.py` calls it."""
    with cli.plain_flag_errors():  # for it reads the command line here already
        config_flags.DEFINE_config_file(
            "config",
            config.__file__,
            "File with get_config(), and any setting of it: --config.model.lstm.width=80",
        )
    cli.launch(main)


def main(argv: list[str]) -> int:
    """What the command does once its flags are parsed."""
    cli.expect_no_arguments(argv)
    with cli.plain_flag_errors():
        settings = config.settings_of(flags.FLAGS.config)

    # Slow imports, after the flags have been checked.
    from sep.runtime.files import locked
    from sep.study import excerpt, rounds
    from sep.study.plan import SOME_FAILED, Budget, Study, cells

    check_plots()
    if (_TFLOP.value is None) == (_STEPS.value is None):
        raise UserError("give the budget of a cell: --tflop or --steps")
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
        print(f"error: {len(errors)} cells failed", file=sys.stderr)
    return SOME_FAILED if errors else 0


def check_plots() -> None:
    """Before hours of training, looks for what draws their results."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        cure = "pip install -c constraints.txt -e '.[plot]'"
        raise UserError(f"study.py needs more packages: {cure}") from None


def chosen_tests() -> dict[str, Path]:
    """Name and folder of every test set."""
    tests = {}
    for name, folder in cli.named(_TESTS.value, "--tests").items():
        if not os.path.isdir(folder):
            raise UserError(f"--tests: {folder}: no such folder")
        if name == "excerpt":
            raise UserError("--tests: excerpt is the name of another set; choose another")
        tests[name] = Path(folder)
    if not tests:
        raise UserError("--tests names no test set")
    return tests


def chosen_rates() -> tuple[float, ...]:
    """Learning rates to choose from."""
    try:
        rates = tuple(float(text) for text in _RATES.value)
    except ValueError:
        raise UserError(f"--rates: not numbers: {','.join(_RATES.value)}") from None
    if not rates or min(rates) <= 0:
        raise UserError("--rates must be positive numbers")
    return rates


def earlier_rows(test: str) -> list[dict]:
    """What the studies of --from scored on a test set."""
    from sep.study.results import read_rows

    if bool(_FROM.value) != bool(_BEST.value):
        raise UserError("--from and --best go together")
    if _FROM.value and flags.FLAGS["rates"].present:
        raise UserError("--from brings its learning rates: leave --rates out")
    try:
        return read_rows([Path(name) for name in _FROM.value], test)
    except UserError as error:
        raise UserError(f"--from={error}") from None


def chosen_pairs(earlier: list[dict], test: str) -> list[tuple[str, str]]:
    """All pairs of the chosen names, or those that were best elsewhere."""
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
