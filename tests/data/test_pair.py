"""Real solos to tracks: what is cut and mixed, and that no split has what another has."""

import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from spoilt import noise, save

RATE = 44100
SPLIT = """
[train]
piano = ["a.wav"]
violin = ["b.flac"]
[valid]
piano = ["c.wav"]
violin = ["d.wav"]
"""


@pytest.fixture
def recordings(tmp_path):
    """Five seconds of each, the second one silent."""
    for seed, name in enumerate(("a.wav", "b.flac", "c.wav", "d.wav")):
        wave_TC = noise(5 * RATE, 1 + seed % 2, seed)
        wave_TC[RATE : 2 * RATE] = 0
        save(tmp_path / "recordings" / name, wave_TC, RATE)
    return tmp_path / "recordings"


def call(recordings, text=SPLIT, out="out", *args):
    (recordings.parent / "split.toml").write_text(text)
    command = [sys.executable, "-m", "sep.data", "pair", "--passages=2", "--seconds=1"]
    command += [f"--recordings={recordings}", f"--split={recordings.parent}/split.toml"]
    command += [f"--out={recordings.parent}/{out}", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=100)


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*.*")}


def test_passages_are_mixed_at_each_level_and_come_again(recordings):
    done = call(recordings)
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
    again = call(recordings, SPLIT, "again")
    assert again.returncode == 0
    assert contents(recordings.parent / "again") == contents(out)


def test_what_another_split_left_is_not_kept_silently(recordings):
    assert call(recordings).returncode == 0
    made = contents(recordings.parent / "out")
    moved = SPLIT.replace("a.wav", "x").replace("c.wav", "a.wav").replace("x", "c.wav")
    done = call(recordings, moved)
    assert done.returncode == 1
    assert "train/piano/a.flac: is left from another set (1 files are)" in done.stderr
    assert contents(recordings.parent / "out") == made


def test_recordings_are_never_overwritten(recordings):
    place = recordings / "train" / "violin"
    place.mkdir(parents=True)
    (recordings / "b.flac").rename(place / "b.flac")
    before = contents(recordings)
    its = SPLIT.replace("b.flac", "train/violin/b.flac")
    others = SPLIT.replace("b.flac", "a.wav").replace("d.wav", "train/violin/b.flac")
    for text in (its, others):
        done = call(recordings, text, "recordings")
        assert done.returncode == 1
        assert "b.flac: might be overwritten; choose another --out" in done.stderr
        assert contents(recordings) == before


def test_a_silent_recording_is_named(recordings):
    save(recordings / "d.wav", np.zeros((5 * RATE, 1)), RATE)
    done = call(recordings)
    assert done.returncode == 1 and "d.wav: is silent; leave it out" in done.stderr


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is empty; it needs some of [train], [valid], [test]"),
        ("[trian]\npiano = []", "trian is none of [train]"),
        ("train = 3", "train is no table"),
        ("[train]\npiano = 'a.wav'", "piano in [train] is no list"),
        ("[train]\npiano = ['a.wav', 'deep/a.flac']", "two of the same name"),
        ("[train]\npiano = ['e.wav']", "e.wav: no such recording"),
        ("[train]\npiano = ['a.wav']\n[test]\nviolin = ['copy.wav']", "is in train and"),
        ("[valid]\npiano = ['a.wav']\nviolin = ['text.wav']", "cannot be read as sound"),
    ],
)
def test_wrong_splits_are_told_in_one_line(recordings, text, complaint):
    (recordings / "copy.wav").write_bytes((recordings / "a.wav").read_bytes())
    (recordings / "text.wav").write_text("no sound")
    done = call(recordings, text)
    assert done.returncode == 1
    assert complaint in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(recordings.parent.glob("out/**/*.flac"))
