"""Scores as tables: CSV for machines, Markdown for documents."""

import csv
from collections.abc import Sequence
from pathlib import Path

from sep.evaluation.score import Row
from sep.evaluation.statistics import ALL, Summary
from sep.runtime.files import replacing

LABELS = {
    "si_sdr": "SI-SDR",
    "si_sdri": "SI-SDRi",
    "usdr": "uSDR",
    "sdr": "SDR",
    "isr": "ISR",
    "sir": "SIR",
    "sar": "SAR",
    "leakage": "leakage",
}
_WITH_INTERVAL = "si_sdr"  # the other columns would be too wide with theirs
_OVERVIEW = ("si_sdr", "sir", "sar")
_ENDLESS = 100  # dB above which numbers tell of rounding


def write_csv(path: Path, rows: Sequence[tuple], columns: Sequence[str]) -> None:
    """One line a row, under a line of the columns' names."""
    with (
        replacing(path) as part,
        part.open("w", newline="", encoding="utf-8", errors="replace") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)


def read_csv(path: Path) -> list[Row]:
    """The rows of a results.csv."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Row(**line | {"value": float(line["value"])}) for line in csv.DictReader(file)
        ]


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; the second line rules off the first."""
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def overview(summaries: Sequence[Summary]) -> str:
    """One table for all test sets: a row a system, of the mean of its sources, in dB."""
    tests = list(dict.fromkeys(s.test for s in summaries))
    known = {s[:4]: s for s in summaries}
    columns = [(test, metric) for test in tests for metric in _OVERVIEW]
    header = ["system", *(f"{test}: {LABELS[metric]}" for test, metric in columns)]
    lines = [header, ["---"] * len(header)]
    for system in dict.fromkeys(s.system for s in summaries):
        cells = [known.get((test, ALL, system, metric)) for test, metric in columns]
        lines.append([system, *map(_cell, cells)])
    return markdown(lines)


def scores(summaries: Sequence[Summary]) -> str:
    """A table for each test set: systems down, sources and metrics across, all in dB."""
    tables = []
    for test in dict.fromkeys(s.test for s in summaries):
        of_test = [s for s in summaries if s.test == test]
        tables.append(_of_test(test, of_test))
    return "\n".join(tables)


def _of_test(test: str, summaries: Sequence[Summary]) -> str:
    metrics = list(dict.fromkeys(s.metric for s in summaries))
    tracks = max(s.tracks for s in summaries)
    known = {(s.system, s.source, s.metric): s for s in summaries}
    header = [f"{test} ({tracks} tracks)", "source"]
    header += [LABELS.get(metric, metric) for metric in metrics]
    lines = [header, ["---"] * len(header)]
    for system in dict.fromkeys(s.system for s in summaries):
        for source in dict.fromkeys(s.source for s in summaries):
            cells = [known.get((system, source, metric)) for metric in metrics]
            if any(cells):
                bold = "**" if source == ALL else ""
                shown = [_cell(cell, tracks) for cell in cells]
                lines.append([f"{bold}{system}{bold}", source, *shown])
    return markdown(lines)


def _cell(summary: Summary | None, tracks: int | None = None) -> str:
    """A number as it is shown; in brackets of how many tracks, if that is not `tracks`."""
    if summary and tracks not in (None, summary.tracks):
        return f"{_cell(summary)} [{summary.tracks}]"
    if summary is None:
        return "–"
    if summary.value > _ENDLESS:
        return f"> {_ENDLESS}"
    if summary.metric != _WITH_INTERVAL or summary.low == summary.high:
        return f"{summary.value:.2f}"
    return f"{summary.value:.2f} ({summary.low:.2f} to {summary.high:.2f})"


def differences(found: Sequence[Summary], base: str) -> str:
    """A table of how much better systems are than `base`, in dB."""
    tests = list(dict.fromkeys(s.test for s in found))
    lines = [[f"better than {base} by", *tests], ["---"] * (len(tests) + 1)]
    known = {(s.system, s.test): s for s in found}
    for system in dict.fromkeys(s.system for s in found):
        cells = [known.get((system, test)) for test in tests]
        lines.append([system, *(_difference(cell) for cell in cells)])
    return markdown(lines)


def _difference(summary: Summary | None) -> str:
    if summary is None:
        return "–"
    if summary.low == summary.high:
        return f"{summary.value:+.2f}"
    return f"{summary.value:+.2f} ({summary.low:+.2f} to {summary.high:+.2f})"
