"""The rounds of a study: probes of learning rates, cells, the report."""

import json
import math

from sep import processes
from sep.errors import UserError
from sep.files import replacing
from sep.study import cell, plan, results
from sep.study.plan import Cell, Job, Study


def chosen_rates(
    study: Study, cells: list[Cell], known: dict[str, float], commit: str
) -> dict[str, float]:
    """Each architecture's learning rate, the best of its probes, unless it is known.

    Probes are on the config's own representation, or on the first one of the cells. A
    rate with which training fails is the worst.
    """
    path = study.out / plan.RATES
    rates = known | (json.loads(path.read_text()) if path.exists() else {})
    wanted = study.config["model"]["representation"]
    for architecture in dict.fromkeys(c.architecture for c in cells):
        if architecture in rates:
            continue
        if len(study.rates) == 1:
            rates[architecture] = study.rates[0]
            continue
        offered = [c.representation for c in cells if c.architecture == architecture]
        probed = Cell(wanted if wanted in offered else offered[0], architecture, 0)
        scores = {}
        for rate in study.rates:
            title = f"probe of {architecture} on {probed.representation} at {rate:g}"
            result, _ = outcome(study.probe(probed, rate), title, commit)
            curve = result["curve"] if result else []
            scores[rate] = curve[-1][1] if curve else -math.inf
        rates[architecture] = max(scores, key=scores.get)
        print(f"{architecture}: learning rate {rates[architecture]:g}", flush=True)
    with replacing(path) as part:
        part.write_text(json.dumps(rates, indent=2))
    return rates


def train(
    study: Study, cells: list[Cell], rates: dict[str, float], commit: str
) -> list[str]:
    """Trains all cells that are not finished; returns what failed."""
    errors = []
    for number, one in enumerate(cells, 1):
        title = (
            f"cell {number} of {len(cells)}: {one.architecture} on {one.representation}, "
            f"seed {one.seed}"
        )
        job = study.job(one, rates[one.architecture])
        _, error = outcome(job, title, commit)
        errors += [error] if error else []
    return errors


def outcome(job: Job, title: str, commit: str) -> tuple[dict | None, str]:
    """A job's result, which may be there already, or what went wrong with it."""
    if result := job.result:
        return result, ""
    print(title, flush=True)
    try:
        return processes.alone(cell.run, job, commit), ""
    except UserError as error:
        print(f"failed: {error}", flush=True)
        return None, f"{title}: {error}"


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
    with replacing(out / "results.md") as part:
        part.write_text(table, encoding="utf-8")
    plots.heat_map(out / "heat_map.png", rows, tests)
    plots.quality_against_cost(out / "quality_against_cost.png", rows, tests[0])
    plots.learning_curves(out / "curves.png", list(done.values()))
    page = results.write_listening_page(study, done)
    return f"{table}\nall results: {out}\nto listen: {page}"
