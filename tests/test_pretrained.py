"""The model that ships."""

import numpy as np
import pytest

from sep.checkpoints import PRETRAINED, load_model
from sep.inference import Separation
from sep.metrics import si_sdr

# Mean SI-SDR over the example's two sources, in dB. It changes only with the model, or
# with what separation computes: then the scores in README.md and docs/model.md change too.
GOLDEN = 10.37


def test_its_file_is_small_and_says_what_it_is():
    path = PRETRAINED / "duet.safetensors"
    assert path.stat().st_size <= 15e6
    model = load_model("duet")
    assert model.config["model"]["sources"] == ["piano", "violin"]
    assert len(model.metadata["commit"]) == 40
    assert model.metadata["licence"]


def test_it_separates_the_example_as_well_as_documented(duet, example_folder):
    separation = Separation(load_model("duet"))
    stems_SCT = separation.to_array(example_folder / "mixture.flac")
    mixture_CT = duet["mixture"]
    peak = np.abs(mixture_CT).max()
    assert np.abs(stems_SCT.sum(0) - mixture_CT).max() < 1e-5 * peak
    scores = [
        float(si_sdr(duet[name].reshape(-1), stem_CT.reshape(-1)))
        for name, stem_CT in zip(separation.names, stems_SCT, strict=True)
    ]
    assert np.mean(scores) == pytest.approx(GOLDEN, abs=0.05)
