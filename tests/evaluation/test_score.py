"""Scores of tracks, and the notes from which an evaluation resumes."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from builders import noise

from sep.evaluation import score
from sep.evaluation.metrics import METRICS, Metric
from sep.evaluation.references import ReferenceOptions
from sep.evaluation.score import System, evaluate, scores
from sep.evaluation.systems import of_reference
from sep.evaluation.tracks import Place, Track, places

RATE, SOURCES = 8000, ("piano", "violin")
BSS_EVAL = ("sdr", "isr", "sir", "sar")


def track_of(references_SCT):
    place = Place("set", "one", None, dict.fromkeys(SOURCES))
    return Track(place, RATE, references_SCT.sum(0), references_SCT)


def test_every_metric_has_a_value_for_perfect_and_useless_estimates():
    track = track_of(noise(2, 1, 2 * RATE))
    estimates_SCT = of_reference("mixture", SOURCES, ReferenceOptions()).estimate(track)
    useless, perfect = scores(track, estimates_SCT), scores(track, track.references_SCT)
    assert tuple(useless) == tuple(perfect) == tuple(METRICS)
    np.testing.assert_allclose(useless["si_sdri"], 0, atol=1e-6)
    assert (perfect["si_sdr"] > 100).all()
    assert (perfect["sdr"] > 100).all()
    assert np.isnan(perfect["leakage"]).all()  # no source rests


def test_leakage_is_measured_in_the_seconds_in_which_a_source_rests():
    references_SCT = noise(2, 2, 3 * RATE)
    references_SCT[0, :, RATE : 2 * RATE] = 0
    estimates_SCT = references_SCT + 0.1 * references_SCT[::-1]
    found_S = scores(track_of(references_SCT), estimates_SCT, ["leakage"])["leakage"]
    assert found_S[0] == pytest.approx(-20, abs=1e-4)
    assert np.isnan(found_S[1])
    short = track_of(references_SCT[..., :100])
    found_S = scores(short, estimates_SCT[..., :100], ["leakage"])["leakage"]
    assert np.isnan(found_S).all()


# Resuming


@pytest.fixture
def quick_metrics():
    """Leaves out BSS Eval, which takes seconds."""
    known = dict(METRICS)
    for name in BSS_EVAL:
        del METRICS[name]
    yield
    METRICS.clear()  # the order matters
    METRICS.update(known)


@pytest.fixture
def evaluation(tmp_path, quick_metrics):
    """Two tracks and a system; `run` scores them and checks for which ones it estimates."""
    for number, track in enumerate(("one", "two")):
        folder = tmp_path / "set" / track
        folder.mkdir(parents=True)
        stems_SCT = noise(2, 1, 4000, seed=number)
        stems_SCT[0, :, :2000] = 0
        for name, wave_CT in (
            *zip(SOURCES, stems_SCT, strict=True),
            ("mixture", stems_SCT.sum(0)),
        ):
            soundfile.write(folder / f"{name}.wav", wave_CT.T, RATE, "FLOAT")
    out, calls = tmp_path / "out", []

    def estimate(track):
        calls.append(track.place.name)
        return track.references_SCT + 0.1 * track.references_SCT[::-1]

    def run(estimated, identity="1", kept=2):
        calls.clear()
        tracks = places("set", tmp_path / "set", SOURCES)
        system = System("tool", estimate, lambda place: identity)
        rows, errors = evaluate(tracks, [system], out, tracks[:kept])
        assert errors == [] and calls == estimated
        assert [row.metric for row in rows[:: len(SOURCES)]] == 2 * list(METRICS)
        return rows

    def written():
        files = sorted(path for path in out.rglob("*") if path.is_file())
        return {path.relative_to(out): path.stat().st_mtime_ns for path in files}

    notes = sorted(out / "scores" / "set" / track / "tool.json" for track in ("one", "two"))
    return SimpleNamespace(run=run, written=written, notes=notes)


def without_nan(rows):
    return [row._replace(value=str(row.value)) for row in rows]


def level(signals):
    return 10 * np.log10((signals.estimates_SX**2).mean(1))


def test_scores_that_are_complete_are_not_computed_again(evaluation):
    rows = evaluation.run(["one", "two"])
    written = evaluation.written()
    assert without_nan(evaluation.run([])) == without_nan(rows)
    assert evaluation.written() == written
    assert len(written) == 2 + 4  # notes and sounds


def test_a_metric_that_was_added_is_computed_and_changes_no_other_score(
    evaluation, monkeypatch
):
    rows = evaluation.run(["one", "two"])
    sounds = {p: t for p, t in evaluation.written().items() if p.parts[0] == "sounds"}
    computed = []
    for name, metric in list(METRICS.items()):

        def function(signals, name=name, metric=metric):
            computed.append(name)
            return metric.function(signals)

        monkeypatch.setitem(METRICS, name, metric._replace(function=function))
    monkeypatch.setitem(METRICS, "level", Metric("level", level))
    more = evaluation.run(["one", "two"])
    assert computed == []
    assert evaluation.written().items() >= sounds.items()
    added = [row for row in more if row.metric == "level"]
    assert len(added) == 4 and all(np.isfinite(row.value) for row in added)
    assert without_nan(row for row in more if row.metric != "level") == without_nan(rows)
    assert without_nan(evaluation.run([])) == without_nan(more)


def test_a_metric_with_another_version_is_computed_again(evaluation, monkeypatch):
    rows = evaluation.run(["one", "two"])
    doubled = METRICS["usdr"]._replace(
        version=2, function=lambda s: 2 * METRICS["si_sdr"].function(s)
    )
    monkeypatch.setitem(METRICS, "usdr", doubled)
    changed = evaluation.run(["one", "two"])
    expected = {row[:4]: 2 * row.value for row in rows if row.metric == "si_sdr"}
    assert {row[:4]: row.value for row in changed if row.metric == "usdr"} == expected
    others = [[row for row in found if row.metric != "usdr"] for found in (rows, changed)]
    assert without_nan(others[0]) == without_nan(others[1])
    evaluation.run([])


def test_notes_of_the_first_format_are_read_and_completed(evaluation, monkeypatch):
    rows = evaluation.run(["one", "two"])
    for path in evaluation.notes:
        note = json.loads(path.read_text())
        del note["metrics"]
        path.write_text(json.dumps(note | {"format": "sep-scores-1"}))
    written = evaluation.written()
    assert without_nan(evaluation.run([])) == without_nan(rows)
    assert evaluation.written() == written
    monkeypatch.setitem(METRICS, "level", Metric("level", level))
    more = evaluation.run(["one", "two"])
    assert without_nan(row for row in more if row.metric != "level") == without_nan(rows)
    assert {json.loads(path.read_text())["format"] for path in evaluation.notes} == {
        score.FORMAT
    }


@pytest.mark.parametrize(
    "change",
    [
        lambda note: note | {"format": "sep-scores-9"},
        lambda note: note | {"rows": 7},
        lambda note: note | {"rows": [row[:3] for row in note["rows"]]},
        lambda note: note | {"rows": [[*row[:5], "loud"] for row in note["rows"]]},
        lambda note: {k: v for k, v in note.items() if k != "metrics"},
        lambda note: [note],
    ],
)
def test_unusable_notes_are_replaced(evaluation, change):
    rows = evaluation.run(["one", "two"])
    path = evaluation.notes[1]
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    assert without_nan(evaluation.run(["two"])) == without_nan(rows)


def test_a_changed_system_and_lost_sounds_are_scored_again(evaluation):
    evaluation.run(["one", "two"], kept=0)
    assert len(evaluation.written()) == 2
    evaluation.run(["one"], kept=1)  # now with sounds of the first track
    evaluation.run(["one", "two"], identity="2", kept=1)
    evaluation.run([], identity="2", kept=1)


def test_infinite_and_missing_values_survive_a_note(evaluation, monkeypatch):
    values = [np.inf, np.nan]
    monkeypatch.setitem(METRICS, "strange", Metric("strange", lambda s: np.array(values)))
    for estimated in (["one", "two"], []):
        rows = evaluation.run(estimated)
        found = [row.value for row in rows if row.metric == "strange"]
        np.testing.assert_array_equal(found, 2 * values)
