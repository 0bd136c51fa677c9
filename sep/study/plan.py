"""The plan of a study: its cells, the probes before them, and their folders.

OUT/study.json             the study's settings; a folder contains one study
OUT/excerpt/{track}/       the excerpt that all cells separate, a test set of one track
OUT/probes/{representation}-{arch}-{rate}/
                           short runs that choose each architecture's learning rate
OUT/rates.json             the chosen learning rates
OUT/cells/{representation}-{arch}-{seed}/
                           config.json, metrics.jsonl, model.safetensors, memory.json,
                           scores.csv, sounds/, and at the end result.json
OUT/results.csv, ...       the report
"""

import dataclasses
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sep.errors import UserError
from sep.runtime.record import Record
from sep.runtime.settings import MACHINE, as_dict, changed, from_dict, resumable
from sep.runtime.settings import differences as settings_differences
from sep.training.settings import RunSettings, run_record

RESULTS = "results.csv"  # in OUT: a row for each cell, test and source
RATES = "rates.json"  # in OUT: learning rates by architecture
SCORES = "scores.csv"  # in a cell's folder: scores of every track
MEMORY = "memory.json"  # in a cell's folder: peak memory of its training
RESULT = "result.json"  # in a cell's folder, written last: the cell is finished
EXCERPT = "excerpt"  # folder in OUT, and name of that test set
SOME_FAILED = 3  # exit status if some cells failed and the others are finished
CURVE = 10  # validations of a cell


class Cell(NamedTuple):
    """One network to train."""

    representation: str
    architecture: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.representation}-{self.architecture}-{self.seed}"

    @property
    def title(self) -> str:
        return f"{self.architecture} on {self.representation}"


class Budget(NamedTuple):
    """Length of a cell's training, as a number of steps or as work. One of them is None."""

    steps: int | None
    tflop: float | None

    def share(self, share: float) -> "Budget":
        """Returns a share of the budget."""
        if self.steps:
            return Budget(max(1, round(share * self.steps)), None)
        assert self.tflop is not None
        return Budget(None, share * self.tflop)

    def count_steps(self, step_flop: float) -> int:
        """Returns the number of steps, each of `step_flop` floating-point operations."""
        if self.steps:
            return self.steps
        assert self.tflop is not None
        return max(1, round(self.tflop * 1e12 / step_flop))


class Job(NamedTuple):
    """Everything that the process of a cell needs.

    Attributes:
      title: name in messages and on the listening page.
      folder: for the run and its scores.
      settings: of the run; `train.steps` follows from the budget.
      budget: length of the training.
      validations: number of validations.
      data: folder of stems.
      tests: folders of test sets by name; if empty, the cell is not scored.
    """

    title: str
    folder: Path
    settings: RunSettings
    budget: Budget
    validations: int
    data: Path
    tests: dict[str, Path]

    @property
    def result(self) -> dict[str, Any] | None:
        """The result of the cell, or None if it is not finished.

        Raises:
          UserError: the folder contains a run with another config.
        """
        path = self.folder / RESULT
        self.check()
        return json.loads(path.read_text()) if path.exists() else None

    def check(self) -> None:
        """Raises UserError if the folder contains a run with another config."""
        run_record(self.folder, self.settings, MACHINE).claim(
            "contains a run with another config",
            "remove it, or use another --out",
            "the config of a run",
        )

    def claim(self) -> None:
        """Writes the config to the folder. Raises UserError as `check` does."""
        self.check()
        run_record(self.folder, self.settings, MACHINE).write(indent=2)


class Study(NamedTuple):
    """Everything that the cells of a study share.

    Attributes:
      out: folder of the study.
      settings: of all cells, apart from the pair, the seed and the learning rate.
      budget: of each cell.
      data: folder of stems.
      tests: folders of test sets by name.
      rates: learning rates to choose from.
      probe_share: budget of a probe, as a share of a cell's budget.
    """

    out: Path
    settings: RunSettings
    budget: Budget
    data: Path
    tests: dict[str, Path]
    rates: tuple[float, ...]
    probe_share: float

    @property
    def excerpt(self) -> Path:
        """The folder of the excerpt, a test set of one track."""
        return self.out / EXCERPT

    def place(self, cell: Cell) -> Path:
        """Returns the folder of a cell."""
        return self.out / "cells" / cell.name

    def job(self, cell: Cell, rate: float) -> Job:
        """Returns the job of a cell, trained with a learning rate."""
        settings = chosen(self.settings, cell, rate)
        tests = self.tests | {EXCERPT: self.excerpt}
        place = self.place(cell)
        return Job(cell.title, place, settings, self.budget, CURVE, self.data, tests)

    def probe(self, cell: Cell, rate: float) -> Job:
        """Returns the job of a short run of a cell that tries a learning rate."""
        name = f"{cell.representation}-{cell.architecture}-{rate:g}"
        place = self.out / "probes" / name
        settings = chosen(self.settings, cell, rate)
        budget = self.budget.share(self.probe_share)
        return Job(cell.title, place, settings, budget, 1, self.data, {})

    def finished(self) -> dict[Cell, dict]:
        """Returns the results of all finished cells."""
        paths = sorted((self.out / "cells").glob(f"*/{RESULT}"))
        results = [json.loads(path.read_text()) for path in paths]
        return {Cell(*(r[name] for name in Cell._fields)): r for r in results}

    def check(self) -> None:
        """Checks that all files exist, before hours of training.

        Raises:
          UserError: data or a test set lacks a file; the message names it.
        """
        # Slow to import.
        from sep.data.material import check_folders
        from sep.evaluation import tracks

        model, data = self.settings.model, self.settings.data
        check_folders(self.data, model.outputs, missing_is_silence=data.missing_is_silence)
        for test, folder in self.tests.items():
            tracks.check(test, folder, model.sources)

    def claim(self) -> None:
        """Writes OUT/study.json; refuses a folder of another study.

        Cells, and therefore seeds, may differ between calls, but nothing that all cells
        share. Architectures that were added to Sep since the last call make no difference.

        Raises:
          UserError: the folder contains a study with other settings.
        """
        fields = self._asdict() | {"config": as_dict(self.settings)}
        del fields["out"], fields["settings"]
        now = json.loads(json.dumps(fields, default=lambda path: str(path.resolve())))
        record = Record(self.out / "study.json", now, differences)
        record.claim(
            "contains another study", "use its settings or another --out", "a study"
        )
        record.write(indent=2)


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Returns the differences of two study.json, each as "NAME was X and is Y".

    Settings of the machine may differ, and so may the seed, since each cell has one.
    """
    from flax.traverse_util import flatten_dict  # slow to import

    model = now["config"]["model"]  # the older study may lack some architectures
    config = before["config"] | {"model": model | before["config"]["model"]}
    old, new = (
        dataclasses.replace(from_dict(RunSettings, each), seed=0)
        for each in (config, now["config"])
    )
    free = resumable(new, MACHINE)
    found = settings_differences(old, new)
    lines = [f"config.{text}" for name, text in found.items() if name not in free]
    facts = [
        flatten_dict({k: v for k, v in each.items() if k != "config"}, sep=".")
        for each in (before, now)
    ]
    return lines + [
        f"{name} was {facts[0].get(name)} and is {facts[1].get(name)}"
        for name in sorted(facts[0].keys() | facts[1].keys())
        if facts[0].get(name) != facts[1].get(name)
    ]


def chosen(settings: RunSettings, cell: Cell, rate: float) -> RunSettings:
    """Returns the settings of a cell, trained with a learning rate."""
    return changed(
        settings,
        {
            "seed": cell.seed,
            "model.representation": cell.representation,
            "model.architecture": cell.architecture,
            "train.learning_rate": rate,
        },
    )


def cells(pairs: Iterable[tuple[str, str]], seeds: Iterable[int]) -> list[Cell]:
    """Returns the cells of all pairs and seeds, one seed after another."""
    return [Cell(*pair, seed) for seed, pair in itertools.product(seeds, pairs)]


def names_among(kind: str, names: Sequence[str], known: Iterable[str]) -> list[str]:
    """Returns the names without duplicates, or all known ones if there are no names.

    Args:
      kind: what the names denote, for the error message.
      names: chosen names.
      known: names to choose from.

    Raises:
      UserError: a name is unknown; the message lists all known ones.
    """
    known = list(known)
    for name in names:
        if name not in known:
            raise UserError(f"unknown {kind} {name!r}; known: {', '.join(sorted(known))}")
    return list(dict.fromkeys(names)) or known
