"""Results of finished cells: rows, Markdown tables and the listening page."""

import csv
import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sep.errors import UserError
from sep.evaluation.metrics import MAIN, METRICS, label
from sep.evaluation.score import Row, page_sounds
from sep.evaluation.statistics import ALL, differences, summaries
from sep.evaluation.tables import markdown, read_csv, write_csv
from sep.evaluation.tracks import places
from sep.study.plan import EXCERPT, RESULTS, SCORES, Cell, Study

# Columns of results.csv before the scores; units are in the names.
FACTS = (
    *("representation", "architecture", "seed", "learning_rate", "parameters"),
    *("gflop_a_second", "steps", "training_tflop", "audio_hours", "training_seconds"),
    *("times_real_time", "peak_memory_mb"),
)


def scores_of(study: Study, cell: Cell) -> list[Row]:
    """Scores of a cell on every track."""
    return read_csv(study.place(cell) / SCORES)


def rows_of(study: Study, done: Mapping[Cell, dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each cell, test and source (and ALL): facts, and scores over tracks.

    Args:
      study: the study.
      done: results of its finished cells.
    """
    rows = []
    for cell, result in done.items():
        facts = {name: result.get(name, math.nan) for name in FACTS}
        found: dict[tuple[str, str], dict[str, float]] = {}
        for summary in summaries(scores_of(study, cell)):
            if summary.test != EXCERPT:
                key = summary.test, summary.source
                found.setdefault(key, {})[summary.metric] = summary.value
        rows += [
            facts | {"test": test, "source": source} | scores
            for (test, source), scores in found.items()
        ]
    return rows


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Writes results.csv."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    write_csv(path, [[row.get(name) for name in columns] for row in rows], columns)


def read_rows(places: list[Path], test: str) -> list[dict[str, Any]]:
    """Reads the rows of other studies on a test set.

    Args:
      places: folders of studies, or their results.csv.
      test: name of the test set.

    Raises:
      UserError: a place has no results of the test set.
    """
    rows: list[dict[str, Any]] = []
    for place in places:
        path = place / RESULTS if place.is_dir() else place
        try:
            with path.open(newline="", encoding="utf-8") as file:
                lines: list[dict[str, Any]] = list(csv.DictReader(file))
                found = [row for row in lines if row["test"] == test]
            for row in found:
                row[MAIN] = float(row[MAIN] or math.nan)
                row["learning_rate"] = float(row["learning_rate"])
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"{place}: holds no study ({error})") from None
        if not found:
            raise UserError(f"{place}: has no scores of test {test}")
        rows += found
    return rows


def ranking(rows: list[dict[str, Any]], test: str) -> list[tuple[str, str]]:
    """Pairs in the rows, the highest mean SI-SDR on a test set first."""
    groups = by_pair(rows)
    return sorted(
        groups, key=lambda pair: _sort_key(score(groups[pair], test)), reverse=True
    )


def by_pair(
    rows: Iterable[dict[str, Any]],
) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Rows by pair of representation and architecture: all tests, sources and seeds."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault((row["representation"], row["architecture"]), []).append(row)
    return found


def score(rows: Iterable[dict[str, Any]], test: str, name: str = MAIN) -> float:
    """Mean over seeds of a metric of all sources on a test set; NaN without any value."""
    return mean(
        row[name]
        for row in rows
        if (row["test"], row["source"]) == (test, ALL) and name in row
    )


def mean(values: Iterable[float]) -> float:
    """Mean of the values that are not NaN; NaN if all are."""
    numbers = [value for value in values if not math.isnan(value)]
    return statistics.fmean(numbers) if numbers else math.nan


def _sort_key(value: float) -> float:
    """Sort key of a score: NaN is the lowest."""
    return -math.inf if math.isnan(value) else value


_CellText = Callable[[list[dict[str, Any]]], str]  # of the rows of one pair


def table(rows: list[dict[str, Any]], tests: Sequence[str]) -> str:
    """Markdown table with a line for each pair, the best on the first test first."""
    columns: list[tuple[str, _CellText]] = [
        ("representation", lambda rows: rows[0]["representation"]),
        ("architecture", lambda rows: rows[0]["architecture"]),
        ("parameters, M", _fact("parameters", 1e-6, ".2f")),
        ("GFLOP a second", _fact("gflop_a_second", 1, ".2f")),
        ("learning rate", _fact("learning_rate", 1, "g")),
        ("steps", _fact("steps", 1, ".0f")),
        ("audio, hours", _fact("audio_hours", 1, ".1f")),
        ("training, min", _fact("training_seconds", 1 / 60, ".1f")),
        ("x real time", _fact("times_real_time", 1, ".0f")),
        ("memory, MB", _fact("peak_memory_mb", 1, ".0f")),
        *(
            (f"{test}: {metric.label}", _score_with_range(test, name))
            for test in tests
            for name, metric in METRICS.items()
            if metric.in_study
        ),
    ]
    groups = by_pair(rows)
    lines = [[title for title, _ in columns], ["---"] * len(columns)]
    lines += [
        [text(groups[pair]) for _, text in columns] for pair in ranking(rows, tests[0])
    ]
    return markdown(lines)


def differences_table(
    rows: Iterable[Row], pairs: Sequence[tuple[str, str]], tests: Sequence[str]
) -> str:
    """Markdown table of mean differences over tracks between the first pair and the others.

    95 % intervals are in brackets; they are of paired differences, since all pairs have the
    same tracks.

    Args:
      rows: scores of all cells of the pairs; a track's score is the mean over seeds.
      pairs: representations and architectures; the first pair is the base.
      tests: names of the test sets.
    """
    values: dict[Row, list[float]] = {}
    for row in rows:
        values.setdefault(row._replace(value=0.0), []).append(row.value)
    pooled = [row._replace(value=mean(of_seeds)) for row, of_seeds in values.items()]
    base, *others = [Cell(*pair, 0).title for pair in pairs]
    metrics = [name for name, metric in METRICS.items() if metric.in_study_differences]
    columns = [(test, metric) for test in tests for metric in metrics]
    found = {
        (d.test, d.metric, d.system): f"{d.value:+.2f} ({d.low:+.2f} to {d.high:+.2f})"
        for metric in metrics
        for d in differences(pooled, base, metric)
    }
    lines = [
        [f"against {base}", *(f"{test}: {label(metric)}" for test, metric in columns)],
        ["---"] * (1 + len(columns)),
        *([name, *(found.get((*which, name), "") for which in columns)] for name in others),
    ]
    return markdown(lines)


def _fact(name: str, factor: float, form: str) -> _CellText:
    """Mean of a fact over rows, times a factor."""
    return lambda rows: format(factor * mean(row[name] for row in rows), form)


def _score_with_range(test: str, name: str) -> _CellText:
    """Mean score over seeds, with the lowest and highest one if there are several seeds."""

    def text(rows: list[dict[str, Any]]) -> str:
        seeds = dict.fromkeys(row["seed"] for row in rows)
        means = [score([r for r in rows if r["seed"] == s], test, name) for s in seeds]
        among = f" ({min(means):.2f} to {max(means):.2f})" if len(means) > 1 else ""
        return f"{score(rows, test, name):.2f}{among}"

    return text


def write_listening_page(study: Study, done: Mapping[Cell, dict[str, Any]]) -> Path:
    """Writes a page with the excerpt as all finished cells separate it, the best first."""
    from sep.listening_page.page import Line, PageTrack, write_page

    seeds = Counter(cell.title for cell in done)
    rows = {cell: scores_of(study, cell) for cell in done}
    sources = list(dict.fromkeys(row.source for found in rows.values() for row in found))
    kept = places(EXCERPT, study.excerpt, sources)
    titles, lines = [], {}
    for cell in sorted(rows, key=lambda cell: _excerpt_score(rows[cell]), reverse=True):
        several = seeds[cell.title] > 1
        name = f"{cell.title}, seed {cell.seed}" if several else cell.title
        sounds_of_cell = page_sounds(kept, [cell.title], rows[cell], study.place(cell))
        for title, sounds in sounds_of_cell:
            titles.append(title)
            for source, system, path, scores in sounds:
                system = name if system == cell.title else system
                labelled = {label(metric): value for metric, value in scores.items()}
                # The mixture and the references of all cells are the same lines.
                lines[source, system] = Line(source, system, path, labelled)
    note = "One excerpt, as each cell separates it. Scores are in dB, of the excerpt alone."
    track = PageTrack(titles[0], list(lines.values()))
    return write_page(study.out / "page", "Sep: the study", [track], note)


def _excerpt_score(rows: list[Row]) -> float:
    """Sort key of a cell: its mean SI-SDR on the excerpt."""
    return _sort_key(
        mean(row.value for row in rows if row.test == EXCERPT and row.metric == MAIN)
    )
