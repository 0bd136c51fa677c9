"""Tests of benchmarks/training.py."""

import importlib.util
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from sep.data import mixing
from sep.runtime.settings import changed
from sep.training.settings import RunSettings
from sep.training.step import mix_of

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def training():
    spec = importlib.util.spec_from_file_location("training", BENCHMARKS / "training.py")
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        patch.setitem(sys.modules, "training", module)
        spec.loader.exec_module(module)
    return module


def test_quiet_settings_switch_all_augmentation_off(training):
    chances = ("polarity", "absent", "band_limit", "room", "swap", "noise", "clip")
    run = changed(
        RunSettings(),
        {"model.residual": True}  # the output that gets noise
        | {f"data.{name}": 1.0 for name in chances},
    )
    random = np.random.default_rng(0)
    stems_BSCT = random.uniform(-0.5, 0.5, (2, 3, 2, 1000)).astype(np.float32)
    rooms_RL = random.uniform(-0.5, 0.5, (2, 300)).astype(np.float32)
    arrays = jax.random.key(0), np.arange(2), stems_BSCT, rooms_RL
    _, sources_BSCT = mix_of(training.quiet(run))(*arrays)
    levelled_BSCT = mixing.to_reference_level(stems_BSCT)
    np.testing.assert_allclose(sources_BSCT, levelled_BSCT, rtol=1e-5)


def test_each_round_calls_all_functions_and_begins_with_another(training):
    called = []
    functions = {name: lambda name=name: called.append(name) for name in "abc"}
    assert set(training.measure(functions, 3)) == set("abc")
    warmup, rounds = "abc", "abc" + "bca" + "cab"
    assert "".join(called) == warmup + rounds
