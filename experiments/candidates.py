"""Compares candidates for the bundled model at equal work (docs/model.md).

  python experiments/candidates.py --data=STEMS --tests=B-valid=REAL/valid,unseen=UNSEEN \
      --out=runs/candidates --tflop=120 --jobs=2

A candidate is configs/piano_violin.py with a few settings changed. Each is trained for the
same number of floating-point operations, in a separate process, and scored on the test
sets. Prints a table, the best on the first test first. --only=base,complex chooses
candidates. To resume an interrupted run, repeat the command.
"""

import math
import runpy
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict

from sep import cli, config
from sep.errors import UserError
from sep.evaluation.statistics import ALL, summaries
from sep.evaluation.tables import read_csv
from sep.runtime.files import locked
from sep.study import excerpt, rounds
from sep.study.plan import CURVE, EXCERPT, SCORES, Budget, Job, Study, names_among
from sep.training.settings import RunSettings

_DATA = flags.DEFINE_string("data", None, "Stems, as for train.py.", required=True)
_TESTS = flags.DEFINE_list("tests", None, "Test sets: NAME=DIR,...", required=True)
_OUT = flags.DEFINE_string("out", "runs/candidates", "Folder for the runs.")
_TFLOP = flags.DEFINE_float(
    "tflop", 120.0, "Training work of each; 60 to 120 take an hour of one core."
)
_JOBS = flags.DEFINE_integer(
    "jobs", 2, "Runs at once, each on its share of the cores.", lower_bound=1
)
_ONLY = flags.DEFINE_list("only", None, "Candidates, by name; default: all.")

CONFIGS = Path(__file__).parent.parent / "configs"


def config_of(name: str) -> ConfigDict:
    """Reads a config from configs/."""
    return runpy.run_path(str(CONFIGS / f"{name}.py"))["get_config"]()


FRAMES = config_of("piano_violin").model.log_magnitude
LONG = {name: FRAMES[name] for name in ("n_fft", "hop_length", "onset_n_fft")}
SHORT = {"n_fft": 4096, "hop_length": 1024}
MAGNITUDE = {"model.representation": "magnitude", "model.magnitude": LONG}
UNMIX = config_of("openunmix").model
OPENUNMIX = {
    f"model.{name}": UNMIX[name]
    for name in ("representation", "architecture", "level_free", "magnitude", "openunmix")
} | {"train.learning_rate": 1e-3}
TIMBRE = {"formant_semitones": 1.5, "body_db": 2.0, "tilt_db": 1.5}
STEREO = {"model.stereo": True, "data.channels": 2, "data.batch_size": 2}
ANY_WIDTH = {"data.width": 1.0, "data.diffuse": 1.0, "data.mono": 0.1}
CANDIDATES: dict[str, dict[str, Any]] = {
    "base": {},
    "short frames": {"model.log_magnitude": SHORT},
    "longer frames": {"model.log_magnitude": {"n_fft": 16384, "hop_length": 4096}},
    "close frames": {"model.log_magnitude": {"hop_length": 1024}},
    "narrow": {"model.harmonic": {"width": 32, "depth": 3}},
    "wide": {"model.harmonic": {"width": 80}},
    "flat": {"model.harmonic": {"depth": 2}},
    "deep": {"model.harmonic": {"depth": 6}},
    "no short windows": {"model.log_magnitude": {"onset_n_fft": 0}},
    "shorter windows": {"model.log_magnitude": {"onset_n_fft": 1024}},
    "one window of 93 ms": {"model.log_magnitude": {"onset_n_fft": 4096}},
    "with the level": {"model.level_free": False},
    "magnitude": MAGNITUDE,
    "complex": {"model.representation": "complex", "model.complex": LONG},
    "fnn": {"model.architecture": "fnn"},
    "small fnn": {"model.architecture": "fnn", "model.fnn": {"width": 88}},
    "gru": {"model.architecture": "rnn", "model.rnn": {"kind": "gru", "width": 512}},
    "mingru": {"model.architecture": "rnn", "model.rnn": {"kind": "mingru", "width": 512}},
    "lstm": {"model.architecture": "lstm", "train.learning_rate": 1e-3},
    "small lstm": {"model.architecture": "lstm", "model.lstm": {"width": 72}},
    "openunmix": OPENUNMIX,
    "lstm of openunmix": {
        **OPENUNMIX,
        "model.architecture": "lstm",
        "model.lstm": {"width": 512, "depth": 3},
    },
    "bandsplit": {
        "model.architecture": "bandsplit",
        "model.representation": "complex",
        "model.bandsplit": {"along_time": "lstm", "width": 64},
        "train.learning_rate": 1e-3,
    },
    "l1": {"train.loss": "l1"},
    "l2": {"train.loss": "l2"},
    "spectral": {"train.loss": "spectral"},
    "no solos": {"data.solos": 0.0},
    "more solos": {"data.solos": 0.5},
    "no pairs": {"data.aligned": 0.0},
    "timbre": {"data.timbre": {"piano": TIMBRE, "violin": TIMBRE}},
    "rooms": {"data.room": 0.3},
    "stereo": STEREO | ANY_WIDTH,  # either instrument may be the wider one
    "stereo as recorded": STEREO,
    "weight decay": {"train.weight_decay": 0.1},
    "stochastic depth": {"model.harmonic": {"dropout": 0.1}},
    "no average": {"train.ema_decay": 0.0},
    "long crops": {"data.crop_seconds": 6.0, "data.batch_size": 2},
    "small batch": {"data.batch_size": 2},
    "large batch": {"data.batch_size": 8},
    "slower": {"train.learning_rate": 1e-3},
    "faster": {"train.learning_rate": 1e-2},
}


def settings_of(changes: Mapping[str, Any]) -> RunSettings:
    """Settings of the bundled model with some changed.

    Args:
      changes: new values by name, "model.stereo". A dict changes only the settings of a
        block that it names.
    """
    settings = config_of("piano_violin")
    settings.separation.wiener_seconds = 0.0  # networks are compared without the filter
    for name, value in changes.items():
        part, key = name.split(".")
        settings[part].update({key: value})
    return config.settings_of(settings)


def main(argv: list[str]) -> int:
    """Trains the candidates that are not finished and prints the table.

    Returns:
      1 if a candidate failed, or else 0.
    """
    tests = {
        name: Path(place) for name, place in cli.named(_TESTS.value, "--tests").items()
    }
    cli.expect_no_arguments(argv)
    if EXCERPT in tests:
        raise UserError(f"--tests: {EXCERPT} is a reserved name; choose another")
    budget = Budget(None, _TFLOP.value)
    study = Study(
        Path(_OUT.value), settings_of({}), budget, Path(_DATA.value), tests, (), 0.0
    )
    chosen = names_among("candidate", _ONLY.value or [], CANDIDATES)
    jobs = [
        Job(
            name,
            study.out / name.replace(", ", "-").replace(" ", "-"),
            settings_of(CANDIDATES[name]),
            budget,
            CURVE,
            study.data,
            tests | {EXCERPT: study.excerpt},
        )
        for name in chosen
    ]
    titled = [(job.title, job) for job in jobs]
    study.check()
    signal.signal(signal.SIGTERM, cli.leave)
    with locked(study.out, "comparing candidates"):
        study.claim()
        excerpt.write(study, None, 10.0)
        outcomes = rounds.outcomes(titled, _JOBS.value, cli.commit())
    # `outcomes` has printed the errors.
    results = [
        (job, found) for job, (found, _) in zip(jobs, outcomes, strict=True) if found
    ]
    print(table(results, list(tests)))
    return int(len(results) < len(jobs))


def table(results: Sequence[tuple[Job, dict[str, Any]]], tests: Sequence[str]) -> str:
    """A Markdown table of finished candidates, the best on the first test first."""
    lines = []
    for job, result in results:
        scores = {
            summary.test: summary.value
            for summary in summaries(read_csv(job.folder / SCORES))
            if (summary.source, summary.metric) == (ALL, "si_sdr")
        }
        values = [scores.get(test, math.nan) for test in tests]
        line = (
            f"| {job.title} | {' | '.join(f'{value:.2f}' for value in values)} "
            f"| {result['parameters'] / 1e6:.2f} | {result['gflop_a_second']:.1f} "
            f"| {result['training_seconds'] / 60:.0f} | {result['steps']} "
            f"| {result['audio_hours']:.1f} |"
        )
        lines.append((values[0], line))
    facts = ["M", "GFLOP a second", "minutes", "steps", "hours of audio"]
    columns = ["candidate", *tests, *facts]
    header = [f"| {' | '.join(columns)} |", f"{'|---' * len(columns)}|"]
    return "\n".join(
        header + [line for _, line in sorted(lines, key=lambda each: -each[0])]
    )


if __name__ == "__main__":
    cli.launch(main)
