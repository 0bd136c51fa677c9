"""The study: planned, interrupted, gone on with, and reported, with real processes."""

import csv
import json
import os
import runpy
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from sep import audio
from sep.errors import Diverged, UserError
from sep.evaluation import tracks
from sep.evaluation.score import Row, sound_folder
from sep.evaluation.statistics import ALL
from sep.evaluation.tables import write_csv
from sep.runtime.processes import each_alone
from sep.runtime.settings import changed
from sep.study import cell as one_cell
from sep.study import excerpt, rounds
from sep.study.cell import with_steps
from sep.study.plan import EXCERPT, SCORES, Budget, Cell, Study, cells, names_among
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
from sep.training.settings import RunSettings

ROOT = Path(__file__).parents[2]
RATE = 8000
TINY = [
    "--representations=waveform,mdct",
    "--architectures=fnn",
    "--config.model.sample_rate=8000",
    "--config.model.waveform.frame_length=128",
    "--config.model.waveform.hop_length=64",
    "--config.model.mdct.frame_length=128",
    "--config.model.fnn.width=16",
    "--config.data.crop_seconds=0.5",
    "--config.data.batch_size=2",
    "--config.data.equaliser_db=0",
    "--config.data.band_limit=0",
    "--config.train.eval_crops=2",
    "--config.train.eval_seconds=0.5",
    "--config.separation.chunk_seconds=1",
    "--config.data.cache=cache",
]
COMMAND = ["--data=data", "--tests=A=test", "--out=out", "--excerpt_seconds=1.5", *TINY]


def row(representation, architecture, value, *, seed=0, test="A", source=ALL):
    facts = dict.fromkeys(("parameters", "gflop_a_second", "steps", "audio_hours"), 1.0)
    facts |= dict.fromkeys(("training_seconds", "times_real_time", "peak_memory_mb"), 60.0)
    names = {"representation": representation, "architecture": architecture, "seed": seed}
    scores = {"si_sdr": value, "si_sdri": value + 1, "sir": value + 2}
    where = {"learning_rate": 1e-3, "test": test, "source": source}
    return names | facts | where | scores


def test_cells_are_pairs_times_seeds():
    found = cells([("mel", "fnn"), ("mdct", "lstm")], range(2))
    assert found[:2] == [Cell("mel", "fnn", 0), Cell("mdct", "lstm", 0)]
    assert [cell.seed for cell in found] == [0, 0, 1, 1]
    assert len({cell.name for cell in found}) == 4
    assert names_among("representation", [], ["a", "b"]) == ["a", "b"]
    with pytest.raises(UserError, match="unknown representation 'c'; known: a, b"):
        names_among("representation", ["c"], ["b", "a"])


def test_budgets_buy_steps():
    run = RunSettings()
    bought = with_steps(run, Budget(None, 2.0), 1e9, 10)
    assert bought == changed(run, {"train.steps": 2000, "train.eval_every": 200})
    assert with_steps(run, Budget(7, None), 1e9, 10).train.eval_every == 1
    assert Budget(None, 2.0).share(0.1) == Budget(None, pytest.approx(0.2))
    assert Budget(30, None).share(0.1) == Budget(3, None)


def study_in(folder, rates=(1e-3,)):
    run = changed(RunSettings(), {"model.level_free": False})
    tests = {"A": folder / "test"}
    return Study(folder, run, Budget(5, None), folder / "data", tests, rates, 0.1)


def test_a_folder_keeps_to_one_study(tmp_path):
    study = study_in(tmp_path)
    study.claim()
    study.claim()
    older = json.loads((tmp_path / "study.json").read_text())
    del older["config"]["model"]["level_free"]  # of a version that could not do it,
    del older["config"]["model"]["harmonic"]  # and did not know this
    (tmp_path / "study.json").write_text(json.dumps(older))
    study.claim()
    with_changes = partial(changed, study.settings)
    study._replace(settings=with_changes({"seed": 7})).claim()  # cells have their own
    elsewhere = {"data.cache": "/elsewhere", "data.workers": 7}
    study._replace(settings=with_changes(elsewhere)).claim()
    others = {
        r"budget was \[5, None\] and is \[6, None\]; rates was \[0.001\] and is": {
            "budget": Budget(6, None),
            "rates": (1e-2,),
        },
        r"\(config.data.solos was 0.0 and is 0.3\); use its settings": {
            "settings": with_changes({"data.solos": 0.3})
        },
        r"tests.B was None and is .*; tests.A|tests.A was .* and is None; tests.B": {
            "tests": {"B": tmp_path / "test"}
        },
    }
    for message, changes in others.items():
        with pytest.raises(UserError, match=message):
            study._replace(**changes).claim()


def test_what_is_missing_is_told_before_anything_is_trained(tmp_path):
    study, wave_CT = study_in(tmp_path), np.full((1, 9000), 0.1)
    with pytest.raises(UserError, match="data/train: no such folder"):
        study.check()
    for name in ("piano", "violin"):
        for split in ("train", "valid"):
            audio.write(tmp_path / "data" / split / name / "a.wav", wave_CT, RATE)
    for name in ("song/mixture", "song/piano", "song/violin", "tune/mixture"):
        audio.write(tmp_path / "test" / f"{name}.wav", wave_CT, RATE)
    with pytest.raises(UserError, match=r"tune/piano\.\*: this file .* is missing"):
        study.check()
    for name in ("piano", "violin"):
        audio.write(tmp_path / "test/tune" / f"{name}.wav", wave_CT, RATE)
    study.check()


def test_a_cells_folder_keeps_to_one_config(tmp_path):
    job = study_in(tmp_path).job(Cell("mel", "fnn", 0), 1e-3)
    assert job.result is None
    job.claim()
    job.claim()
    elsewhere = {"data.cache": "/elsewhere", "data.workers": 7}
    job._replace(settings=changed(job.settings, elsewhere)).claim()
    other = job._replace(settings=changed(job.settings, {"seed": 1}))
    for refuses in (other.claim, lambda: other.result):
        with pytest.raises(UserError, match="mel-fnn-0: holds a run with another config"):
            refuses()


def test_the_excerpt_is_whole_or_not_there(tmp_path):
    study, track = study_in(tmp_path), tmp_path / "test/song"
    waves = {
        name: np.full((1, 9000), 0.1 * n) for n, name in enumerate(("piano", "violin"))
    }
    waves["mixture"] = sum(waves.values())
    for name in ("mixture", "piano"):
        audio.write(track / f"{name}.wav", waves[name], RATE, "FLOAT")
    with pytest.raises(UserError, match="violin.*: this file of the track is missing"):
        excerpt.write(study, None, 0.25)
    assert not study.excerpt.exists()
    audio.write(track / "violin.wav", waves["violin"], RATE, "FLOAT")
    excerpt.write(study, None, 0.25)
    for name, wave_CT in waves.items():
        part_CT, rate = audio.read(study.excerpt / "song" / f"{name}.wav")
        np.testing.assert_allclose(part_CT, wave_CT[:, 3500:5500], atol=1e-6)
        assert rate == RATE
    excerpt.write(study, track, 0.25)
    with pytest.raises(UserError, match="excerpt: is of another track"):
        excerpt.write(study, tmp_path / "test/other", 0.25)


def probed(outcome, monkeypatch, study, architectures=("fnn", "lstm")):
    """Rates that are chosen if each probe ends as `outcome(architecture, rate)` says."""

    def outcomes(titled, jobs, commit):
        return [
            outcome(job.settings.model.architecture, job.settings.train.learning_rate)
            for _, job in titled
        ]

    monkeypatch.setattr(rounds, "outcomes", outcomes)
    planned = cells([("mel", name) for name in architectures], range(1))
    return rounds.chosen_rates(study, planned, {}, 1, "")


def test_the_best_probe_chooses_the_rate(tmp_path, monkeypatch):
    def outcome(architecture, rate):
        if rate == 1.0:
            return None, Diverged("no finite gradient")
        score = rate if architecture == "fnn" else -rate
        return {"curve": [[0.1, 0.0], [0.2, score]]}, None

    found = probed(outcome, monkeypatch, study_in(tmp_path, (1e-3, 1e-2, 1.0)))
    assert found == {"fnn": 1e-2, "lstm": 1e-3}
    assert json.loads((tmp_path / "rates.json").read_text()) == found


def test_probes_that_fail_choose_nothing(tmp_path, monkeypatch):
    def outcome(architecture, rate):
        if (architecture, rate) == ("lstm", 1e-2):
            return None, UserError("its process died")
        return {"curve": [[0.1, 5.0]]}, None

    study = study_in(tmp_path, (1e-3, 1e-2))
    with pytest.raises(UserError, match="^its process died$"):
        probed(outcome, monkeypatch, study)
    assert json.loads((tmp_path / "rates.json").read_text()) == {"fnn": 1e-3}
    with pytest.raises(UserError, match="^lstm diverges with all --rates$"):
        probed(lambda *_: (None, Diverged("")), monkeypatch, study)


@pytest.mark.parametrize("name", ["examples/study", "experiments/candidates"])
def test_the_examples_know_what_they_are_asked_for(name):
    unknown = "--rounds=five" if name.endswith("study") else "--only=harp"
    done = subprocess.run(
        [sys.executable, ROOT / f"{name}.py", "--data=x", "--tests=A=x", unknown],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: unknown ") and "known: " in line


@pytest.mark.parametrize("name", ["original_waveform", "original_magnitude"])
def test_the_first_networks_differ_from_the_others_in_the_network_alone(name):
    study, original = (
        runpy.run_path(ROOT / "configs" / f"{file}.py")["get_config"]().to_dict()
        for file in ("study", name)
    )
    for part in ("data", "train", "separation"):
        assert study[part] == original[part]


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


def test_the_page_has_every_cell_that_can_be_heard(tmp_path):
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


def grown(_):
    """Of a process that takes 200 MB and gives them back: peaks before, then after."""
    before = one_cell.peak_memory_mb()
    np.ones(25_000_000).sum()
    return before, one_cell.peak_memory_mb()


def test_a_peak_of_memory_is_its_process_own():
    held = np.ones(50_000_000)  # 400 MB, of this process
    (_, (before, after), error), *_ = each_alone(grown, [(0,)], 1)
    assert error is None and held.nbytes == 400e6
    assert one_cell.peak_memory_mb() > after + 100
    assert 150 < after - before < 300


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


def answer(number):
    if number < 0:
        raise UserError("negative")
    if number == 0:
        os._exit(9)
    if number == 7:
        raise StrangeError(1, 2)
    return number + 1, os.getpid()


class StrangeError(Exception):
    """One that can be pickled, but not back."""

    def __init__(self, one, other):
        super().__init__(f"{one} and {other}")


def cores(_):
    return os.sched_getaffinity(0)


def test_processes_share_the_cores_and_fail_alone():
    found = sorted(each_alone(answer, [(3,), (0,), (-1,), (5,), (7,)], 2))
    numbers, results, errors = zip(*found, strict=True)
    assert numbers == (0, 1, 2, 3, 4)
    assert [result and result[0] for result in results] == [4, None, None, 6, None]
    assert len({result[1] for result in results if result} | {os.getpid()}) == 3
    died, negative, mistake = filter(None, errors)
    assert str(died).startswith("its process died with status 9")
    assert str(negative) == "negative" and isinstance(mistake, RuntimeError)
    for part in ("in answer", "StrangeError: 1 and 2"):  # where it was, and what
        assert part in str(mistake)
    if hasattr(os, "sched_getaffinity"):
        shares = [share for _, share, _ in each_alone(cores, [(0,), (1,)], 2)]
        mine = os.sched_getaffinity(0)
        assert set.union(*shares) == mine
        assert len(mine) < 2 or not set.intersection(*shares)


@pytest.fixture(scope="module")
def place(duet, tmp_path_factory):
    """A folder with data and a test set, from which `start` starts study.py."""
    folder = tmp_path_factory.mktemp("study")
    for name in ("mixture", "piano", "violin"):
        wave_CT = audio.resample([duet[name][:1]], 44100, RATE)
        wave_CT = np.concatenate(list(wave_CT), -1)
        audio.write(
            folder / "test/song" / f"{name}.wav", wave_CT[:, 10 * RATE : 12 * RATE], RATE
        )
        if name != "mixture":
            for split, part_CT in (
                ("train", wave_CT[:, : 8 * RATE]),
                ("valid", wave_CT[:, 12 * RATE :]),
            ):
                audio.write(folder / "data" / split / name / "a.wav", part_CT, RATE)
    variables = {
        "JAX_COMPILATION_CACHE_DIR": str(folder / "jax"),
        "JAX_PLATFORMS": "cpu",
        "XDG_CACHE_HOME": str(folder / "cache"),
    }

    def start(*args, output=subprocess.PIPE):
        return subprocess.Popen(
            [sys.executable, ROOT / "study.py", *COMMAND, *args],
            cwd=folder, env=os.environ | variables, encoding="utf-8",
            stdout=output, stderr=output,
        )  # fmt: skip

    return folder, start


@pytest.mark.slow
def test_a_study_goes_on_after_kills_and_reports(place):
    folder, start = place
    options = ["--tflop=0.02", "--rates=1e-3,1e-2"]
    first = folder / "out/cells/waveform-fnn-0"
    for until in (first / "metrics.jsonl", first / "result.json"):
        # Not a pipe: nobody would read it, and a full one stops the process.
        process = start(*options, output=subprocess.DEVNULL)
        while not (until.exists() and until.stat().st_size):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
    before = (first / "result.json").stat().st_mtime_ns
    second = folder / "out/cells/mdct-fnn-0"
    process = start(*options, output=subprocess.DEVNULL)
    while not ((log := second / "metrics.jsonl").exists() and log.stat().st_size):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 143
    assert list((second / "checkpoints").glob("[0-9]*"))  # it was saved
    process = start(*options)
    output, messages = process.communicate(timeout=600)
    assert process.returncode == 0, messages
    assert (first / "result.json").stat().st_mtime_ns == before  # it was not repeated
    assert "cell 1 of 2" not in output and "cell 2 of 2: fnn on mdct" in output
    out = folder / "out"
    assert json.loads((out / "rates.json").read_text()).keys() == {"fnn"}
    assert len(list((out / "probes").glob("waveform-fnn-*/result.json"))) == 2
    with (out / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(r["representation"], r["source"]) for r in rows} == {
        (name, source)
        for name in ("waveform", "mdct")
        for source in ("piano", "violin", ALL)
    }
    assert all(r["test"] == "A" for r in rows)
    for name in ("si_sdr", "sir", "times_real_time", "peak_memory_mb", "gflop_a_second"):
        assert all(np.isfinite(float(r[name])) for r in rows)
    # Equal work, whatever a step costs.
    work = [float(r["training_tflop"]) for r in rows]
    np.testing.assert_allclose(work, 0.02, rtol=0.01)
    for r in rows:
        steps, hours = float(r["steps"]), float(r["audio_hours"])
        assert hours == pytest.approx(steps * 2 * 0.5 / 3600)
    scores, empty, *gaps = (out / "results.md").read_text().splitlines()[3:]
    assert scores.startswith("| ") and empty == "" and len(gaps) == 3
    assert gaps[0].startswith("| against fnn on ") and " to " in gaps[2]
    for name in ("heat_map", "bleeding", "quality_against_cost", "curves"):
        assert (out / f"{name}.png").stat().st_size > 1000
    page = (out / "page/index.html").read_text()
    assert "fnn on waveform" in page and "fnn on mdct" in page and "reference" in page
    # The best pair goes on elsewhere, with the learning rate that was found.
    more = ["--out=more", "--from=out/results.csv", "--best=1", "--steps=3"]
    process = start(*more)
    output, messages = process.communicate(timeout=600)
    assert process.returncode == 0, messages
    assert "cell 1 of 1" in output and "probe" not in output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--tflop or --steps"),
        (["--steps=2", "--tflop=1"], "--tflop or --steps"),
        (["--steps=2", "--representations=cepstrum"], "unknown representation 'cepstrum'"),
        (["--steps=2", "--tests=A=nowhere"], "nowhere: no such folder"),
        (["--steps=2", "--tests="], "--tests names no test set"),
        (["--steps=2", "--config.model.sources=piano,harp"], "harp"),
        (["--steps=2", "--rates=fast"], "--rates: not numbers: fast"),
        (["--steps=2", "--from=elsewhere", "--best=2"], "--from=elsewhere: holds no study"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(place, options, message):
    _, start = place
    process = start("--out=wrong", *options)
    _, messages = process.communicate(timeout=120)
    assert process.returncode == 1
    assert message in messages and "Traceback" not in messages
