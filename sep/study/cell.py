"""Trains and scores one cell of a study, in a separate process."""

import json
import math
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from sep import audio
from sep.data.material import read_material
from sep.errors import UserError
from sep.evaluation import systems, tracks
from sep.evaluation.score import Row, evaluate
from sep.evaluation.tables import write_csv
from sep.model.release import load_model
from sep.runtime.files import locked, replacing
from sep.runtime.settings import changed
from sep.separation.inference import Separation
from sep.study.memory import peak_memory_mb
from sep.study.plan import EXCERPT, MEMORY, RESULT, SCORES, Budget, Job
from sep.training import flops
from sep.training.checkpoints import CHECKPOINTS
from sep.training.log import METRICS, lines_until
from sep.training.loop import fit
from sep.training.settings import RunSettings
from sep.training.validate_config import check

_TIMED_SECONDS = 40.0  # of sound: several chunks


class Interrupted(UserError):
    """SIGTERM ended the training of a cell; its state is saved."""


def run(job: Job, commit: str) -> dict[str, Any]:
    """Trains, measures and scores a cell, or resumes it; returns its result.

    Raises:
      Interrupted: SIGTERM was received. The same job resumes from there.
      UserError: the config, the data or a test set cannot be used, or training fails.
    """
    stop: list[bool] = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    with locked(job.folder, "training"):
        job.claim()
        check(job.settings)
        model = job.settings.model
        material = read_material(
            job.data, model.outputs, model.sample_rate, job.settings.data
        )
        step_flop = flops.step_flops(job.settings, material.rooms_RL)
        settings = with_steps(job.settings, job.budget, step_flop, job.validations)
        release = fit(
            *(settings, material, job.folder),
            metadata={"commit": commit},
            stopped=lambda: bool(stop),
        )
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the rest is repeated if needed
        if stop:
            raise Interrupted(f"{job.folder}: interrupted; repeat the command to resume")
        memory = job.folder / MEMORY
        if not memory.exists():  # a process that resumes after training does not train
            with replacing(memory) as part:
                part.write_text(json.dumps(peak_memory_mb()))
        result = measured(settings, step_flop, release)
        if job.tests:
            write_csv(job.folder / SCORES, scored(job, release), Row._fields)
            result["times_real_time"] = speed(release, job.tests[EXCERPT])
        result["peak_memory_mb"] = json.loads(memory.read_text())
        with replacing(job.folder / RESULT) as part:
            part.write_text(json.dumps(result, indent=2))
        shutil.rmtree(job.folder / CHECKPOINTS, ignore_errors=True)  # no longer needed
    return result


def with_steps(
    settings: RunSettings, budget: Budget, step_flop: float, validations: int
) -> RunSettings:
    """Returns the settings with the steps of a budget and evenly spaced validations."""
    steps = budget.count_steps(step_flop)
    return changed(
        settings, {"train.steps": steps, "train.eval_every": -(-steps // validations)}
    )


def measured(settings: RunSettings, step_flop: float, release: Path) -> dict[str, Any]:
    """Returns facts about a trained cell and the cost of its training.

    Args:
      settings: of the run.
      step_flop: floating-point operations of a training step.
      release: the best model's release file in the cell's folder.
    """
    model, train, data = settings.model, settings.train, settings.data
    log = lines_until(release.with_name(METRICS), train.steps)
    params = load_model(str(release)).params
    return {
        "representation": model.representation,
        "architecture": model.architecture,
        "seed": settings.seed,
        "learning_rate": train.learning_rate,
        "parameters": sum(x.size for x in jax.tree.leaves(params)),
        "gflop_a_second": flops.separation_flops(model, settings.separation) / 1e9,
        "steps": train.steps,
        "training_tflop": train.steps * step_flop / 1e12,
        "audio_hours": train.steps * data.batch_size * data.crop_seconds / 3600,
        "training_seconds": sum(line["seconds"] for line in log),
        "curve": [  # training TFLOP, validation SI-SDR
            [line["step"] * step_flop / 1e12, line["valid_si_sdr"]]
            for line in log
            if line.get("valid_si_sdr") is not None
        ],
    }


def scored(job: Job, release: Path) -> list[Row]:
    """Scores all tracks of the test sets, and keeps the estimates of the excerpt.

    Raises:
      UserError: a track cannot be scored. Cells can only be compared on complete sets.
    """
    sources = job.settings.model.sources
    places = [
        place
        for test, folder in job.tests.items()
        for place in tracks.places(test, folder, sources)
    ]
    excerpts = [place for place in places if place.test == EXCERPT]
    system = systems.of_model(job.title, str(release), sources)
    rows, errors = evaluate(places, [system], job.folder, excerpts)
    if errors:
        raise UserError("; ".join(errors))
    return rows


def speed(release: Path, folder: Path) -> float:
    """Returns the seconds of sound that a model separates in a second, once compiled.

    The sound is the excerpt in FOLDER, repeated until it fills several chunks.
    """
    separation = Separation(load_model(str(release)))
    (track,) = tracks.folders(folder)
    wave_CT, rate = audio.read(tracks.file_of(track / tracks.MIXTURE))
    times = math.ceil(_TIMED_SECONDS * rate / wave_CT.shape[1])
    wave_TC = np.tile(wave_CT, times).T
    for _ in range(2):  # the first one compiles
        began = time.perf_counter()
        separation(wave_TC, rate)
        seconds = time.perf_counter() - began
    return len(wave_TC) / rate / seconds
