"""Numbers over tracks: what a table says of rows of scores, and how sure it can be.

Shapes: N track.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from sep.evaluation.score import Row

_DRAWS = 10_000
# Ratios of parts are medians over tracks, as in the field's campaigns; all else is means.
MEDIANS = frozenset({"sdr", "isr", "sir", "sar", "leakage"})


class Summary(NamedTuple):
    """Of a metric over the tracks of a test set, in dB; `source` may be `ALL`."""

    test: str
    source: str
    system: str
    metric: str
    tracks: int  # that have this number
    value: float
    low: float  # 95 % bootstrap interval
    high: float


ALL = "all"  # sources: the mean of each track's sources


def interval(values_N: np.ndarray, statistic: Callable = np.mean) -> tuple[float, float]:
    """95 % bootstrap interval of a statistic, by percentiles; the same every time.

    It takes tracks for independent of each other. `statistic` takes an axis.
    """
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(values_N), size=(_DRAWS, len(values_N)))
    low, high = np.percentile(statistic(values_N[drawn], axis=1), [2.5, 97.5])
    return float(low), float(high)


def by_track(
    rows: Sequence[Row], test: str, source: str, system: str, metric: str
) -> dict[str, float]:
    """A number for each track that has one; of `ALL` sources, if all have one."""
    found = {}
    for row in rows:
        if (row.test, row.system, row.metric) == (test, system, metric):
            found.setdefault(row.track, {})[row.source] = row.value
    if source == ALL:
        means = {track: np.mean(list(values.values())) for track, values in found.items()}
    else:
        means = {t: values[source] for t, values in found.items() if source in values}
    return {track: float(value) for track, value in means.items() if not np.isnan(value)}


def summaries(rows: Sequence[Row]) -> list[Summary]:
    """Of every test set, source (and all), system and metric, in the order of the rows."""
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


def _summary(test, source, system, metric, values) -> Summary:
    values_N = np.array(values)
    statistic = np.median if metric in MEDIANS else np.mean
    value = low = high = float(statistic(values_N))
    if np.isfinite(values_N).all():
        low, high = interval(values_N, statistic)
    return Summary(test, source, system, metric, len(values_N), value, low, high)


def differences(rows: Sequence[Row], base: str, metric: str) -> list[Summary]:
    """How much better each system is than `base`, in the mean.

    On the tracks where both have a finite number.
    """
    found = []
    for test in dict.fromkeys(row.test for row in rows):
        theirs = by_track(rows, test, ALL, base, metric)
        for system in dict.fromkeys(row.system for row in rows):
            ours = by_track(rows, test, ALL, system, metric)
            both = [
                track
                for track in ours
                if np.isfinite(ours[track]) and np.isfinite(theirs.get(track, np.nan))
            ]
            if system == base or not both:
                continue
            gain_N = np.array([ours[track] - theirs[track] for track in both])
            low, high = interval(gain_N)
            found.append(
                Summary(
                    test, ALL, system, metric, len(both), float(gain_N.mean()), low, high
                )
            )
    return found
