"""The command: wrong options, failed cells, and a study that is interrupted and resumed."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from builders import noise
from commands import run_command
from studies import RATE

from sep import audio
from sep.errors import Diverged
from sep.evaluation.statistics import ALL
from sep.runtime import processes
from sep.study import rounds

ROOT = Path(__file__).parents[2]
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


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with stems and a test set."""
    folder = tmp_path_factory.mktemp("study")
    for number, name in enumerate(("piano", "violin")):
        wave_CT = noise(1, 14 * RATE, seed=number)
        for path, part_CT in (
            ("data/train/NAME/a.wav", wave_CT[:, : 8 * RATE]),
            ("data/valid/NAME/a.wav", wave_CT[:, 8 * RATE : 12 * RATE]),
            ("test/song/NAME.wav", wave_CT[:, 12 * RATE :]),
        ):
            audio.write(folder / path.replace("NAME", name), part_CT, RATE)
    stems = [audio.read(folder / f"test/song/{n}.wav")[0] for n in ("piano", "violin")]
    audio.write(folder / "test/song/mixture.wav", sum(stems), RATE)
    return folder


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--tflop or --steps"),
        (["--steps=2", "--tflop=1"], "--tflop or --steps"),
        (["--steps=2", "--probe_share=0"], "--probe_share must be more than 0"),
        (["--steps=2", "--representations=cepstrum"], "unknown representation 'cepstrum'"),
        (["--steps=2", "--tests=A=nowhere"], "nowhere: no such folder"),
        (["--steps=2", "--tests="], "--tests names no test set"),
        (["--steps=2", "--tests=excerpt=test"], "excerpt is a reserved name"),
        (["--steps=2", "--config.model.sources=piano,harp"], "harp"),
        (["--steps=2", "--rates=fast"], "--rates: not numbers: fast"),
        (["--steps=2", "--rates=0"], "--rates must be positive numbers"),
        (["--steps=2", "--best=2"], "--from and --best are only valid together"),
        (["--steps=2", "--from=elsewhere", "--best=2"], "--from=elsewhere: "),
    ],
)
def test_wrong_options_are_an_error_of_one_line(folder, options, message):
    done = run_command("study", *COMMAND, "--out=wrong", *options, folder=folder)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ") and message in line
    assert not (folder / "wrong" / "study.json").exists()


def test_cells_that_fail_do_not_stop_the_others(folder, monkeypatch):
    """Cells are not trained."""

    def each_alone(function, calls, jobs):
        for number, (job, _) in enumerate(calls):
            failed = job.settings.model.representation == "mdct"
            yield number, None if failed else {}, Diverged("nan") if failed else None

    monkeypatch.setattr(processes, "each_alone", each_alone)
    monkeypatch.setattr(rounds, "report", lambda study: "the report")
    options = ["--out=failing", "--steps=2", "--rates=1e-3"]
    done = run_command("study", *COMMAND, *options, folder=folder)
    assert done.returncode == 3
    assert done.stdout.splitlines() == [
        "cell 1 of 2: fnn on waveform, seed 0",
        "cell 2 of 2: fnn on mdct, seed 0",
        "failed: cell 2 of 2: fnn on mdct, seed 0: nan",
        "the report",
    ]
    assert done.stderr.startswith("error: 1 of 2 cells failed; repeat the command")
    names = {path.name for path in (folder / "failing/excerpt/song").iterdir()}
    assert names == {"mixture.wav", "piano.wav", "violin.wav"}


@pytest.mark.parametrize(
    "name",
    [
        "examples/study",
        # It imports JAX.
        pytest.param("experiments/candidates", marks=pytest.mark.slow),
    ],
)
def test_scripts_that_run_cells_refuse_unknown_names(name):
    unknown = "--rounds=five" if name.endswith("study") else "--only=harp"
    done = subprocess.run(
        [sys.executable, ROOT / f"{name}.py", "--data=x", "--tests=A=x", unknown],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: unknown ") and "known: " in line


def start(folder: Path, *options: str, output=subprocess.DEVNULL) -> subprocess.Popen:
    """Starts study.py in a folder. A pipe that nothing reads would block it when full."""
    variables = {"JAX_PLATFORMS": "cpu", "XDG_CACHE_HOME": str(folder / "cache")}
    return subprocess.Popen(
        [sys.executable, ROOT / "study.py", *COMMAND, *options],
        cwd=folder, env=os.environ | variables, encoding="utf-8",
        stdout=output, stderr=output,
    )  # fmt: skip


def send_when_exists(process: subprocess.Popen, path: Path, how: signal.Signals) -> int:
    """Sends a signal once a file has contents; returns the process's exit status."""
    while not (path.exists() and path.stat().st_size):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(how)
    return process.wait()


def finish(process: subprocess.Popen) -> str:
    """Waits until a process has finished; returns its output."""
    output, messages = process.communicate(timeout=600)
    assert process.returncode == 0, messages
    return output


@pytest.mark.slow
def test_a_study_is_killed_stopped_resumed_and_reported(folder):
    options = ["--tflop=0.005", "--rates=1e-3,1e-2"]
    first = folder / "out/cells/waveform-fnn-0"
    for file in ("metrics.jsonl", "result.json"):
        send_when_exists(start(folder, *options), first / file, signal.SIGKILL)
    before = (first / "result.json").stat().st_mtime_ns
    second = folder / "out/cells/mdct-fnn-0"
    process = start(folder, *options)
    assert send_when_exists(process, second / "metrics.jsonl", signal.SIGTERM) == 143
    assert list((second / "checkpoints").glob("[0-9]*"))  # the state was saved
    output = finish(start(folder, *options, output=subprocess.PIPE))
    assert (first / "result.json").stat().st_mtime_ns == before  # it was not repeated
    assert "cell 1 of 2" not in output and "cell 2 of 2: fnn on mdct" in output
    assert_reported(folder / "out", tflop=0.005)
    # The best pair is trained elsewhere, with the learning rate that was found.
    more = ["--out=more", "--from=out/results.csv", "--best=1", "--steps=3"]
    output = finish(start(folder, *more, output=subprocess.PIPE))
    assert "cell 1 of 1" in output and "probe" not in output


def assert_reported(out: Path, tflop: float) -> None:
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
    # The same work for all, whatever a step costs.
    work = [float(r["training_tflop"]) for r in rows]
    np.testing.assert_allclose(work, tflop, rtol=0.01)
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
