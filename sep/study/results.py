"""Results of finished cells, as rows, as a Markdown table, and as a page to listen to."""

import csv
import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from sep.errors import UserError
from sep.evaluation.score import Row, heard
from sep.evaluation.statistics import ALL, differences, summaries
from sep.evaluation.tables import LABELS, markdown, read_csv, write_csv
from sep.evaluation.tracks import places
from sep.study.plan import EXCERPT, RESULTS, SCORES, Cell, Study

# Of each finished cell, beside its scores; units are in the names.
FACTS = (
    *("representation", "architecture", "seed", "learning_rate", "parameters"),
    *("gflop_a_second", "steps", "training_tflop", "audio_hours", "training_seconds"),
    *("times_real_time", "peak_memory_mb"),
)
SHOWN = ("si_sdr", "si_sdri", "sir")  # scores in the table; the CSV has all


def scores_of(study: Study, cell: Cell) -> list[Row]:
    """What the cell scored on every track."""
    return read_csv(study.place(cell) / SCORES)


def rows_of(study: Study, done: Mapping[Cell, dict]) -> list[dict]:
    """A row for each cell, test and source (and all): facts, and scores over tracks."""
    rows = []
    for cell, result in done.items():
        facts = {name: result.get(name, math.nan) for name in FACTS}
        found = {}
        for summary in summaries(scores_of(study, cell)):
            if summary.test != EXCERPT:
                key = summary.test, summary.source
                found.setdefault(key, {})[summary.metric] = summary.value
        rows += [
            facts | {"test": test, "source": source} | scores
            for (test, source), scores in found.items()
        ]
    return rows


def write_rows(path: Path, rows: list[dict]) -> None:
    """results.csv."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    write_csv(path, [[row.get(name) for name in columns] for row in rows], columns)


def read_rows(places: list[Path], test: str) -> list[dict]:
    """What other studies scored on a test set: rows of their folders, or of tables.

    Raises:
      UserError: one has no such results.
    """
    rows = []
    for place in places:
        path = place / RESULTS if place.is_dir() else place
        try:
            with path.open(newline="", encoding="utf-8") as file:
                found = [row for row in csv.DictReader(file) if row["test"] == test]
            for row in found:
                row["si_sdr"] = float(row["si_sdr"] or math.nan)
                row["learning_rate"] = float(row["learning_rate"])
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"{place}: holds no study ({error})") from None
        if not found:
            raise UserError(f"{place}: holds no scores of test {test}")
        rows += found
    return rows


def ranking(rows: list[dict], test: str) -> list[tuple[str, str]]:
    """Their pairs, the highest mean SI-SDR on a test set first."""
    groups = by_pair(rows)
    return sorted(groups, key=lambda pair: _order(score(groups[pair], test)), reverse=True)


def by_pair(rows: Iterable[dict]) -> dict[tuple[str, str], list[dict]]:
    """Rows of each pair: its tests, sources and seeds."""
    found: dict[tuple[str, str], list[dict]] = {}
    for row in rows:
        found.setdefault((row["representation"], row["architecture"]), []).append(row)
    return found


def score(rows: Iterable[dict], test: str, name: str = "si_sdr") -> float:
    """The mean of a score of all sources over seeds."""
    return mean(
        row[name]
        for row in rows
        if (row["test"], row["source"]) == (test, ALL) and name in row
    )


def mean(values: Iterable[float]) -> float:
    """Of those that are numbers; NaN if none is."""
    numbers = [value for value in values if not math.isnan(value)]
    return statistics.fmean(numbers) if numbers else math.nan


def _order(value: float) -> float:
    """What sorts a score: without a number it is the worst."""
    return -math.inf if math.isnan(value) else value


def table(rows: list[dict], tests: Sequence[str]) -> str:
    """Markdown: a line for each pair, the best on the first test first."""
    columns: list[tuple[str, Callable[[list[dict]], str]]] = [
        ("representation", lambda rows: rows[0]["representation"]),
        ("architecture", lambda rows: rows[0]["architecture"]),
        ("parameters, M", _of("parameters", 1e-6, ".2f")),
        ("GFLOP a second", _of("gflop_a_second", 1, ".2f")),
        ("learning rate", _of("learning_rate", 1, "g")),
        ("steps", _of("steps", 1, ".0f")),
        ("audio, hours", _of("audio_hours", 1, ".1f")),
        ("training, min", _of("training_seconds", 1 / 60, ".1f")),
        ("x real time", _of("times_real_time", 1, ".0f")),
        ("memory, MB", _of("peak_memory_mb", 1, ".0f")),
        *(
            (f"{test}: {LABELS[name]}", _score_of(test, name))
            for test in tests
            for name in SHOWN
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
    """Markdown: how far pairs are from the first one, in the mean over tracks.

    `rows` are the scores of all their cells; a track's score is the mean over seeds. In
    brackets are 95 % intervals, for both had the same tracks.
    """
    values: dict[Row, list[float]] = {}
    for row in rows:
        values.setdefault(row._replace(value=0.0), []).append(row.value)
    pooled = [row._replace(value=mean(found)) for row, found in values.items()]
    base, *others = [Cell(*pair, 0).title for pair in pairs]
    columns = [(test, metric) for test in tests for metric in ("si_sdr", "sir")]
    found = {
        (d.test, d.metric, d.system): f"{d.value:+.2f} ({d.low:+.2f} to {d.high:+.2f})"
        for metric in ("si_sdr", "sir")
        for d in differences(pooled, base, metric)
    }
    lines = [
        [f"against {base}", *(f"{test}: {LABELS[metric]}" for test, metric in columns)],
        ["---"] * (1 + len(columns)),
        *([name, *(found.get((*which, name), "") for which in columns)] for name in others),
    ]
    return markdown(lines)


def _of(name: str, factor: float, form: str) -> Callable[[list[dict]], str]:
    return lambda rows: format(factor * mean(row[name] for row in rows), form)


def _score_of(test: str, name: str) -> Callable[[list[dict]], str]:
    """The mean, and between which means of a seed it lies, if there are several."""

    def text(rows: list[dict]) -> str:
        seeds = dict.fromkeys(row["seed"] for row in rows)
        means = [score([r for r in rows if r["seed"] == s], test, name) for s in seeds]
        among = f" ({min(means):.2f} to {max(means):.2f})" if len(means) > 1 else ""
        return f"{score(rows, test, name):.2f}{among}"

    return text


def write_listening_page(study: Study, done: Mapping[Cell, dict]) -> Path:
    """The excerpt, as every cell separates it, the best first."""
    from sep.listening_page.page import Line, Track, write_page

    seeds = Counter(cell.title for cell in done)
    rows = {cell: scores_of(study, cell) for cell in done}
    sources = list(dict.fromkeys(row.source for found in rows.values() for row in found))
    kept = places(EXCERPT, study.excerpt, sources)
    titles, lines = [], {}
    for cell in sorted(rows, key=lambda cell: _heard_score(rows[cell]), reverse=True):
        several = seeds[cell.title] > 1
        name = f"{cell.title}, seed {cell.seed}" if several else cell.title
        for title, new in heard(kept, [cell.title], rows[cell], study.place(cell)):
            titles.append(title)
            for source, system, path, scores in new:
                system = name if system == cell.title else system
                labelled = {LABELS[metric]: value for metric, value in scores.items()}
                # Mixture and references come with each cell, and are shown once.
                lines[source, system] = Line(source, system, path, labelled)
    note = "One excerpt, as each cell separates it. Scores are in dB, of the excerpt alone."
    track = Track(titles[0], list(lines.values()))
    return write_page(study.out / "page", "Sep: the study", [track], note)


def _heard_score(rows: list[Row]) -> float:
    return _order(
        mean(row.value for row in rows if row.test == EXCERPT and row.metric == "si_sdr")
    )
