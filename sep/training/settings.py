"""Settings of training, and of a whole training run."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sep.data.settings import DataSettings
from sep.model.settings import ModelSettings, SeparationSettings
from sep.runtime.record import Record
from sep.runtime.settings import (
    RUN,
    as_dict,
    differences,
    from_dict,
    part,
    resumable,
    setting,
)

CONFIG = "config.json"  # in a workdir: the settings of its run


@dataclass(frozen=True)
class TrainSettings:
    """Settings of the optimiser, of validation and of checkpoints."""

    steps: int = setting(2000, "Training steps.", at_least=1, resumes=RUN)
    init_from: str = setting("", "Model to start from; as --model of separate.py.")
    accumulate: int = setting(
        1, "Parts of a batch, computed one after another to save memory.", at_least=1
    )
    rematerialise: bool = setting(
        False, "Recompute activations for gradients to save memory."
    )
    compute_dtype: str = setting(
        "float32", "Type in which the network computes.", choices=("float32", "bfloat16")
    )
    loss: str = setting("snr", "Name of the loss.")
    learning_rate: float = setting(1e-3, "Highest learning rate.", at_least=0)
    warmup_steps: int = setting(100, "Steps of linear warm-up.", at_least=0)
    clip_norm: float = setting(
        5.0, "Largest norm of the gradient; inf: no limit.", above=0, finite=False
    )
    weight_decay: float = setting(
        0.0, "Weight decay of kernels, times the learning rate.", at_least=0, absent=0.0
    )
    ema_decay: float = setting(
        0.995, "Decay of the moving average of the parameters.", at_least=0, below=1
    )
    max_skipped: int = setting(
        10, "Consecutive steps without a finite gradient that end the run.", at_least=1,
        resumes=RUN,
    )  # fmt: skip
    patience: int = setting(
        0, "Validations without a better score that end the run; 0: no limit.",
        at_least=0, resumes=RUN,
    )  # fmt: skip
    eval_every: int = setting(
        250, "Steps between validations; each writes a checkpoint.", at_least=1
    )
    eval_crops: int = setting(32, "Number of validation examples.", at_least=1)
    eval_seconds: float = setting(6.0, "Length of a validation example.", "s", above=0)
    checkpoint_seconds: float = setting(
        120.0, "Longest time between checkpoints.", "s", resumes=RUN
    )


@dataclass(frozen=True)
class RunSettings:
    """All settings of a training run."""

    seed: int = setting(0, "Seed of parameters, examples and augmentation.", at_least=0)
    model: ModelSettings = part(ModelSettings)
    data: DataSettings = part(DataSettings)
    train: TrainSettings = part(TrainSettings)
    separation: SeparationSettings = part(SeparationSettings)

    @property
    def crop_length(self) -> int:
        """Length of a training example in samples."""
        return round(self.data.crop_seconds * self.model.sample_rate)

    @property
    def eval_length(self) -> int:
        """Length of a validation example in samples."""
        return round(self.train.eval_seconds * self.model.sample_rate)


def run_record(folder: Path, run: RunSettings, *allowed: str) -> Record:
    """Returns the record of a run, FOLDER/config.json: its settings.

    Args:
      folder: workdir of the run.
      run: settings of the command.
      *allowed: see `run_differences`.
    """

    def compare(before: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
        return run_differences(from_dict(RunSettings, before), run, *allowed)

    return Record(folder / CONFIG, as_dict(run), compare)


def run_differences(before: RunSettings, now: RunSettings, *allowed: str) -> list[str]:
    """Returns the settings in use that differ, each as "NAME was X and is Y".

    Args:
      before: settings of the existing run.
      now: settings of the command.
      *allowed: `RUN`, `MACHINE`: settings that are declared as such may differ.
    """
    before, now = (
        dataclasses.replace(run, model=run.model.in_use()) for run in (before, now)
    )
    free = resumable(now, *allowed)
    return [text for name, text in differences(before, now).items() if name not in free]
