"""Settings that cannot work are refused before anything is read."""

import pytest
from builders import RATE, small_run

from sep.errors import UserError
from sep.runtime.settings import changed
from sep.training.validate_config import check


def test_configs_that_cannot_work_are_refused():
    run = small_run(2)
    check(run)
    with pytest.raises(UserError, match="no separator can be built .*NOLA"):
        check(changed(run, {"model.magnitude.hop_length": 300}))
    with pytest.raises(UserError, match="unknown loss 'l3'; known: l1, l2, snr, spectral"):
        check(changed(run, {"train.loss": "l3"}))


@pytest.mark.parametrize("sources", [(), ("piano", "piano"), ("../piano", "violin")])
def test_sources_need_different_names_of_files(sources):
    run = changed(small_run(2), {"model.sources": sources})
    with pytest.raises(UserError, match=r"model\.sources"):
        check(run)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("train.steps", 0),
        ("train.eval_seconds", 0),
        ("train.eval_seconds", 1 / RATE),
        ("data.crop_seconds", 1 / RATE),
        ("data.absent", 2.0),
        ("data.gain_db", -1.0),
        ("data.channels", 3),
        ("data.workers", -1),
        ("data.batch_size", 3),
        ("train.compute_dtype", "float64"),
        ("train.clip_norm", 0.0),
        ("train.learning_rate", -1e-3),
        ("train.ema_decay", 1.0),
        ("train.patience", -1),
        ("train.eval_seconds", float("inf")),
        ("data.crop_seconds", float("nan")),
        ("separation.chunk_seconds", float("nan")),
        ("separation.overlap", float("nan")),
        ("separation.wiener_exponent", 8.0),
        ("data.timbre", {"cello": {"body_db": 3.0}, "other": {"tilt_db": 1.0}}),
        ("model.mel.max_frequency", 5.0),
        ("model.mel.max_frequency", -1.0),
        ("model.mdct.max_frequency", -1.0),
        ("model.harmonic.dropout", 1.0),
        ("seed", -1),
    ],
)
def test_settings_out_of_range_are_named(name, value):
    run = changed(small_run(2), {"train.accumulate": 2})
    if name.startswith("model."):
        block = name.split(".")[1]
        kind = "architecture" if block == "harmonic" else "representation"
        run = changed(run, {f"model.{kind}": block})
    with pytest.raises(UserError, match=name.rpartition(".")[2]):
        check(changed(run, {name: value}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.stereo": True}, r"model\.stereo needs stereo crops"),
        ({"data.aligned": 0.6, "data.solos": 0.5}, "add up to more than 1"),
    ],
)
def test_settings_that_do_not_fit_together_are_named(changes, message):
    with pytest.raises(UserError, match=message):
        check(changed(small_run(2), changes))
