"""The model that ships."""

import numpy as np
import pytest
from chunk_grids import grids_apart

from sep.checkpoints import PRETRAINED, load_model
from sep.inference import Separation
from sep.metrics import si_sdr

# Mean SI-SDR over the example's two sources, in dB. It changes only with the model, or
# with what separation computes: then the scores in README.md and docs/model.md change too.
GOLDEN = 10.37


@pytest.fixture(scope="module")
def separation():
    return Separation(load_model("duet"))


def test_its_file_is_small_and_says_what_it_is():
    path = PRETRAINED / "duet.safetensors"
    assert path.stat().st_size <= 15e6
    model = load_model("duet")
    assert model.config["model"]["sources"] == ["piano", "violin"]
    assert len(model.metadata["commit"]) == 40
    assert model.metadata["licence"]


def test_it_separates_the_example_as_well_as_documented(separation, duet, example_folder):
    stems_SCT = separation.to_array(example_folder / "mixture.flac")
    mixture_CT = duet["mixture"]
    peak = np.abs(mixture_CT).max()
    assert np.abs(stems_SCT.sum(0) - mixture_CT).max() < 1e-5 * peak
    scores = [
        float(si_sdr(duet[name].reshape(-1), stem_CT.reshape(-1)))
        for name, stem_CT in zip(separation.names, stems_SCT, strict=True)
    ]
    assert np.mean(scores) == pytest.approx(GOLDEN, abs=0.05)


def test_borders_of_chunks_are_not_heard(separation, duet):
    """Its LSTM listens to a whole chunk, so other chunks give other stems, a little.

    docs/separate.md has the figure. Near the borders the difference is as everywhere.
    """
    mixture_CT = np.concatenate([duet["mixture"], duet["mixture"][:, ::-1]], 1)
    stems_SCT, difference_SCT = grids_apart(separation, mixture_CT)
    level = 10 * np.log10(np.mean(difference_SCT**2) / np.mean(stems_SCT**2))
    assert level < -38
    hop = separation._plan.chunk - separation._plan.overlap
    whole = difference_SCT.shape[-1] // hop * hop
    power_T = (difference_SCT[..., :whole] ** 2).mean((0, 1)).reshape(-1, hop).mean(0)
    places = np.array([part.mean() for part in np.array_split(power_T, 12)])
    assert places[0] < 4 * np.median(places)  # where chunks fade into each other
