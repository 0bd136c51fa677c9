"""Learning: every pair overfits, and a run that was stopped is the same run."""

import itertools
import json

import jax
import numpy as np
import pytest
from test_mixing import SWITCHES, TIMBRES
from test_separator import PAIRS, small_model

from sep.checkpoints import load_model
from sep.checks import check
from sep.config import get_config
from sep.data.stems import Stem, Stems, activity
from sep.errors import UserError
from sep.losses import snr
from sep.metrics import usdr
from sep.separator import build
from sep.training import fit, init_state, make_optimiser, make_train_step, truncate

RATE = 44100
NAMES = ("piano", "violin")
ROOMS = np.zeros((0, 100), np.float32)


def small_config(steps, representation="magnitude", architecture="fnn"):
    config = get_config().to_dict()
    config["model"] = small_model(representation, architecture)
    config["data"] |= {"crop_seconds": 0.2, "batch_size": 2}
    # Some augmentation: test_mixing has all of it, which takes seconds to compile.
    config["data"] |= dict.fromkeys(SWITCHES, 0.0) | {"gain_db": 6.0, "polarity": 0.5}
    plain = dict.fromkeys(TIMBRES, 0.0) | {"pitch_semitones": 1.0}
    config["data"]["timbre"] = {"other": plain}
    config["train"] |= {"steps": steps, "warmup_steps": 5, "eval_every": 2, "eval_crops": 2}
    config["train"]["eval_seconds"] = 0.2
    return config


@pytest.fixture(scope="module")
def duet_stems(duet, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    track = {name: stem(folder / f"{name}.npy", duet[name]) for name in NAMES}
    return Stems({name: [track[name]] for name in NAMES}, [track])


def stem(entry, wave_CT):
    np.save(entry, wave_CT.astype(np.float16))
    return Stem(entry, wave_CT.shape[1], activity(wave_CT))


@pytest.mark.parametrize(("representation", "architecture"), PAIRS)
def test_every_pair_learns_one_mixture_by_heart(representation, architecture, duet):
    config = small_config(60, representation, architecture)
    config["data"] |= {"gain_db": 0.0, "polarity": 0.0}
    config["train"]["learning_rate"] = 1e-2
    start = 5 * RATE
    stems_BSCT = np.stack([duet[name][:1, start : start + 8000] for name in NAMES])[None]
    separator, optimiser = build(config["model"]), make_optimiser(config["train"])
    state = init_state(jax.random.key(0), separator, stems_BSCT.sum(1), optimiser)
    step = make_train_step(separator, optimiser, config)
    losses = []
    for _ in range(60):
        state, metrics = step(state, stems_BSCT, ROOMS, jax.random.key(1))
        losses.append(float(metrics["loss"]))
    assert losses[-1] < losses[0] - 3


def run(config, stems, workdir, **options):
    release = fit(
        config, stems, stems, ROOMS, workdir, metadata={"commit": "test"}, **options
    )
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    log = [json.loads(line) for line in lines]
    for line in log:
        del line["seconds"]
    return log, load_model(str(release))


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(duet_stems, tmp_path):
    config = small_config(5)
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    log, model = run(config, duet_stems, tmp_path / "whole")
    asked = itertools.count()
    run(config, duet_stems, tmp_path / "parts", stopped=lambda: next(asked) >= 3)
    with (tmp_path / "parts/metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "loss": 0}\n{"step": 5, "lo')  # killed in mid-line
    resumed_log, resumed = run(config, duet_stems, tmp_path / "parts")
    assert [line["step"] for line in log] == [1, 2, 3, 4, 5]
    assert resumed_log == log
    assert resumed.metadata == model.metadata
    jax.tree.map(np.testing.assert_array_equal, resumed.params, model.params)


def test_a_loss_that_is_no_number_ends_the_run(duet_stems, tmp_path):
    config = small_config(20)
    config["train"] |= {"learning_rate": 1e38, "warmup_steps": 0, "clip_norm": 1e38}
    with pytest.raises(UserError, match="learning_rate"):
        run(config, duet_stems, tmp_path)


def test_silent_validation_stems_are_refused(duet_stems, tmp_path):
    silence = stem(tmp_path / "silence.npy", np.zeros((1, RATE)))
    silent = Stems(duet_stems.solos | {"violin": [silence]}, [])
    with pytest.raises(UserError, match="violin are silent"):
        fit(small_config(2), duet_stems, silent, ROOMS, tmp_path, metadata={})


def test_configs_that_cannot_work_are_refused():
    config = small_config(2)
    check(config)
    config["model"]["magnitude"]["hop_length"] = 300
    with pytest.raises(UserError, match="NOLA"):
        check(config)
    with pytest.raises(UserError, match="unknown loss 'l3'; known: l1, snr"):
        check(small_config(2) | {"train": {"loss": "l3"}})


def test_the_loss_is_the_error_against_the_mixture():
    random = np.random.default_rng(0)
    sources = random.standard_normal((1, 2, 1, 20000)).astype(np.float32)
    wrong = np.sqrt(0.2) * random.standard_normal(sources.shape).astype(np.float32)
    assert snr(sources, sources + wrong) == pytest.approx(-10, abs=0.2)
    mixture = sources.sum(1)
    expected = -float(usdr(mixture.reshape(-1), (mixture + wrong[:, 0]).reshape(-1)))
    assert snr(sources, sources + wrong[:, :1]) == pytest.approx(expected, abs=0.2)
    assert snr(sources, sources) == pytest.approx(-30, abs=0.01)


def test_logs_are_cut_back_to_the_restored_step(tmp_path):
    log = tmp_path / "metrics.jsonl"
    log.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st')
    truncate(log, 2)
    assert log.read_text() == '{"step": 1}\n{"step": 2}\n'
    truncate(tmp_path / "none.jsonl", 2)


@pytest.mark.parametrize("sources", [(), ("piano", "piano"), ("../piano", "violin")])
def test_sources_need_different_names_of_files(sources):
    config = small_config(2)
    config["model"]["sources"] = sources
    with pytest.raises(UserError, match=r"model\.sources"):
        check(config)


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("train", "steps", 0),
        ("train", "eval_seconds", 0),
        ("train", "eval_seconds", 1 / RATE),
        ("data", "crop_seconds", 1 / RATE),
        ("data", "absent", 2),
        ("data", "gain_db", -1.0),
        ("data", "channels", 3),
        ("data", "workers", -1),
    ],
)
def test_settings_out_of_range_are_named(part, name, value):
    config = small_config(2)
    config[part][name] = value
    with pytest.raises(UserError, match=name):
        check(config)


def test_seeds_are_not_negative():
    with pytest.raises(UserError, match="seed must be at least 0"):
        check(small_config(2) | {"seed": -1})
