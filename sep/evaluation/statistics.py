"""Summaries of scores over tracks, with bootstrap intervals.

Shapes: N track.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from sep.evaluation.metrics import METRICS
from sep.evaluation.score import Row

ALL = "all"  # in place of a source: the mean of each track's sources
_DRAWS = 10_000  # of the bootstrap


class ScoreSummary(NamedTuple):
    """Mean or median of a metric over the tracks of a test set, in the metric's unit."""

    test: str
    source: str  # may be ALL
    system: str
    metric: str
    tracks: int  # number of tracks that have a value
    value: float
    low: float  # of the 95 % bootstrap interval
    high: float


def interval(
    values_N: np.ndarray, statistic: Callable[..., Any] = np.mean
) -> tuple[float, float]:
    """95 % bootstrap interval of a statistic, by percentiles; the same on every call.

    Tracks are taken to be independent of each other. `statistic` takes an axis.
    """
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(values_N), size=(_DRAWS, len(values_N)))
    low, high = np.percentile(statistic(values_N[drawn], axis=1), [2.5, 97.5])
    return float(low), float(high)


def by_track(
    rows: Sequence[Row], test: str, source: str, system: str, metric: str
) -> dict[str, float]:
    """Values of a metric by track; tracks without one are left out.

    For `ALL`, a track without a value for one of its sources is left out.
    """
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        if (row.test, row.system, row.metric) == (test, system, metric):
            found.setdefault(row.track, {})[row.source] = row.value
    if source == ALL:
        means = {t: float(np.mean(list(values.values()))) for t, values in found.items()}
    else:
        means = {t: values[source] for t, values in found.items() if source in values}
    return {track: value for track, value in means.items() if not np.isnan(value)}


def summaries(rows: Sequence[Row]) -> list[ScoreSummary]:
    """Summaries of every test set, system, source (and `ALL`) and metric.

    Each in the order of the rows.
    """
    found = []
    columns = [list(dict.fromkeys(column)) for column in list(zip(*rows, strict=True))[:5]]
    tests, _, sources, systems, metrics = columns
    for test in tests:
        for system in systems:
            for source in (*sources, ALL):
                for metric in metrics:
                    values = by_track(rows, test, source, system, metric)
                    if values:
                        found.append(
                            _summary(test, source, system, metric, list(values.values()))
                        )
    return found


def _summary(
    test: str, source: str, system: str, metric: str, values: Sequence[float]
) -> ScoreSummary:
    values_N = np.array(values)
    has_median = metric in METRICS and METRICS[metric].statistic == "median"
    statistic = np.median if has_median else np.mean
    value = low = high = float(statistic(values_N))
    if np.isfinite(values_N).all():
        low, high = interval(values_N, statistic)
    return ScoreSummary(test, source, system, metric, len(values_N), value, low, high)


def differences(rows: Sequence[Row], base: str, metric: str) -> list[ScoreSummary]:
    """Mean differences between each other system and `base`, for the mean of all sources.

    They are over the tracks where both have a finite value.
    """
    found = []
    for test in dict.fromkeys(row.test for row in rows):
        base_values = by_track(rows, test, ALL, base, metric)
        for system in dict.fromkeys(row.system for row in rows):
            values = by_track(rows, test, ALL, system, metric)
            both = [
                track
                for track in values
                if np.isfinite(values[track])
                and np.isfinite(base_values.get(track, np.nan))
            ]
            if system == base or not both:
                continue
            gain_N = np.array([values[track] - base_values[track] for track in both])
            mean, (low, high) = float(gain_N.mean()), interval(gain_N)
            found.append(
                ScoreSummary(test, ALL, system, metric, len(both), mean, low, high)
            )
    return found
