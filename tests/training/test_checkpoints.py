"""Checkpoints and release files: written, read, and refused if they are of no use."""

import gc
import json
import shutil
import sys
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from builders import small_model
from safetensors.numpy import save_file
from untrained import parameters

from sep.errors import UserError
from sep.model.release import FORMAT, Model, load_model, save_model
from sep.model.separator import build
from sep.model.settings import SeparationSettings
from sep.runtime.settings import as_dict
from sep.separation.inference import Separation
from sep.training.checkpoints import BestModel, Checkpoints


@pytest.fixture(scope="module")
def model():
    settings = small_model("waveform", "fnn").in_use()
    params = parameters(build(settings))
    metadata = {"step": "7", "licence": "CC0"}
    return Model(settings, SeparationSettings(), params, metadata)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 0), (np.float16, 1e-3)])
def test_a_model_comes_back(model, tmp_path, dtype, tolerance):
    path = tmp_path / "m.safetensors"
    save_model(path, model, dtype)
    again = load_model(str(path))
    assert again._replace(params=None) == model._replace(params=None)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, atol=tolerance, strict=True),
        again.params,
        jax.device_get(model.params),
    )
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]


def test_the_best_model_is_kept_with_the_separation_of_the_config(model, tmp_path):
    path = tmp_path / "model.safetensors"
    separation = SeparationSettings(overlap=0.2)
    for step, score in ((1, 3.0), (2, 5.0), (3, 4.0)):
        best = BestModel(path, model.settings, separation, {})
        best.save_if_better(step, score, model.params)
    assert load_model(str(path)).metadata["step"] == "2"
    longer = SeparationSettings(overlap=0.2, wiener_seconds=0.5)
    BestModel(path, model.settings, longer, {})
    found = load_model(str(path))
    assert found.separation == longer
    assert found.metadata["step"] == "2"


def write_release(path, config, params, **metadata):
    """Writes a release file with any config; returns its path."""
    arrays = {name: np.zeros(3, np.float32) for name in params}
    facts = {"format": FORMAT, "config": json.dumps(config), **metadata}
    save_file(arrays, path, metadata=facts)
    return str(path)


@pytest.mark.parametrize("name", ["magnitude", "log_magnitude", "complex", "mel"])
def test_an_older_file_has_the_same_meaning_as_before(tmp_path, name):
    """Settings that were added later have no effect: see `absent` in the declarations."""
    model = as_dict(small_model(name, "harmonic"))
    later = {"onset_n_fft": 0, "dft": "fft"}
    later |= {"with_magnitude": False} if name == "complex" else {}
    for setting in later:
        del model[name][setting]
    del model["harmonic"]["peaks"], model["harmonic"]["dropout"]
    del model["level_free"], model["stereo"]
    separation = as_dict(SeparationSettings())
    del separation["wiener_seconds"], separation["wiener_exponent"]
    config = {"model": model, "separation": separation}
    found = load_model(write_release(tmp_path / "old.safetensors", config, ["x"]))
    assert not found.settings.level_free and not found.settings.stereo
    meant = found.settings.representation_settings
    assert {setting: getattr(meant, setting) for setting in later} == later
    network = found.settings.architecture_settings
    assert (network.peaks, network.dropout) == (3, 0.0)
    assert found.separation == SeparationSettings()


def test_settings_of_files_are_checked(tmp_path):
    model = as_dict(small_model("waveform", "fnn"))
    separation = as_dict(SeparationSettings())
    good = {"model": model, "separation": separation}
    path = tmp_path / "m.safetensors"
    load_model(write_release(path, good | {"seed": 3}, ["x"]))  # other parts are ignored
    fnn = model["fnn"]
    for part, changes, reason in (
        ("model", {"fnn": fnn | {"width": -1}}, "model.fnn.width must be at least 1"),
        ("model", {"fnn": fnn | {"width": "x"}}, "model.fnn.width must be of type int"),
        ("model", {"fnn": fnn | {"colour": 1}}, "unknown setting model.fnn.colour"),
        ("model", {"fnn": {"width": 8}}, "model.fnn.context is missing"),
        ("model", {"architecture": "transformer"}, "model.transformer is missing"),
        ("model", {"sources": []}, "model.sources must be different names"),
        ("separation", {"overlap": 2.0}, "separation.overlap must be at least 0 and"),
    ):
        config = good | {part: good[part] | changes}
        with pytest.raises(UserError, match=rf"m\.safetensors: its config .*{reason}"):
            load_model(write_release(path, config, ["x"]))
    for config in ({}, [1], {"model": 3, "separation": separation}, {"model": model}):
        with pytest.raises(UserError, match=r"m\.safetensors: .*config"):
            load_model(write_release(path, config, ["x"]))


def test_files_that_are_no_models_are_refused(model, tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes(b"not at all")
    with pytest.raises(UserError, match=r"m\.safetensors: is not a release file"):
        load_model(str(path))
    arrays = {"x": np.zeros(3, np.float32)}
    for metadata, reason in (
        (None, "this version"),
        ({"format": "sep-release-99"}, "this version"),
        ({"format": "sep-release-1"}, "this version"),
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
    with pytest.raises(UserError, match=r"contains no model\.safetensors"):
        load_model(str(tmp_path))


def test_a_model_that_does_not_fit_its_settings_is_refused(model):
    with pytest.raises(UserError, match="parameters do not fit"):
        Separation(model._replace(params={"x": np.zeros(3)}))


def test_a_disk_without_room_is_an_error_before_anything_is_written(tmp_path, monkeypatch):
    checkpoints, state = Checkpoints(tmp_path), {"x": jax.numpy.zeros(1000)}
    checkpoints.save(1, state)
    free = shutil.disk_usage(tmp_path)._replace(free=5000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    with pytest.raises(UserError, match="0.0 MB are free, a checkpoint needs 0.0 MB"):
        checkpoints.save(2, state)
    checkpoints.close()
    again = Checkpoints(tmp_path)
    np.testing.assert_array_equal(again.restore({"x": jax.numpy.ones(1000)})["x"], 0)
    again.close()


SPEC = '[tensorstore_spec=\'{"driver":"zarr","chunks":[20],"create":true}\']'
CODE = "[os_error_code='27']"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f'Error opening "zarr": file 4: File too large {CODE} {SPEC}', "File too large"),
        (f'Error opening "zarr": file 4: File too large {SPEC} {CODE}', "File too large"),
        ("Tree structures differ: x\nand much more", "Tree structures differ: x"),
        ("", "OSError"),
    ],
)
def test_a_failed_write_is_one_line_with_the_reason(tmp_path, monkeypatch, text, reason):
    """Nothing is printed about the writes that Orbax abandons, now or later."""
    checkpoints = Checkpoints(tmp_path)

    async def write():
        raise AssertionError("Orbax closed the loop before this began")

    def save(*_, **__):
        write()  # never awaited
        raise OSError(text)

    monkeypatch.setattr(checkpoints._manager, "save", save)
    with pytest.raises(UserError) as error:
        checkpoints.save(1, {"x": jax.numpy.zeros(3)})
    assert f"checkpoints: cannot be written ({reason}); free some" in str(error.value)
    del error
    gc.collect()
    checkpoints.close()


def test_only_errors_of_the_closed_loop_are_not_reported(tmp_path, monkeypatch):
    reported = []
    monkeypatch.setattr(sys, "unraisablehook", reported.append)
    for _ in range(2):
        Checkpoints(tmp_path).close()
    for message in ("Event loop is closed", "a fault"):
        sys.unraisablehook(SimpleNamespace(exc_value=RuntimeError(message)))
    (unraisable,) = reported
    assert str(unraisable.exc_value) == "a fault"


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, {"x": jax.numpy.zeros(3)})
    checkpoints.close()
    again = Checkpoints(tmp_path)
    assert again.has_state
    with pytest.raises(UserError, match="cannot be restored .*; it is corrupt or of anot"):
        again.restore({"y": jax.numpy.zeros(3)})
    again.close()
