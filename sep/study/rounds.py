"""The rounds of a study: probes of learning rates, cells, the report."""

import json
import math

from sep.errors import Diverged, UserError
from sep.runtime import processes
from sep.runtime.files import replacing
from sep.study import cell, plan, results
from sep.study.plan import Cell, Job, Study


def chosen_rates(
    study: Study, cells: list[Cell], known: dict[str, float], jobs: int, commit: str
) -> dict[str, float]:
    """Each architecture's learning rate, the best of its probes, unless it is known.

    Probes are on the config's own representation, or on the first one of the cells. A
    rate with which training diverges is the worst.

    Raises:
      UserError: a probe failed for another reason, or all of an architecture diverged.
    """
    path = study.out / plan.RATES
    chosen = json.loads(path.read_text()) if path.exists() else {}
    rates = known | chosen
    wanted = study.settings.model.representation
    probes = {}
    for architecture in dict.fromkeys(c.architecture for c in cells):
        if architecture in rates:
            continue
        offered = [c.representation for c in cells if c.architecture == architecture]
        probed = Cell(wanted if wanted in offered else offered[0], architecture, 0)
        if len(study.rates) == 1:
            rates[architecture] = study.rates[0]
            continue
        for rate in study.rates:
            title = f"probe of {architecture} on {probed.representation} at {rate:g}"
            probes[architecture, rate] = title, study.probe(probed, rate)
    scores, errors = {}, {}
    found = outcomes(list(probes.values()), jobs, commit)
    for (architecture, rate), (result, error) in zip(probes, found, strict=True):
        curve = result["curve"] if result else []
        score = curve[-1][1] if curve else -math.inf
        scores.setdefault(architecture, {})[rate] = score
        if error and not isinstance(error, Diverged):
            errors[architecture] = error
    for architecture, tried in scores.items():
        best = max(tried, key=tried.get)
        if tried[best] == -math.inf:
            errors.setdefault(
                architecture, UserError(f"{architecture} diverges with all --rates")
            )
        if architecture not in errors:  # else it is to be probed again
            chosen[architecture] = best
            print(f"{architecture}: learning rate {best:g}", flush=True)
    with replacing(path) as part:
        part.write_text(json.dumps(chosen, indent=2))
    if errors:
        raise UserError("; ".join(map(str, errors.values())))
    return rates | chosen


def train(
    study: Study, cells: list[Cell], rates: dict[str, float], jobs: int, commit: str
) -> list[UserError]:
    """Trains all cells that are not finished, `jobs` at once; returns what failed."""
    planned = [
        (
            f"cell {number} of {len(cells)}: {one.title}, seed {one.seed}",
            study.job(one, rates[one.architecture]),
        )
        for number, one in enumerate(cells, 1)
    ]
    return [error for _, error in outcomes(planned, jobs, commit) if error]


def outcomes(
    titled: list[tuple[str, Job]], jobs: int, commit: str
) -> list[tuple[dict | None, UserError | None]]:
    """Each job's result, which may be there already, and what went wrong with it.

    Raises:
      UserError: a job's folder holds a run with another config.
    """
    found = [(job.result, None) for _, job in titled]
    missing = [number for number, (result, _) in enumerate(found) if not result]

    def calls():
        for number in missing:
            print(titled[number][0], flush=True)
            yield titled[number][1], commit

    for place, result, error in processes.each_alone(cell.run, calls(), jobs):
        if error and not isinstance(error, UserError):
            raise error
        if error:
            error = type(error)(f"{titled[missing[place]][0]}: {error}")
            print(f"failed: {error}", flush=True)
        found[missing[place]] = result, error
    return found


def report(study: Study) -> str:
    """Writes all that shows the results of finished cells, and says where it is.

    Raises:
      UserError: no cell is finished.
    """
    from sep.study import plots

    out, tests, done = study.out, list(study.tests), study.finished()
    if not done:
        raise UserError(f"{out}: no cell is finished")
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
