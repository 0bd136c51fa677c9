"""What a study consists of: cells, the probes before them, and where they lie.

OUT/study.json             what the study is; a folder keeps to one
OUT/excerpt/{track}/       what all cells are heard with, a test set of one track
OUT/probes/{representation}-{arch}-{rate}/
                           short runs that choose each architecture's learning rate
OUT/rates.json             what they chose
OUT/cells/{representation}-{arch}-{seed}/
                           config.json, metrics.jsonl, model.safetensors, memory.json,
                           scores.csv, sounds/, and at its end result.json
OUT/results.csv, ...       the report
"""

import dataclasses
import itertools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sep.errors import UserError
from sep.runtime.files import replacing
from sep.runtime.settings import MACHINE, as_dict, changed, from_dict, resumable
from sep.runtime.settings import differences as settings_differences
from sep.training.settings import RunSettings, run_differences

RESULTS = "results.csv"  # in OUT: a row for each cell, test and source
RATES = "rates.json"  # in OUT: learning rates by architecture
SCORES = "scores.csv"  # in a cell's folder: of every track
MEMORY = "memory.json"  # in a cell's folder: the peak while it was trained
CONFIG = "config.json"  # in a cell's folder
RESULT = "result.json"  # in a cell's folder, written last: it is finished
EXCERPT = "excerpt"  # in OUT, and the name of that test set
SOME_FAILED = 3  # status of a command whose other cells are done
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
    """How long a cell trains: so many steps, or as many as so much work buys."""

    steps: int | None
    tflop: float | None

    def share(self, share: float) -> "Budget":
        """A part of it."""
        if self.steps:
            return Budget(max(1, round(share * self.steps)), None)
        return Budget(None, share * self.tflop)


class Job(NamedTuple):
    """All that the process of a cell has to know."""

    title: str
    folder: Path
    settings: RunSettings  # without the steps
    budget: Budget
    validations: int
    data: Path
    tests: dict[str, Path]  # none: it is not scored

    @property
    def result(self) -> dict | None:
        """What came of it, if it is finished.

        Raises:
          UserError: the folder holds a run with another config.
        """
        path = self.folder / RESULT
        self.check()
        return json.loads(path.read_text()) if path.exists() else None

    def check(self) -> None:
        """Raises UserError if the folder holds a run with another config."""
        path = self.folder / CONFIG
        if not path.exists():
            return
        before = from_dict(RunSettings, json.loads(path.read_text()))
        if told := "; ".join(run_differences(before, self.settings, MACHINE)):
            raise UserError(
                f"{self.folder}: holds a run with another config ({told}); "
                "remove it, or use another --out"
            )

    def claim(self) -> None:
        """Notes the config in the folder. Raises UserError as `check` does."""
        self.check()
        with replacing(self.folder / CONFIG) as part:
            part.write_text(json.dumps(as_dict(self.settings), indent=2))


class Study(NamedTuple):
    """The frame that all cells of a study share."""

    out: Path
    settings: RunSettings
    budget: Budget
    data: Path
    tests: dict[str, Path]
    rates: tuple[float, ...]  # learning rates to choose from
    probe_share: float  # of a cell's budget, that each probe gets

    @property
    def excerpt(self) -> Path:
        """The folder of the excerpt's one track."""
        return self.out / EXCERPT

    def place(self, cell: Cell) -> Path:
        """The folder of a cell."""
        return self.out / "cells" / cell.name

    def job(self, cell: Cell, rate: float) -> Job:
        """A cell, to be trained with a learning rate."""
        settings = chosen(self.settings, cell, rate)
        tests = self.tests | {EXCERPT: self.excerpt}
        place = self.place(cell)
        return Job(cell.title, place, settings, self.budget, CURVE, self.data, tests)

    def probe(self, cell: Cell, rate: float) -> Job:
        """A short run of it that shows what the rate is worth."""
        name = f"{cell.representation}-{cell.architecture}-{rate:g}"
        place = self.out / "probes" / name
        settings = chosen(self.settings, cell, rate)
        budget = self.budget.share(self.probe_share)
        return Job(cell.title, place, settings, budget, 1, self.data, {})

    def finished(self) -> dict[Cell, dict]:
        """Results of all cells that are done."""
        paths = sorted((self.out / "cells").glob(f"*/{RESULT}"))
        results = [json.loads(path.read_text()) for path in paths]
        return {Cell(*(r[name] for name in Cell._fields)): r for r in results}

    def check(self) -> None:
        """Looks for all that cells will need, before hours of training.

        Raises:
          UserError: data or a test set lacks a file; the message names it.
        """
        from sep.data.material import check_folders
        from sep.evaluation import tracks  # slow to import, as the others

        model, data = self.settings.model, self.settings.data
        check_folders(self.data, model.outputs, missing_is_silence=data.missing_is_silence)
        for test, folder in self.tests.items():
            tracks.check(test, folder, model.sources)

    def claim(self) -> None:
        """Writes OUT/study.json; refuses a folder of another study.

        Cells, and so seeds, may come and go between calls; what all cells share may not.
        Architectures that came later than the folder change nothing.

        Raises:
          UserError: something differs.
        """
        path = self.out / "study.json"
        fields = self._asdict() | {"config": as_dict(self.settings)}
        del fields["out"], fields["settings"]
        now = json.loads(json.dumps(fields, default=lambda path: str(path.resolve())))
        if path.exists() and (found := differences(json.loads(path.read_text()), now)):
            raise UserError(
                f"{self.out}: holds another study ({'; '.join(found)}); "
                "use its settings or another --out"
            )
        with replacing(path) as part:
            part.write_text(json.dumps(now, indent=2))


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Differences of two study.json: "NAME was X and is Y".

    Seeds may differ, for cells have their own, and so may settings of the machine alone.
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
    """The settings of a cell."""
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
    """Of every pair one for each seed; all of a seed before any of the next."""
    return [Cell(*pair, seed) for seed, pair in itertools.product(seeds, pairs)]


def names_among(kind: str, names: Sequence[str], known: Iterable[str]) -> list[str]:
    """The names, or all that are known if there are none.

    Raises:
      UserError: one is unknown; the message lists those that are not.
    """
    known = list(known)
    for name in names:
        if name not in known:
            raise UserError(f"unknown {kind} {name!r}; known: {', '.join(sorted(known))}")
    return list(dict.fromkeys(names)) or known
