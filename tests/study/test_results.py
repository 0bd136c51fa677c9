"""Results of a study: tables, rankings, the listening page, plots."""

import numpy as np
import pytest
from studies import RATE, row, study_in

from sep import audio
from sep.errors import UserError
from sep.evaluation import tracks
from sep.evaluation.score import Row, sound_folder
from sep.evaluation.tables import write_csv
from sep.study.plan import EXCERPT, SCORES, Cell
from sep.study.results import (
    differences_table,
    mean,
    ranking,
    read_rows,
    score,
    table,
    write_listening_page,
    write_rows,
)


def test_tables_and_rankings_are_of_all_sources_and_seeds(tmp_path):
    rows = [
        row("mel", "fnn", 1.0),
        row("mel", "fnn", 3.0, seed=1),
        row("mel", "fnn", 50.0, source="piano"),
        row("mdct", "lstm", 4.0),
        row("mdct", "lstm", 0.0, test="B"),
    ]
    assert score(rows[:3], "A") == 2.0
    text = table(rows, ["A", "B"])
    first, second = text.splitlines()[2:]
    assert first.startswith("| mdct | lstm |") and first.endswith("| 0.00 | 1.00 | 2.00 |")
    assert "2.00 (1.00 to 3.00)" in second
    write_rows(tmp_path / "results.csv", rows)
    for place in (tmp_path, tmp_path / "results.csv"):
        assert ranking(read_rows([place], "A"), "A") == [("mdct", "lstm"), ("mel", "fnn")]
    with pytest.raises(UserError, match="no scores of test C"):
        read_rows([tmp_path], "C")
    assert np.isnan(mean([])) and mean([1.0, float("nan"), 3.0]) == 2.0


def test_pairs_without_a_score_come_last():
    nan = float("nan")
    rows = [row("mel", "fnn", nan), row("mdct", "fnn", -5.0), row("mel", "rnn", 1.0)]
    for found in (rows, rows[::-1]):
        assert ranking(found, "A") == [("mel", "rnn"), ("mdct", "fnn"), ("mel", "fnn")]
        assert [line.split()[1] for line in table(found, ["A"]).splitlines()[2:]] == [
            *("mel", "mdct", "mel")
        ]


def test_the_page_has_every_cell_with_sounds(tmp_path):
    study = study_in(tmp_path)
    track = study.excerpt / "song"
    for name in ("mixture", "piano", "violin"):
        audio.write(track / f"{name}.wav", np.full((1, 800), 0.1), RATE)
    planned = [
        *(Cell("mel", "fnn", 0), Cell("mel", "fnn", 1), Cell("mel", "fnn", 2)),
        Cell("mdct", "rnn", 0),
    ]
    place = tracks.Place(EXCERPT, "song", track / "mixture", {})
    for cell in planned:
        folder = study.place(cell)
        scores = [
            Row(EXCERPT, "song", source, cell.title, "si_sdr", float(cell.seed))
            for source in ("piano", "violin")
        ]
        write_csv(folder / SCORES, scores, Row._fields)
        for source in ("piano", "violin") if cell.seed != 1 else ():  # its sounds are lost
            sound = sound_folder(folder, place, cell.title) / f"{source}.wav"
            audio.write(sound, np.full((1, 800), 0.05), RATE)
    write_listening_page(study, dict.fromkeys(planned, {}))
    page = (tmp_path / "page/index.html").read_text()
    shown = [seed for seed in range(3) if f"fnn on mel, seed {seed}" in page]
    assert shown == [0, 2]
    assert "rnn on mdct" in page and "rnn on mdct, seed" not in page


def test_differences_are_paired_by_track_and_of_all_seeds():
    def scored(title, track, metric, value):
        return [Row("A", track, name, title, metric, value) for name in ("piano", "violin")]

    rows = []
    for track, level in (("song", 0.0), ("tune", 10.0)):  # one is easy for all
        for seed in (-0.5, 0.5):
            rows += scored("rnn on mel", track, "si_sdr", level + seed)
            rows += scored("fnn on mel", track, "si_sdr", level + seed - 2)
        rows += scored("rnn on mel", track, "sir", level)
        rows += scored("fnn on mel", track, "sir", level - (1 if level else 3))
    text = differences_table(rows, [("mel", "rnn"), ("mel", "fnn"), ("mdct", "cnn")], ["A"])
    head, _, fnn, cnn = text.splitlines()
    assert head == "| against rnn on mel | A: SI-SDR | A: SIR |"
    assert fnn == "| fnn on mel | -2.00 (-2.00 to -2.00) | -2.00 (-3.00 to -1.00) |"
    assert cnn == "| cnn on mdct |  |  |"


def test_plots_are_drawn_with_gaps_in_the_grid(tmp_path):
    plots = pytest.importorskip("sep.study.plots")
    rows = [row("mel", "fnn", 1.0), row("mdct", "lstm", 4.0)]
    curve = {"representation": "mel", "architecture": "fnn", "curve": [[0.1, 1], [0.2, 2]]}
    plots.heat_map(tmp_path / "a.png", rows, ["A"], "sir")
    plots.quality_against_cost(tmp_path / "b.png", rows, "A")
    plots.learning_curves(tmp_path / "c.png", [curve])
    for name in "abc":
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
