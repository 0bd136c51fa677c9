"""The commands as a user runs them: in processes of their own, and in this one."""

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import soxr
from commands import Done, run_command

from sep.evaluation import tables
from sep.evaluation.metrics import METRICS

ROOT = Path(__file__).parents[2]
TINY = [
    "--arch=fnn",
    "--representation=waveform",
    "--config.model.sample_rate=8000",
    "--config.model.waveform.frame_length=128",
    "--config.model.waveform.hop_length=64",
    "--config.model.fnn.width=8",
    "--config.data.crop_seconds=0.5",
    "--config.data.batch_size=2",
    "--config.data.equaliser_db=0",  # filters take long to compile
    "--config.data.band_limit=0",
    "--config.train.eval_every=4",
    "--config.train.eval_crops=2",
    "--config.train.eval_seconds=0.5",
    "--config.separation.chunk_seconds=0.5",
]
NOT_UTF8 = os.fsdecode(b"caf\xe9.wav")


def save(path, length=22050, channels=1, rate=22050, seed=0):
    """A recording of noise; returns its samples (T, C)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wave_TC = 0.1 * np.random.default_rng(seed).standard_normal((length, channels))
    soundfile.write(os.fsencode(path), wave_TC, rate)
    return wave_TC


def has_text(path):
    return path.exists() and path.stat().st_size > 0


def run_process(folder, script, *args, interrupt_after=None):
    """Runs a script as a user does; perhaps with Ctrl-C once a file has text."""
    variables = {
        "JAX_PLATFORMS": "cpu",
        "XDG_CACHE_HOME": str(folder / "cache"),
        "PYTHONIOENCODING": "utf-8:strict",
    }
    process = subprocess.Popen(
        [sys.executable, ROOT / f"{script}.py", *args],
        cwd=folder, env=os.environ | variables, encoding="utf-8",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    while interrupt_after and not has_text(folder / interrupt_after):
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    if interrupt_after:
        process.send_signal(signal.SIGINT)
    output, messages = process.communicate(timeout=120)
    return Done(process.returncode, output, messages)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with data, a model trained there for 6 steps, and `call`.

    Before that, a run with another seed fails before its first step. `call` runs a command
    in this process.
    """
    folder = tmp_path_factory.mktemp("cli")

    def call(command, *args):
        return run_command(command, *args, folder=folder)

    for split, length in (("train", 30_000), ("valid", 20_000)):
        save(folder / "data" / split / "piano" / "a.wav", length, 2, 22050, seed=1)
        save(folder / "data" / split / "violin" / "b.flac", length, 1, 16000, seed=2)
    save(folder / "data" / "train" / "violin" / "deep" / "c.ogg", 48_000, 1, 48000)
    save(folder / "x.wav")
    train = ["--data=data", "--workdir=run", *TINY]
    wrong = "--config.data.cache=x.wav"  # a file, not a folder
    refused = call("train", *train, "--config.seed=5", wrong)
    assert (folder / "run" / "config.json").exists()
    trained = call("train", *train, "--config.train.steps=6")
    return SimpleNamespace(folder=folder, call=call, refused=refused, trained=trained)


def errors(done):
    """The lines of stderr without progress bars."""
    lines = done.stderr.splitlines()
    lines = [line.removeprefix("\x1b[A").strip() for line in lines]  # up a line
    return [line for line in lines if line and not re.search(r"\d% ?\|", line)]


def test_training_logs_every_step(place):
    assert place.trained.returncode == 0, place.trained.stderr
    check_output(place.trained)
    check_log(place.folder / "run", steps=6, validated=[4, 6])


def check_output(done):
    before, _, after = done.stdout.partition(" M parameters; a step is ")
    assert "steps, on" in before and "GFLOP" in after and "model: " in after


def check_log(workdir, steps, validated):
    """Checks that the log has all steps once; the last is validated, too."""
    text = (workdir / "metrics.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["step"] for line in lines] == list(range(1, steps + 1))
    assert all(np.isfinite(line["loss"]) for line in lines)
    assert [line["step"] for line in lines if "valid_si_sdr" in line] == validated


@pytest.mark.slow  # compiles the steps again
def test_training_continues_where_it_stopped(place):
    shutil.copytree(place.folder / "run", place.folder / "longer")
    train = ["train", "--data=data", "--workdir=longer", *TINY, "--config.train.steps=10"]
    done = place.call(*train)
    assert done.returncode == 0, done.stderr
    check_output(done)
    check_log(place.folder / "longer", steps=10, validated=[4, 6, 8, 10])


def test_separation_skips_and_names_recordings_that_cannot_be_read(place):
    folder = place.folder
    waves = {
        "a.wav": save(folder / "a.wav", 20_000, 2, 44100),
        "songs/b.flac": save(folder / "songs" / "b.flac", 8001, 1, 8000),
        "songs/deep/c.wav": save(folder / "songs" / "deep" / "c.wav", 9000, 5, 96000),
        NOT_UTF8: save(folder / NOT_UTF8, 1000),
    }
    (folder / "songs" / "broken.wav").write_text("la la la")
    words = ["--model=run", "a.wav", "songs", NOT_UTF8, "--out=out"]
    done = run_process(folder, "separate", *words)
    assert done.returncode == 1
    first, count, again = errors(done)
    assert "songs/broken.wav: cannot be read as sound" in first
    assert "1 of 5 recordings" in count and first == f"error: {again}"
    assert len(done.stdout.splitlines()) == 5 and "a.wav -> out/a\n" in done.stdout
    for name, wave_TC in waves.items():
        stems_folder = folder / "out" / Path(name.removeprefix("songs/")).with_suffix("")
        stems = [
            soundfile.read(os.fsencode(stems_folder / f"{stem}.wav"), always_2d=True)[0]
            for stem in ("piano", "violin")
        ]
        np.testing.assert_allclose(sum(stems), wave_TC, atol=1e-4)  # of 16 bits
    assert not (folder / "out" / "broken").exists()


def test_recordings_have_separate_folders_and_stems_are_not_separated(place):
    folder = place.folder
    for name in ("in/a.wav", "in/a.flac", "one/b.wav", "two/b.wav", "c.wav"):
        save(folder / name, length=100)
    names = ["in", "one/b.wav", "two/b.wav", "c.wav", "./c.wav"]
    names.append(f"--out={folder / 'in/stems'}")
    for _ in range(2):  # the second time, "in" contains the stems of the first
        done = place.call("separate", "--model=run", *names)
        assert (done.returncode, errors(done)) == (0, [])
        made = (folder / "in" / "stems").rglob("piano.wav")
        made = {str(path.parent.relative_to(folder / "in" / "stems")) for path in made}
        assert made == {"a.wav", "a.flac", "b.wav", "b.wav (2)", "c"}


def save_track(folder, length, rate, channels):
    piano = save(folder / "piano.flac", length, channels, rate, seed=1)
    violin = save(folder / "violin.wav", length, channels, rate, seed=2)
    soundfile.write(folder / "mixture.wav", piano + violin, rate)


def test_evaluation_scores_model_and_mixture(place):
    folder = place.folder
    for track in ("one", "two"):
        save_track(folder / "test" / track, 9000, 8000, 1)
    save(folder / "test" / "bad" / "mixture.wav")
    for stem, length in (("mixture", 900), ("piano", 900), ("violin", 800)):
        save(folder / "test" / "uneven" / f"{stem}.wav", length)
    evaluate = ["evaluate", "--model=run", "--data=noises=test", "--out=scores"]
    done = place.call(*evaluate)
    assert done.returncode == 1
    assert (
        "4 scores left out; the first: noises/bad, mixture: test/bad/piano" in done.stderr
    )
    assert done.stderr.count("left out: noises/uneven, ") == 2
    rows = tables.read_csv(folder / "scores" / "results.csv")
    keys = {row[:5]: row.value for row in rows}
    assert len(keys) == len(rows) == 2 * 2 * 2 * len(METRICS)
    for track, source in itertools.product(("one", "two"), ("piano", "violin")):
        before, gain, after = (
            keys["noises", track, source, system, metric]
            for system, metric in (
                ("mixture", "si_sdr"),
                ("run", "si_sdri"),
                ("run", "si_sdr"),
            )
        )
        assert abs(before) < 0.5  # two noises of one level
        assert gain == pytest.approx(after - before, abs=1e-4)
    text = (folder / "scores" / "table.md").read_text()
    assert "| noises (2 tracks) | source | SI-SDR | SI-SDRi | uSDR | SDR | ISR" in text
    assert text in done.stdout
    (known,) = [
        s
        for s in json.loads((folder / "scores" / "results.json").read_text())["summaries"]
        if (s["system"], s["source"], s["metric"]) == ("run", "all", "si_sdr")
    ]
    assert known["low"] <= known["value"] <= known["high"]
    assert (folder / "scores" / "page" / "index.html").is_file()

    # The second time, known scores are kept, and only the new system is scored.
    notes = {path: path.stat().st_mtime_ns for path in folder.glob("scores/scores/*/*/*")}
    assert len(notes) == 4
    done = place.call(*evaluate, "--references=mixture,irm", "--page_tracks=0")
    assert done.returncode == 1
    assert notes == {path: path.stat().st_mtime_ns for path in notes}
    more = tables.read_csv(folder / "scores" / "results.csv")
    assert set(more) > {row for row in rows if not np.isnan(row.value)}
    assert {row.system for row in more} == {"mixture", "run", "irm"}


@pytest.mark.slow  # a process, which imports and compiles everything again
def test_evaluation_in_a_process_gives_the_same_scores(place):
    folder = place.folder
    save_track(folder / "alike" / "one", 9000, 22050, 2)
    words = ["evaluate", "--model=run", "--data=noises=alike"]
    done = place.call(*words, "--out=here")
    assert done.returncode == 0, done.stderr
    again = run_process(folder, *words, "--out=there")
    assert again.returncode == 0, again.stderr
    assert again.stdout == done.stdout.replace("here", "there")
    first, second = (
        tables.read_csv(folder / out / "results.csv") for out in ("here", "there")
    )
    for one, other in zip(first, second, strict=True):
        assert one[:5] == other[:5]
        assert one.value == pytest.approx(other.value, abs=1e-3, nan_ok=True)


def test_stems_of_other_tools_are_scored_or_refused_with_a_reason(place):
    folder = place.folder
    rate, length = 8000, 16_000
    piano, violin = (
        save(folder / "duets" / "one" / f"{name}.wav", length, 1, rate, seed)
        for name, seed in (("piano", 1), ("violin", 2))
    )
    soundfile.write(folder / "duets" / "one" / "mixture.wav", piano + violin, rate)
    stems = {"piano": piano + 0.1 * violin, "violin": violin + 0.1 * piano}
    made = {
        "same": lambda wave: (wave, rate),
        "longer": lambda wave: (np.concatenate([wave, np.zeros((300, 1))]), rate),
        "faster": lambda wave: (soxr.resample(wave, rate, 44100), 44100),
        "late": lambda wave: (np.concatenate([np.zeros((50, 1)), wave[:-50]]), rate),
        "short": lambda wave: (wave[:-2000], rate),
        "stereo": lambda wave: (np.repeat(wave, 2, 1), rate),
    }
    for tool, change in made.items():
        for name, wave in stems.items():
            path = folder / "tools" / tool / "one" / f"{name}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, *change(wave), subtype="FLOAT")
    shutil.copytree(folder / "tools" / "same", folder / "tools" / "missing")
    (folder / "tools" / "missing" / "one" / "violin.wav").unlink()
    tools = [*made, "missing"]
    done = place.call(
        *("evaluate", "--model=", "--data=duets", "--out=compared", "--page_tracks=0"),
        *("--references=", "--estimates=" + ",".join(f"{t}=tools/{t}" for t in tools)),
    )
    assert done.returncode == 1
    for tool, reason in (
        ("late", "are 50 samples late"),
        ("short", "14000 samples at 8000 Hz do not fit"),
        ("stereo", "2 channels of 16000 samples"),
        ("missing", "violin.*: this file of the track is missing"),
    ):
        (line,) = [line for line in errors(done) if f"left out: duets/one, {tool}:" in line]
        assert reason in line
    rows = tables.read_csv(folder / "compared" / "results.csv")
    scores = {row.system: row.value for row in rows if row[2::2] == ("piano", "si_sdr")}
    assert scores.keys() == {"same", "longer", "faster"}
    assert scores["same"] == pytest.approx(20, abs=0.3)
    assert scores["longer"] == scores["same"]
    assert scores["faster"] > 10  # resampling removes the highest frequencies


def hollow(folder):
    (folder / "hollow").mkdir(exist_ok=True)


def text_file(folder):
    (folder / "text.wav").write_text("la la la")


def empty_file(folder):
    (folder / "empty.wav").touch()


def half_a_dataset(folder):
    for split in ("train", "valid"):
        save(folder / "half" / split / "piano" / "a.wav")


def misfit(folder):
    for stem, length in (("mixture", 900), ("piano", 900), ("violin", 800)):
        save(folder / "misfit" / "track" / f"{stem}.wav", length)


def strange_workdir(folder):
    (folder / "strange").mkdir(exist_ok=True)
    (folder / "strange" / "config.json").write_text("[3]")
    (folder / "strange" / "metrics.jsonl").write_text('{"step": 1}\n')


def lost_config(folder):
    (folder / "lost").mkdir()
    (folder / "lost" / "metrics.jsonl").write_text('{"step": 1}\n')


SEPARATE, EVALUATE = "separate --out=none --model=run", "evaluate --out=none --model=run"
TRAIN = "train --workdir=none --data=data"
WRONG = {  # name: (function that makes files, command, parts of its error message)
    "no recording": (None, SEPARATE, ["no recording", "--help"]),
    "missing file": (None, f"{SEPARATE} none.wav", ["none.wav: no such file"]),
    "text": (text_file, f"{SEPARATE} text.wav", ["text.wav", "convert it to WAV"]),
    "empty file": (empty_file, f"{SEPARATE} empty.wav", ["empty.wav: is empty", "copy or"]),
    "empty folder": (hollow, f"{SEPARATE} hollow", ["hollow: no sound files"]),
    "out is in": (None, "separate --out=data data", ["data:", "choose another --out"]),
    "unknown model": (None, "separate --model=x x.wav", ["x: no such model", "bundled"]),
    "no model": (None, "separate --model=data x.wav", ["data: contains no model", "train"]),
    "unknown flag": (None, "separate --modle=run x.wav", ["modle", "--help"]),
    "unknown subtype": (None, "separate --subtype=MP3 x.wav", ["subtype", "PCM_16"]),
    "a source twice": (hollow, f"{EVALUATE} --data=hollow --sources=piano,piano",
                       ["--sources", "different names"]),
    "no tracks": (hollow, f"{EVALUATE} --data=hollow", ["hollow: no tracks", "mixture"]),
    "misfit": (misfit, f"{EVALUATE} --data=misfit", ["violin.wav", "800 sam", "900 sam"]),
    "no test data": (None, EVALUATE, ["--data", "--help"]),
    "missing source": (half_a_dataset, "train --workdir=none --data=half",
                       ["half/train/violin", "--config.model.sources"]),
    "other sources": (None, f"{TRAIN} --config.model.sources=cello,harp",
                      ["data/train/cello", "this source is missing"]),
    "unknown arch": (None, f"{TRAIN} --arch=cnnn", ["cnnn", "fnn, harmonic, lstm"]),
    "unknown representation": (None, f"{TRAIN} --representation=cepstrum",
                               ["cepstrum", "learned, log_magnitude, magnitude"]),
    "unknown setting": (None, f"{TRAIN} --config.train.stepz=1", ["stepz", '"steps"']),
    "wrong value": (None, f"{TRAIN} --config.train.steps=many", ["train.steps", "many"]),
    "strange workdir": (strange_workdir, "train --workdir=strange --data=data",
                        ["strange/config.json: is not the config", "another --workdir"]),
    "lost config": (lost_config, "train --workdir=lost --data=data",
                    ["lost/config.json: is missing", "another --workdir"]),
    "dropout in percent": (None, f"{TRAIN} --arch=lstm --config.model.lstm.dropout=40",
                           ["model.lstm.dropout", "less than 1"]),
    "taken name": (hollow, "evaluate --out=none --model=reference=run --data=hollow",
                   ["reference: the name is taken", "NAME="]),
    "other config": (None, "train --workdir=run --data=data --arch=fnn",
                     ["run: was made with another config", "sample_rate was 8000",
                      "another --workdir"]),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_use_gives_one_line(place, name):
    make, command, parts = WRONG[name]
    if make:
        make(place.folder)
    done = place.call(*command.split())
    assert_refused(done, parts)
    assert not (place.folder / "none").exists()


@pytest.mark.parametrize(
    "name", ["no recording", "unknown flag", "unknown setting", "no test data"]
)
def test_wrong_use_gives_one_line_in_a_process(place, name):
    _, command, parts = WRONG[name]
    assert_refused(run_process(place.folder, *command.split()), parts)


def assert_refused(done, parts):
    assert done.returncode not in (0, None) and "Traceback" not in done.stderr
    (line,) = errors(done)
    assert line.startswith("error: ")
    assert [part for part in parts if part not in line] == [], line


def test_settings_may_change_until_the_first_step(place):
    assert place.refused.returncode == 1
    assert place.trained.returncode == 0, place.trained.stderr  # though the seed differs
    done = place.call("train", "--data=data", "--workdir=run", *TINY, "--config.seed=6")
    assert done.returncode == 1
    assert "seed was 0 and is 6" in done.stderr


@pytest.mark.slow  # a process, which imports and compiles everything again
def test_other_sources_are_listed_with_commas_and_ctrl_c_saves(place):
    folder = place.folder
    for split in ("train", "valid"):
        for source in ("cello", "harp"):
            save(folder / "strings" / split / source / "a.wav", 30_000)
    done = run_process(
        folder, "train", "--data=strings", "--workdir=other", *TINY,
        "--config.model.sources=cello,harp", "--config.train.steps=100000",
        "--config.train.eval_every=100000", "--config.seed=1",
        interrupt_after="other/metrics.jsonl",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "stopped and saved in other; " in done.stdout
    steps = len((folder / "other/metrics.jsonl").read_text().splitlines())
    assert (folder / "other/checkpoints" / str(steps)).is_dir()
