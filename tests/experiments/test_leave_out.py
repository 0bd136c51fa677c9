"""experiments/leave_out.py: stems without one instrument, and tracks of it to test."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from sep import audio
from sep.data import stems

ROOT = Path(__file__).parents[2]


def test_tracks_of_an_instrument_are_left_out_and_tested(tmp_path):
    random = np.random.default_rng(0)
    for number, violin in enumerate(["a", "b", "b", "b", "b"]):
        track = tmp_path / "DATA" / "train" / f"{number}"
        track.mkdir(parents=True)
        played = {"piano": {"instrument": "x"}, "violin": {"instrument": violin}}
        told = {"sources": played, "settings": ""}
        (track / "manifest.json").write_text(json.dumps(told))
        audio.write(track / "mixture.flac", np.zeros((1, 44100)), 44100)  # is no source
        for name in played:
            wave_CT = 0.1 * random.standard_normal((1, 44100))
            audio.write(track / f"{name}.flac", wave_CT, 44100)
    solo = tmp_path / "DATA" / "train" / "violin"
    solo.mkdir()
    audio.write(solo / "solo.flac", wave_CT, 44100)
    for folder in ("valid", "rooms"):
        (tmp_path / "DATA" / folder).mkdir()

    command = [
        sys.executable, ROOT / "examples" / "leave_out.py", f"--stems={tmp_path}/DATA",
        "--instrument=b", f"--out={tmp_path}/OUT",
    ]  # fmt: skip
    told = {"env": os.environ | {"PYTHONPATH": str(ROOT)}, "text": True}
    done = subprocess.run(command, **told, capture_output=True, check=True)
    assert done.stdout.startswith("4 of 6 left out, 2 in ")
    train = tmp_path / "OUT" / "stems" / "train"
    assert sorted(path.name for path in train.iterdir()) == ["0", "violin"]
    assert {path.name for path in train.parent.iterdir()} == {"rooms", "train", "valid"}
    cache, how = str(tmp_path / "cache"), {"strict": True, "missing_is_silence": False}
    found = stems.load(train, ["piano", "violin"], 44100, cache, **how)
    assert [len(found.solos[name]) for name in ("piano", "violin")] == [1, 2]
    for name in ("1", "4"):
        track = tmp_path / "OUT" / "test" / name
        wave_CT = {stem: audio.read(track / f"{stem}.flac")[0] for stem in played}
        mixture_CT, _ = audio.read(track / "mixture.flac")
        np.testing.assert_allclose(mixture_CT, sum(wave_CT.values()), atol=2**-15)

    again = subprocess.run(command, **told, capture_output=True)
    assert again.returncode == 1 and again.stderr.endswith("exists; name a new folder\n")
