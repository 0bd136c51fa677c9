"""Means, medians, intervals and paired differences of known rows, and their tables."""

import numpy as np
import pytest

from sep.evaluation import tables
from sep.evaluation.metrics import MAIN, METRICS
from sep.evaluation.score import Row
from sep.evaluation.statistics import ALL, by_track, differences, interval, summaries


def rows_of(values, metric="si_sdr"):
    """Rows from {(system, source): a value for each track}."""
    return [
        Row("A", f"track {n}", source, system, metric, float(value))
        for (system, source), of_tracks in values.items()
        for n, value in enumerate(of_tracks)
    ]


def test_the_interval_of_a_mean_is_about_two_standard_errors_wide():
    values = np.random.default_rng(1).standard_normal(400) + 5
    low, high = interval(values)
    assert low < values.mean() < high
    assert high - low == pytest.approx(4 * values.std() / 20, rel=0.1)
    assert interval(values) == (low, high)  # the same every time


def test_the_interval_of_equal_values_is_empty():
    assert interval(np.full(5, 3.0)) == (3, 3)


def test_ratios_are_medians_and_other_metrics_means_over_tracks():
    values = {("x", "piano"): [1, 2, 9], ("x", "violin"): [3, 4, 5]}
    found = {s.source: s for s in summaries(rows_of(values))}
    assert [found[name].value for name in ("piano", "violin", ALL)] == [4, 4, 4]
    found = {s.source: s for s in summaries(rows_of(values, "sir"))}
    assert [found[name].value for name in ("piano", "violin", ALL)] == [2, 4, 3]
    assert all(s.tracks == 3 for s in found.values())


def test_tracks_without_a_value_are_left_out():
    rows = rows_of({("x", "piano"): [1, np.nan, 3], ("x", "violin"): [1, 1, 1]})
    assert by_track(rows, "A", "piano", "x", "si_sdr") == {"track 0": 1, "track 2": 3}
    assert by_track(rows, "A", ALL, "x", "si_sdr") == {"track 0": 1, "track 2": 2}


def test_infinite_values_have_no_interval():
    (piano, both) = summaries(rows_of({("x", "piano"): [np.inf, 3]}))
    assert piano.value == piano.low == piano.high == np.inf
    assert both.value == np.inf


def test_differences_are_of_the_same_tracks():
    rows = rows_of({("x", "piano"): [1, 2, 3, 100], ("base", "piano"): [0, 1, 2]})
    (found,) = differences(rows, "base", "si_sdr")
    assert (found.system, found.tracks) == ("x", 3)
    assert (found.value, found.low, found.high) == (1, 1, 1)


def test_differences_are_of_finite_values():
    rows = rows_of(
        {("x", "piano"): [np.inf, 2, 3, -np.inf], ("base", "piano"): [np.inf, 1, 2, 5]}
    )
    (found,) = differences(rows, "base", "si_sdr")
    assert (found.tracks, found.value) == (2, 1)
    rows = rows_of({("x", "piano"): [np.inf], ("base", "piano"): [np.inf]})
    assert differences(rows, "base", "si_sdr") == []


def test_tables_name_every_system_and_mark_missing_values():
    rows = rows_of({("x", "piano"): [1, 3], ("y", "piano"): [2, 4]})
    rows += rows_of({("x", "piano"): [7, 7]}, "sir")
    text = tables.scores(summaries(rows))
    assert "| A (2 tracks) | source | SI-SDR | SIR |" in text
    assert "| x | piano | 2.00 (1.00 to 3.00) | 7.00 |" in text
    assert "| y | piano | 3.00 (2.00 to 4.00) | – |" in text
    assert "| system | A: SI-SDR | A: SIR | A: SAR |" in tables.overview(summaries(rows))
    assert "| x | 2.00 (1.00 to 3.00) | 7.00 | – |" in tables.overview(summaries(rows))
    better = tables.differences(differences(rows, "x", "si_sdr"), "x")
    assert "| y | +1.00 |" in better  # on every track the same
    rounding = tables.scores(summaries(rows_of({("x", "piano"): [180, 190]}, "sar")))
    assert "| x | piano | > 100 |" in rounding


def test_rows_survive_their_file(tmp_path):
    rows = rows_of({("x", "piano, old"): [1, np.inf, -0.125]})
    tables.write_csv(tmp_path / "results.csv", rows, Row._fields)
    assert tables.read_csv(tmp_path / "results.csv") == rows


def test_the_table_of_metrics_is_consistent():
    labels = [metric.label for metric in METRICS.values()]
    assert len(set(labels)) == len(labels) and all(labels)
    assert {metric.statistic for metric in METRICS.values()} == {"mean", "median"}
    assert METRICS[MAIN].in_overview and METRICS[MAIN].axis_label == "SI-SDR (dB)"


def test_rows_of_an_unknown_metric_are_shown_by_its_name():
    text = tables.scores(summaries(rows_of({("x", "piano"): [1, 3, 8]}, "other")))
    assert "| source | other |" in text and "| x | piano | 4.00 |" in text
