"""Release files for distribution: half the size, nearly the same stems."""

import subprocess
import sys

import numpy as np
from small_model import save_small_model

from sep.model.release import load_model
from sep.separation.inference import Separation


def test_a_release_is_half_as_large_and_separates_alike(tmp_path):
    ours, released = tmp_path / "run" / "model.safetensors", tmp_path / "out.safetensors"
    ours.parent.mkdir()
    save_small_model(ours)
    done = subprocess.run(
        [sys.executable, "-m", "sep.cli.release", f"--workdir={ours.parent}"]
        + [f"--out={released}", "--licence=CC0", "--note=of noise"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert released.stat().st_size < 0.75 * ours.stat().st_size
    before, after = load_model(str(ours.parent)), load_model(str(released))
    assert after.settings == before.settings
    assert after.separation == before.separation
    assert after.metadata == before.metadata | {"licence": "CC0", "note": "of noise"}
    wave = np.random.default_rng(0).standard_normal((5000, 2)).astype(np.float32)
    stems, again = (Separation(model)(wave, 16000) for model in (before, after))
    for name, stem in stems.items():
        assert np.abs(again[name] - stem).max() < 1e-2 * np.abs(stem).max()
        assert np.abs(again[name] - stem).max() > 0  # it was rounded
