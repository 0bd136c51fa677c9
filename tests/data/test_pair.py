"""Tracks of real solos: passages, levels, and the separation of splits."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from commands import run_command
from sounds import noise, save

RATE = 44100
SPLIT = """
[train]
piano = ["a.wav"]
violin = ["b.flac"]
[valid]
piano = ["c.wav"]
violin = ["d.wav"]
"""


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """Four seconds of each recording, the second one silent."""
    folder = tmp_path_factory.mktemp("recordings")
    for seed, name in enumerate(("a.wav", "b.flac", "c.wav", "d.wav")):
        wave_TC = noise(4 * RATE, 1 + seed % 2, seed)
        wave_TC[RATE : 2 * RATE] = 0
        save(folder / name, wave_TC, RATE)
    return folder


@pytest.fixture
def recordings(originals, tmp_path):
    """A copy of the recordings, which a test may change."""
    return shutil.copytree(originals, tmp_path / "recordings")


def arguments(recordings, text, out):
    (recordings.parent / "split.toml").write_text(text)
    return [
        "--passages=2", "--seconds=1", "--split=split.toml",
        f"--recordings={recordings}", f"--out={recordings.parent / out}",
    ]  # fmt: skip


def pair(recordings, text=SPLIT, out="out"):
    """Runs the command in this process."""
    words = arguments(recordings, text, out)
    return run_command("data_pair", *words, folder=recordings.parent)


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*.*")}


def test_passages_are_mixed_at_each_level_and_reproducible(recordings):
    done = pair(recordings)
    assert done.returncode == 0, done.stderr
    out = recordings.parent / "out"
    assert len(list((out / "valid").iterdir())) == 2 * 3
    for level in (0, 5, -5):
        track = out / "valid" / f"01{level:+d}dB"
        piano, violin, mixture = (
            soundfile.read(track / f"{name}.flac", dtype="int16")[0].astype(int)
            for name in ("piano", "violin", "mixture")
        )
        np.testing.assert_array_equal(mixture, piano + violin)
        assert piano.shape == (RATE, 2)
        louder = 20 * np.log10(violin.std() / piano.std())
        assert louder == pytest.approx(level, abs=0.05)
        assert np.abs(piano[::100]).min(1).mean() > 0  # not the silent second
    listed = json.loads((out / "manifest.json").read_text())["files"]
    assert {e["file"] for e in listed} == {
        p.relative_to(out).as_posix() for p in out.rglob("*.flac")
    }
    words = arguments(recordings, SPLIT, "again")
    again = subprocess.run(
        [sys.executable, "-m", "sep.data", "pair", *words],
        cwd=recordings.parent, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert again.returncode == 0, again.stderr
    assert again.stdout == done.stdout.replace(f"{out}", f"{out.parent / 'again'}")
    assert contents(recordings.parent / "again") == contents(out)


def test_files_of_another_set_are_refused(recordings):
    assert pair(recordings).returncode == 0
    made = contents(recordings.parent / "out")
    moved = SPLIT.replace("a.wav", "x").replace("c.wav", "a.wav").replace("x", "c.wav")
    done = pair(recordings, moved)
    assert done.returncode == 1
    assert "contains files of another set (train/piano/a.flac, 1 in all)" in done.stderr
    assert contents(recordings.parent / "out") == made


def test_a_damaged_manifest_is_refused(recordings):
    manifest = recordings.parent / "out" / "manifest.json"
    manifest.parent.mkdir()
    manifest.write_text("[]")
    done = pair(recordings)
    assert done.returncode == 1
    assert "manifest.json: is not the manifest of a set" in done.stderr


def test_recordings_are_never_overwritten(recordings):
    place = recordings / "train" / "violin"
    place.mkdir(parents=True)
    (recordings / "b.flac").rename(place / "b.flac")
    before = contents(recordings)
    same_split = SPLIT.replace("b.flac", "train/violin/b.flac")
    other_split = SPLIT.replace("b.flac", "a.wav").replace("d.wav", "train/violin/b.flac")
    for text in (same_split, other_split):
        done = pair(recordings, text, "recordings")
        assert done.returncode == 1
        assert "b.flac: might be overwritten; choose another --out" in done.stderr
        assert contents(recordings) == before


def test_a_silent_recording_is_named(recordings):
    save(recordings / "d.wav", np.zeros((RATE, 1)), RATE)
    done = pair(recordings)
    assert done.returncode == 1 and "d.wav: is silent; leave it out" in done.stderr


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is empty; it needs at least one of [train], [valid], [test]"),
        ("[trian]\npiano = []", "unknown split trian; use [train]"),
        ("train = 3", "train is not a table"),
        ("[train]\npiano = 'a.wav'", "piano in [train] is not a list"),
        ("[train]\npiano = ['a.wav', 'deep/a.flac']", "two recordings of the same name"),
        ("[train]\npiano = ['e.wav']", "e.wav: no such recording"),
        ("[train]\npiano = ['a.wav']\n[test]\nviolin = ['copy.wav']", "is in train and"),
        ("[valid]\npiano = ['a.wav']\nviolin = ['text.wav']", "cannot be read as sound"),
        ("[valid]\npiano = ['short.wav']", "too short for 2 passages"),
    ],
)
def test_wrong_splits_give_one_line(recordings, text, complaint):
    (recordings / "copy.wav").write_bytes((recordings / "a.wav").read_bytes())
    (recordings / "text.wav").write_text("no sound")
    save(recordings / "short.wav", noise(RATE + RATE // 2, seed=9), RATE)
    done = pair(recordings, text)
    assert done.returncode == 1
    assert complaint in done.stderr
    lines = [line for line in done.stderr.splitlines() if not is_progress(line)]
    assert len(lines) == 1
    assert not list(recordings.parent.glob("out/**/*.flac"))


def is_progress(line):
    return "%|" in line or not line.strip()
