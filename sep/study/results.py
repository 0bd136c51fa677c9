"""Results of finished cells, as rows, as a Markdown table, and as a page to listen to."""

import csv
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from sep.files import replacing
from sep.study.plan import EXCERPT, Cell

# Of each finished cell, beside its scores; units are in the names.
FACTS = (
    *("representation", "architecture", "seed", "learning_rate", "parameters"),
    *("gflop_a_second", "steps", "training_tflop", "audio_hours", "training_seconds"),
    *("times_real_time", "peak_memory_mb"),
)
_KEYS = ("test", "track", "source", "system")  # of a row of scores; the rest are scores
MIXTURE = "mixture"  # the system that leaves a recording as it is


def rows_of(result: dict) -> list[dict]:
    """A row for each test and source: the facts, and the mean of each score over tracks."""
    facts = {name: result.get(name, math.nan) for name in FACTS}
    rows = []
    for test, source in dict.fromkeys((r["test"], r["source"]) for r in result["scores"]):
        chosen = [
            row
            for row in result["scores"]
            if (row["test"], row["source"]) == (test, source) and row["system"] != MIXTURE
        ]
        rows.append(facts | {"test": test, "source": source} | _means(chosen))
    return rows


def _means(rows: list[dict]) -> dict[str, float]:
    """The mean of every score that rows have; a silent source has none."""
    return {name: mean(row[name] for row in rows) for name in rows[0] if name not in _KEYS}


def mean(values: Iterable[float]) -> float:
    """Of those that are numbers; NaN if none is."""
    numbers = [value for value in values if value is not None and not math.isnan(value)]
    return statistics.fmean(numbers) if numbers else math.nan


def write_csv(path: Path, rows: list[dict]) -> None:
    """Rows as they are, whole or not at all."""
    with replacing(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(k for row in rows for k in row)))
        writer.writeheader()
        writer.writerows(rows)


def by_pair(rows: list[dict]) -> dict[tuple[str, str], list[dict]]:
    """Rows of each pair: its tests, sources and seeds."""
    found: dict[tuple[str, str], list[dict]] = {}
    for row in rows:
        found.setdefault((row["representation"], row["architecture"]), []).append(row)
    return found


def score(rows: list[dict], test: str, name: str = "si_sdr") -> float:
    """The mean of a score over sources and seeds."""
    return mean(row[name] for row in rows if row["test"] == test and name in row)


def table(rows: list[dict], tests: Sequence[str]) -> str:
    """Markdown: a line for each pair, the best on the first test above."""
    scores = [name for name in ("si_sdr", "si_sdri", "sir") if name in rows[0]]
    labels = {"si_sdr": "SI-SDR", "si_sdri": "SI-SDRi", "sir": "SIR"}
    columns: list[tuple[str, Callable[[list[dict]], str]]] = [
        ("representation", lambda rows: rows[0]["representation"]),
        ("architecture", lambda rows: rows[0]["architecture"]),
        ("parameters, M", _of("parameters", 1e-6, ".2f")),
        ("GFLOP a second", _of("gflop_a_second", 1, ".2f")),
        ("steps", _of("steps", 1, ".0f")),
        ("audio, hours", _of("audio_hours", 1, ".1f")),
        ("training, min", _of("training_seconds", 1 / 60, ".1f")),
        ("x real time", _of("times_real_time", 1, ".0f")),
        ("memory, MB", _of("peak_memory_mb", 1, ".0f")),
    ]
    for test in tests:
        for name in scores:
            columns.append((f"{test}: {labels[name]}", _score_of(test, name)))
    groups = by_pair(rows).values()
    ordered = sorted(groups, key=lambda rows: score(rows, tests[0]), reverse=True)
    lines = [[title for title, _ in columns], ["---"] * len(columns)]
    lines += [[text(rows) for _, text in columns] for rows in ordered]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _of(name: str, factor: float, form: str) -> Callable[[list[dict]], str]:
    return lambda rows: format(factor * mean(row[name] for row in rows), form)


def _score_of(test: str, name: str) -> Callable[[list[dict]], str]:
    """The mean, and between which means of a seed it lies, if there are several."""

    def text(rows: list[dict]) -> str:
        seeds = {row["seed"] for row in rows}
        means = [score([r for r in rows if r["seed"] == s], test, name) for s in seeds]
        among = f" ({min(means):.2f} to {max(means):.2f})" if len(means) > 1 else ""
        return f"{score(rows, test, name):.2f}{among}"

    return text


def write_listening_page(folder: Path, out: Path, done: Mapping[Cell, dict]) -> Path:
    """One excerpt, as every cell of the first seed separates it."""
    from sep.report.page import Line, Track, write_page

    mixture = out / EXCERPT / f"{MIXTURE}.wav"
    lines = [Line(MIXTURE, MIXTURE, mixture, {})]
    references = [path for path in sorted(mixture.parent.glob("*.wav")) if path != mixture]
    lines += [Line(path.stem, "reference", path, {}) for path in references]
    for cell, result in done.items():
        if cell.seed == 0:
            system = f"{cell.architecture} on {cell.representation}"
            for path in references:
                stem = out / "cells" / cell.name / EXCERPT / path.name
                scores = {"SI-SDR": result["excerpt_si_sdr"][path.stem]}
                lines.append(Line(path.stem, system, stem, scores))
    note = "The same excerpt, as each representation with each architecture separates it."
    return write_page(folder, "Sep: the study", [Track("excerpt", lines)], note)
