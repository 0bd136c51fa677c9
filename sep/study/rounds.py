"""The stages of a study: probes of learning rates, cells, the report."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sep.errors import Diverged, UserError
from sep.runtime import processes
from sep.runtime.files import replacing
from sep.study import cell, plan, results
from sep.study.plan import Cell, Job, Study

Outcome = tuple[dict[str, Any] | None, UserError | None]  # result and error of a job


def chosen_rates(
    study: Study, cells: list[Cell], known: Mapping[str, float], jobs: int, commit: str
) -> dict[str, float]:
    """Returns the learning rate of each architecture: the known one, or its best probe's.

    Probes use the representation of the config if a cell does, or else the first one of
    the architecture's cells. A rate at which training diverges ranks last. Rates that
    probes chose are kept in OUT/rates.json.

    Args:
      study: the study.
      cells: the cells to train.
      known: rates by architecture that need no probes.
      jobs: processes at once.
      commit: of the program, for the metadata of release files.

    Raises:
      UserError: a probe failed for another reason, or all probes of an architecture
        diverged.
    """
    path = study.out / plan.RATES
    chosen = json.loads(path.read_text()) if path.exists() else {}
    rates = {**known, **chosen}
    unknown = [
        name for name in dict.fromkeys(c.architecture for c in cells) if name not in rates
    ]
    if len(study.rates) == 1:  # nothing to choose
        rates |= dict.fromkeys(unknown, study.rates[0])
        unknown = []
    probes = {
        (name, rate): _probe(study, cells, name, rate)
        for name in unknown
        for rate in study.rates
    }
    found = outcomes(list(probes.values()), jobs, commit)
    best, errors = _best_rates(dict(zip(probes, found, strict=True)))
    for name, rate in best.items():
        print(f"{name}: learning rate {rate:g}", flush=True)
    chosen |= best
    with replacing(path) as part:
        part.write_text(json.dumps(chosen, indent=2))
    if errors:
        raise UserError("; ".join(map(str, errors)))
    return rates | best


def _probe(
    study: Study, cells: list[Cell], architecture: str, rate: float
) -> tuple[str, Job]:
    """Returns the title and the job of a probe."""
    preferred = study.settings.model.representation
    offered = [c.representation for c in cells if c.architecture == architecture]
    representation = preferred if preferred in offered else offered[0]
    title = f"probe of {architecture} on {representation} at {rate:g}"
    return title, study.probe(Cell(representation, architecture, 0), rate)


def _best_rates(
    outcomes: Mapping[tuple[str, float], Outcome],
) -> tuple[dict[str, float], list[UserError]]:
    """Returns the best rate of each architecture, and the errors of all others.

    An architecture with an error has no best rate, and is probed again the next time.

    Args:
      outcomes: of the probes, by architecture and rate.
    """
    scores: dict[str, dict[float, float]] = {}
    errors: dict[str, UserError] = {}
    for (architecture, rate), (result, error) in outcomes.items():
        curve = result["curve"] if result else []
        scores.setdefault(architecture, {})[rate] = curve[-1][1] if curve else -math.inf
        if error and not isinstance(error, Diverged):
            errors[architecture] = error
    best = {}
    for architecture, tried in scores.items():
        rate = max(tried, key=lambda rate: tried[rate])
        if tried[rate] == -math.inf:
            reason = UserError(
                f"{architecture} diverges with all --rates; choose lower ones"
            )
            errors.setdefault(architecture, reason)
        if architecture not in errors:
            best[architecture] = rate
    return best, list(errors.values())


def train(
    study: Study, cells: list[Cell], rates: Mapping[str, float], jobs: int, commit: str
) -> list[UserError]:
    """Trains all cells that are not finished; returns the errors.

    Args:
      study: the study.
      cells: the cells to train.
      rates: learning rates by architecture.
      jobs: processes at once.
      commit: of the program, for the metadata of release files.
    """
    planned = [
        (
            f"cell {number} of {len(cells)}: {one.title}, seed {one.seed}",
            study.job(one, rates[one.architecture]),
        )
        for number, one in enumerate(cells, 1)
    ]
    return [error for _, error in outcomes(planned, jobs, commit) if error]


def outcomes(titled: Sequence[tuple[str, Job]], jobs: int, commit: str) -> list[Outcome]:
    """Runs the jobs that are not finished; returns result and error of each job.

    Args:
      titled: title and job.
      jobs: processes at once.
      commit: of the program, for the metadata of release files.

    Raises:
      UserError: a job's folder contains a run with another config.
    """
    found: list[Outcome] = [(job.result, None) for _, job in titled]
    missing = [number for number, (result, _) in enumerate(found) if not result]

    def calls() -> Iterator[tuple[Job, str]]:
        for number in missing:
            print(titled[number][0], flush=True)
            yield titled[number][1], commit

    for place, result, error in processes.each_alone(cell.run, calls(), jobs):
        if error is not None and not isinstance(error, UserError):
            raise error
        if error is not None:
            error = type(error)(f"{titled[missing[place]][0]}: {error}")
            print(f"failed: {error}", flush=True)
        found[missing[place]] = result, error
    return found


def report(study: Study) -> str:
    """Writes tables, plots and the page of all finished cells; returns text to print.

    Raises:
      UserError: no cell is finished.
    """
    from sep.study import plots

    out, tests, done = study.out, list(study.tests), study.finished()
    if not done:
        raise UserError(f"{out}: no cell is finished; see the errors above")
    rows = results.rows_of(study, done)
    results.write_rows(out / plan.RESULTS, rows)
    table = results.table(rows, tests)
    if len(pairs := results.ranking(rows, tests[0])) > 1:
        scores = [row for cell in done for row in results.scores_of(study, cell)]
        table += "\n" + results.differences_table(scores, pairs, tests)
    with replacing(out / "results.md") as part:
        part.write_text(table, encoding="utf-8")
    plots.heat_map(out / "heat_map.png", rows, tests, "si_sdr")
    plots.heat_map(out / "bleeding.png", rows, tests, "sir")
    plots.quality_against_cost(out / "quality_against_cost.png", rows, tests[0])
    plots.learning_curves(out / "curves.png", list(done.values()))
    page = results.write_listening_page(study, done)
    return f"{table}\nall results: {out}\nto listen: {page}"
