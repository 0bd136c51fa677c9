"""One cell of a study from its data to its scores, in a process of its own."""

import csv
import json
import shutil
import signal
import sys
import time
from pathlib import Path

import jax

from sep import audio, cost
from sep.checkpoints import Model, load_model
from sep.checks import check
from sep.data.material import Material, read_material
from sep.errors import UserError
from sep.evaluation import evaluate
from sep.files import locked, replacing
from sep.fitting import fit
from sep.inference import Separation
from sep.logs import lines_until
from sep.metrics import si_sdr
from sep.progress import METRICS
from sep.study.plan import EXCERPT, RESULT, Budget, Job

try:
    import resource
except ImportError:  # on Windows
    resource = None


class Stopped(Exception):
    """The process was asked to leave; what is done is saved."""


def run(job: Job, commit: str) -> dict:
    """Trains, measures and scores a cell, or goes on with it; returns its result.

    Raises:
      Stopped: SIGTERM came. The same job goes on from there.
      UserError: the config, the data or a test set cannot be used, or training fails.
    """
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    with locked(job.folder, "training"):
        check(job.config)
        material = read_material(job.config, job.data)
        step_flop = cost.of_step(job.config, material.rooms_RL)
        config = with_steps(job.config, job.budget, step_flop, job.validations)
        place = trained(config, material, job.folder, commit, stop)
        model = load_model(str(place))
        name = f"{config['model']['architecture']} on {config['model']['representation']}"
        scores = [
            {"test": test} | row
            for test, folder in job.tests.items()
            for row in scored(model, name, folder)
        ]
        result = measured(config, model, step_flop, job.folder) | {"scores": scores}
        if job.excerpt:
            result |= heard(model, job.excerpt, job.folder / EXCERPT)
        result["peak_memory_mb"] = peak_memory_mb()
        if scores:
            write_scores(job.folder / "scores.csv", scores)
        shutil.rmtree(job.folder / "checkpoints", ignore_errors=True)  # done with
        with replacing(job.folder / RESULT) as part:
            part.write_text(json.dumps(result, indent=2))
    return result


def with_steps(config: dict, budget: Budget, step_flop: float, validations: int) -> dict:
    """The config with the steps that the budget buys, and when to validate."""
    steps = budget.steps or max(1, round(budget.tflop * 1e12 / step_flop))
    train = {"steps": steps, "eval_every": -(-steps // validations)}
    return config | {"train": config["train"] | train}


def trained(
    config: dict, material: Material, folder: Path, commit: str, stop: list
) -> Path:
    """The release file of the best state."""
    path = fit(
        *(config, *material, folder),
        metadata={"commit": commit},
        stopped=lambda: bool(stop),
    )
    if stop:
        raise Stopped
    return path


def scored(model: Model, name: str, folder: Path) -> list[dict]:
    """Rows of all tracks; a test set with a fault in it compares nothing."""
    rows, errors = evaluate(model, name, folder)
    if errors:
        raise UserError("; ".join(errors))
    return rows


def measured(config: dict, model: Model, step_flop: float, folder: Path) -> dict:
    """What the cell is and what it took."""
    train, data = config["train"], config["data"]
    log = lines_until(folder / METRICS, train["steps"])
    names = ("representation", "architecture")
    return {
        **{name: config["model"][name] for name in names},
        "seed": config["seed"],
        "learning_rate": train["learning_rate"],
        "parameters": sum(x.size for x in jax.tree.leaves(model.params)),
        "gflop_a_second": cost.of_second(config) / 1e9,
        "steps": train["steps"],
        "training_tflop": train["steps"] * step_flop / 1e12,
        "audio_hours": train["steps"] * data["batch_size"] * data["crop_seconds"] / 3600,
        "training_seconds": sum(line["seconds"] for line in log),
        "curve": [
            [line["step"] * step_flop / 1e12, line["valid_si_sdr"]]
            for line in log
            if line.get("valid_si_sdr") is not None
        ],
    }


def heard(model: Model, mixture: Path, folder: Path) -> dict:
    """Separates a mixture into files; how fast, once compiled, and how well."""
    separation = Separation(model)
    separation.to_array(mixture)
    began = time.perf_counter()
    stems_SCT = separation.to_array(mixture)
    took = time.perf_counter() - began
    rate, scores = audio.probe(mixture).sample_rate, {}
    for name, stem_CT in zip(separation.names, stems_SCT, strict=True):
        audio.write(folder / f"{name}.wav", stem_CT, rate, "FLOAT")
        reference = mixture.with_name(f"{name}.wav")
        if reference.exists():  # of a residual there is none
            reference_CT, _ = audio.read(reference)
            scores[name] = float(si_sdr(reference_CT.reshape(-1), stem_CT.reshape(-1)))
    speed = stems_SCT.shape[-1] / rate / took
    return {"times_real_time": speed, "excerpt_si_sdr": scores}


def peak_memory_mb() -> float:
    """Of this process so far; NaN where the system does not say."""
    if resource is None:
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)  # bytes there, kB elsewhere


def write_scores(path: Path, rows: list[dict]) -> None:
    """A row for each test, track, source and system."""
    with replacing(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
