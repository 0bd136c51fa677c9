"""Tests of experiments/leave_out.py."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from sep import audio
from sep.data import stems

ROOT = Path(__file__).parents[2]
RATE = 44100
SOURCES = ("piano", "violin")


def write_data(folder: Path) -> None:
    """Writes stems as of `python -m sep.data render`: five tracks and a violin solo."""
    random = np.random.default_rng(0)

    def noise_CT():
        return 0.1 * random.standard_normal((1, RATE))

    for number, violin in enumerate(["a", "b", "b", "b", "b"]):
        track = folder / "train" / f"{number}"
        track.mkdir(parents=True)
        sources = {"piano": {"instrument": "x"}, "violin": {"instrument": violin}}
        manifest = {"sources": sources, "settings": ""}
        (track / "manifest.json").write_text(json.dumps(manifest))
        audio.write(track / "mixture.flac", np.zeros((1, RATE)), RATE)  # is no source
        for name in sources:
            audio.write(track / f"{name}.flac", noise_CT(), RATE)
    (folder / "train" / "violin").mkdir()
    audio.write(folder / "train" / "violin" / "solo.flac", noise_CT(), RATE)
    for name in ("valid", "rooms"):
        (folder / name).mkdir()


def leave_out(data: Path, out: Path, instrument: str) -> subprocess.CompletedProcess:
    script = ROOT / "experiments" / "leave_out.py"
    return subprocess.run(
        [
            *(sys.executable, script, f"--stems={data}", f"--out={out}"),
            f"--instrument={instrument}",
        ],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


def test_tracks_of_an_instrument_are_left_out_and_tested(tmp_path):
    data, out = tmp_path / "DATA", tmp_path / "OUT"
    write_data(data)
    done = leave_out(data, out, "b")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("4 of 6 left out, 2 in ")
    train = out / "stems" / "train"
    assert sorted(path.name for path in train.iterdir()) == ["0", "violin"]
    assert {path.name for path in train.parent.iterdir()} == {"rooms", "train", "valid"}
    found = stems.load(
        *(train, SOURCES, RATE, str(tmp_path / "cache")),
        strict=True,
        missing_is_silence=False,
    )
    assert [len(found.solos[name]) for name in SOURCES] == [1, 2]
    for name in ("1", "4"):
        track = out / "test" / name
        waves = [audio.read(track / f"{source}.flac")[0] for source in SOURCES]
        mixture_CT, _ = audio.read(track / "mixture.flac")
        np.testing.assert_allclose(mixture_CT, sum(waves), atol=2**-15)

    again = leave_out(data, out, "b")
    assert again.returncode == 1
    assert again.stderr == f"error: {out}: exists; choose a new folder\n"
