"""Release files: what is saved comes back, and what is no model is refused."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from builders import init, noise, small_model
from safetensors.numpy import save_file

from sep.config import get_config
from sep.errors import UserError
from sep.evaluation.metrics import si_sdr
from sep.model.release import (
    FORMAT,
    Model,
    completed,
    load_model,
    of_first_format,
    save_model,
)
from sep.model.separator import build
from sep.separation.inference import Separation
from sep.training.checkpoints import BestModel, Checkpoints

OLD_FILE = Path(__file__).parent / "first_format.safetensors"


@pytest.fixture(scope="module")
def model():
    config = json.loads(get_config().to_json())
    config["model"] = json.loads(json.dumps(small_model("waveform", "fnn")))
    params = init(build(config["model"]), noise(1, 1, 2000))["params"]
    return Model(config, params, {"step": "7", "licence": "CC0"})


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 0), (np.float16, 1e-3)])
def test_a_model_comes_back(model, tmp_path, dtype, tolerance):
    path = tmp_path / "m.safetensors"
    save_model(path, model, dtype)
    again = load_model(str(path))
    assert (again.config, again.metadata) == (model.config, model.metadata)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, atol=tolerance, strict=True),
        again.params,
        jax.device_get(model.params),
    )
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]


def test_the_best_model_is_kept_and_separates_as_the_config_says(model, tmp_path):
    path = tmp_path / "model.safetensors"
    config = {"separation": {"overlap": 0.1}, **model.config}
    for step, score in ((1, 3.0), (2, 5.0), (3, 4.0)):
        BestModel(path, config, {}).offer(step, score, model.params)
    assert load_model(str(path)).metadata["step"] == "2"
    changed = config["separation"] | {"wiener_seconds": 0.5}
    BestModel(path, config | {"separation": changed}, {})
    found = load_model(str(path))
    assert found.config["separation"] == changed
    assert found.metadata["step"] == "2"


def test_what_an_older_file_does_not_say_is_what_it_meant(model, tmp_path):
    path, config = tmp_path / "m.safetensors", json.loads(json.dumps(model.config))
    for part in ("magnitude", "complex"):
        assert config["model"][part].pop("dft") == "fft"
        assert config["model"][part].pop("onset_n_fft") == 0
    save_model(path, model._replace(config=config))
    assert load_model(str(path)).config == model.config
    # What a file does say stands, be it nonsense.
    for said in ([1], "x", {"magnitude": {"dft": "matrix"}}):
        assert completed(said) == said
        again = completed({"model": said})["model"]
        assert again == said or again["magnitude"] == {"dft": "matrix", "onset_n_fft": 0}


def test_settings_of_old_names_are_read_as_they_were_meant():
    old = {"fnn": {"hidden": 512, "context": 0}, "lstm": {"hidden": 256, "layers": 2}}
    old["complex"] = {"compression": 0.3}
    model = completed({"model": old})["model"]
    assert "harmonic" not in model  # what is not there is not begun
    assert model["fnn"] == {"width": 512, "depth": 2, "context": 0}
    assert model["lstm"] == {"width": 512, "depth": 2}
    assert not model["complex"]["with_magnitude"]
    assert old["lstm"] == {"hidden": 256, "layers": 2}  # and nobody's config is changed
    for nonsense in ({"model": {"lstm": {"hidden": "x"}}}, {"model": {"lstm": 3}}):
        assert completed(nonsense)["model"]["lstm"] == nonsense["model"]["lstm"]


def test_files_of_the_first_format_mean_open_unmix_by_lstm():
    sizes = {"width": 8, "depth": 1, "dropout": 0.0}
    old = {"model": {"architecture": "lstm", "lstm": sizes}, "separation": {}}
    model = of_first_format(old)["model"]
    assert (model["architecture"], model["openunmix"]) == ("openunmix", sizes)
    for other in ({"model": {"architecture": "fnn"}}, {"model": 3}, [1]):
        assert of_first_format(other) == other


def test_a_file_of_the_first_format_separates_as_it_did(duet):
    """Commit 96fee6c trained it for half a minute; its stems scored 7.08 and 7.07 dB."""
    separation = Separation(load_model(str(OLD_FILE)), refine=False)
    found = separation(duet["mixture"].T, 44100)
    for name, score in (("piano", 7.08), ("violin", 7.07)):
        reference_CT, estimate_CT = duet[name], found[name].T
        wanted = pytest.approx(score, abs=0.03)
        assert float(si_sdr(reference_CT.ravel(), estimate_CT.ravel())) == wanted


def test_what_is_no_model_is_refused(model, tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes(b"not at all")
    with pytest.raises(UserError, match=r"m\.safetensors: is not a release file"):
        load_model(str(path))
    arrays = {"x": np.zeros(3, np.float32)}
    for metadata, reason in (
        (None, "this version"),
        ({"format": "sep-release-99"}, "this version"),
        ({"format": FORMAT}, "config"),
        ({"format": FORMAT, "config": "{"}, "config"),
    ):
        save_file(arrays, path, metadata=metadata)
        with pytest.raises(UserError, match=reason):
            load_model(str(path))
    leaves = {"a": arrays["x"], "a/b": arrays["x"]}  # a name that is a leaf and a branch
    save_file(leaves, path, metadata={"format": FORMAT, "config": "{}"})
    with pytest.raises(UserError, match=r"m\.safetensors: is not a release file"):
        load_model(str(path))
    for name in ("none", 300 * "x"):  # a name too long for a file
        with pytest.raises(UserError, match=r"bundled models: "):
            load_model(str(tmp_path / name))
    with pytest.raises(UserError, match=r"holds no model\.safetensors"):
        load_model(str(tmp_path))


def test_a_model_that_does_not_fit_its_config_is_refused(model):
    with pytest.raises(UserError, match="parameters do not fit"):
        Separation(model._replace(params={"x": np.zeros(3)}))
    settings = model.config["model"]
    for strange in ({"sources": ["a", "b"]}, settings | {"fnn": {"width": -1, "depth": 1}}):
        with pytest.raises(UserError, match="another version"):
            Separation(model._replace(config=model.config | {"model": strange}))


def test_a_disk_without_room_is_noticed_before_anything_is_written(tmp_path, monkeypatch):
    checkpoints, state = Checkpoints(tmp_path), {"x": jax.numpy.zeros(1000)}
    checkpoints.save(1, state)
    free = shutil.disk_usage(tmp_path)._replace(free=5000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    with pytest.raises(UserError, match="0 MB are free, a checkpoint needs 0"):
        checkpoints.save(2, state)
    checkpoints.close()
    again = Checkpoints(tmp_path)
    np.testing.assert_array_equal(again.restore({"x": jax.numpy.ones(1000)})["x"], 0)
    again.close()
