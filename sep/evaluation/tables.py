"""Scores as tables: CSV for machines, Markdown for documents."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sep.evaluation.metrics import METRICS, label
from sep.evaluation.score import Row
from sep.evaluation.statistics import ALL, ScoreSummary
from sep.runtime.files import replacing

_HIGHEST = 100  # dB above which values depend on rounding
_NO_VALUE = "–"


def write_csv(path: Path, rows: Sequence[Sequence[Any]], columns: Sequence[str]) -> None:
    """Writes a line with the columns' names, and one line for each row."""
    with (
        replacing(path) as part,
        part.open("w", newline="", encoding="utf-8", errors="replace") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)


def read_csv(path: Path) -> list[Row]:
    """Reads the rows of a results.csv."""
    with path.open(newline="", encoding="utf-8") as file:
        lines: list[dict[str, Any]] = list(csv.DictReader(file))
    return [Row(**line | {"value": float(line["value"])}) for line in lines]


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; the second line holds the rule under the header."""
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def overview(summaries: Sequence[ScoreSummary]) -> str:
    """One table in dB of all test sets: a row for each system, the mean of its sources."""
    tests = list(dict.fromkeys(s.test for s in summaries))
    known = {s[:4]: s for s in summaries}
    metrics = [name for name, metric in METRICS.items() if metric.in_overview]
    columns = [(test, metric) for test in tests for metric in metrics]
    header = ["system", *(f"{test}: {label(metric)}" for test, metric in columns)]
    lines = [header, ["---"] * len(header)]
    for system in dict.fromkeys(s.system for s in summaries):
        cells = [known.get((test, ALL, system, metric)) for test, metric in columns]
        lines.append([system, *map(_cell, cells)])
    return markdown(lines)


def scores(summaries: Sequence[ScoreSummary]) -> str:
    """A table for each test set: a row for each system and source, a column a metric."""
    tables = []
    for test in dict.fromkeys(s.test for s in summaries):
        of_test = [s for s in summaries if s.test == test]
        tables.append(_of_test(test, of_test))
    return "\n".join(tables)


def _of_test(test: str, summaries: Sequence[ScoreSummary]) -> str:
    metrics = list(dict.fromkeys(s.metric for s in summaries))
    tracks = max(s.tracks for s in summaries)
    known = {(s.system, s.source, s.metric): s for s in summaries}
    header = [f"{test} ({tracks} tracks)", "source", *map(label, metrics)]
    lines = [header, ["---"] * len(header)]
    for system in dict.fromkeys(s.system for s in summaries):
        for source in dict.fromkeys(s.source for s in summaries):
            cells = [known.get((system, source, metric)) for metric in metrics]
            if any(cells):
                bold = "**" if source == ALL else ""
                shown = [_cell(cell, tracks) for cell in cells]
                lines.append([f"{bold}{system}{bold}", source, *shown])
    return markdown(lines)


def _cell(summary: ScoreSummary | None, tracks: int | None = None) -> str:
    """A value as text, with its number of tracks in brackets if that is not `tracks`."""
    if summary is None:
        return _NO_VALUE
    if tracks not in (None, summary.tracks):
        return f"{_cell(summary)} [{summary.tracks}]"
    if summary.value > _HIGHEST:
        return f"> {_HIGHEST}"
    with_interval = summary.metric in METRICS and METRICS[summary.metric].with_interval
    if not with_interval or summary.low == summary.high:
        return f"{summary.value:.2f}"
    return f"{summary.value:.2f} ({summary.low:.2f} to {summary.high:.2f})"


def differences(found: Sequence[ScoreSummary], base: str) -> str:
    """A table of how much better systems are than `base`, in dB."""
    tests = list(dict.fromkeys(s.test for s in found))
    lines = [[f"better than {base} by", *tests], ["---"] * (len(tests) + 1)]
    known = {(s.system, s.test): s for s in found}
    for system in dict.fromkeys(s.system for s in found):
        cells = [known.get((system, test)) for test in tests]
        lines.append([system, *(_difference(cell) for cell in cells)])
    return markdown(lines)


def _difference(summary: ScoreSummary | None) -> str:
    if summary is None:
        return _NO_VALUE
    if summary.low == summary.high:
        return f"{summary.value:+.2f}"
    return f"{summary.value:+.2f} ({summary.low:+.2f} to {summary.high:+.2f})"
