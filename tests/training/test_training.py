"""Learning: the step, the loop, and that a run that was stopped is the same run."""

import itertools
import json
import sys
from functools import partial

import jax
import numpy as np
import pytest
from builders import NAMES, RATE, ROOMS, small_run

from sep.data.material import Material
from sep.data.stems import Stem, Stems, activity
from sep.errors import UserError
from sep.evaluation.metrics import usdr
from sep.model.architectures.lstm import Lstm
from sep.model.architectures.memory import rematerialised
from sep.model.architectures.settings import LstmSettings
from sep.model.release import load_model
from sep.model.separator import build
from sep.runtime.files import locked
from sep.runtime.settings import changed
from sep.training.log import Log, lines_until, speed
from sep.training.loop import fit
from sep.training.losses import l1, l2, snr, spectral
from sep.training.settings import TrainSettings
from sep.training.step import init_state, make_optimiser, make_train_step, mix_of
from sep.training.tensorboard import picture, writer_class
from sep.training.validate_config import check


@pytest.fixture(scope="module")
def duet_stems(duet, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    track = {name: stem(folder / f"{name}.npy", duet[name]) for name in NAMES}
    return Stems({name: [track[name]] for name in NAMES}, [track])


def stem(entry, wave_CT):
    np.save(entry, wave_CT.astype(np.float16))
    return Stem(entry, wave_CT.shape[1], activity(wave_CT))


def run(config, stems, workdir, **options):
    material = Material(stems, stems, ROOMS)
    release = fit(config, material, workdir, metadata={"commit": "test"}, **options)
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    log = [json.loads(line) for line in lines]
    for line in log:
        del line["seconds"]
    return log, load_model(str(release))


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(duet_stems, tmp_path):
    config = small_run(5)
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


def test_steps_without_a_finite_gradient_are_skipped_and_end_a_run(duet_stems, tmp_path):
    config = small_run(20)
    config = changed(
        config,
        {"train.learning_rate": 1e38, "train.warmup_steps": 0, "train.clip_norm": 1e38},
    )
    config = changed(config, {"train.max_skipped": 3, "train.eval_every": 100})
    with pytest.raises(UserError, match="no finite gradient in 3 steps in a row"):
        run(config, duet_stems, tmp_path)
    log = lines_until(tmp_path / "metrics.jsonl", 100)
    assert [line["skipped"] for line in log][-4:] == [0, 1, 2, 3]
    assert log[-1]["loss"] is None or log[-1]["gradient_norm"] is None
    assert log[-1]["first_example"] == 2 * (log[-1]["step"] - 1)


def first(config, key=0):
    """A state before its first step, and the step; stems of noise."""
    noise = np.random.default_rng(0).standard_normal((4, 2, 1, 8000)).astype(np.float32)
    separator, optimiser = build(config.model), make_optimiser(config.train)
    state = init_state(jax.random.key(key), separator, 0.1 * noise.sum(1), optimiser)
    step = make_train_step(separator, optimiser, config.train, mix_of(config))
    return state, step, 0.1 * noise


def test_a_skipped_step_changes_nothing_but_the_counts():
    config = small_run(20)
    config = changed(config, {"train.warmup_steps": 0})  # the very first step learns
    state, step, noise = first(config)
    before = jax.device_get(state)
    state, metrics = step(state, np.full_like(noise, np.nan), ROOMS)
    assert metrics["skipped"] == 1
    assert (state.step, state.skipped) == (1, 1)
    for name in ("params", "opt_state", "ema", "key"):
        jax.tree.map(
            np.testing.assert_array_equal, getattr(state, name), getattr(before, name)
        )
    state, metrics = step(state, noise, ROOMS)
    assert (metrics["skipped"], state.skipped) == (0, 0)
    moved = jax.tree.map(lambda a, b: (a != b).any(), state.params, before.params)
    assert any(jax.tree.leaves(moved))


def test_a_batch_in_parts_gives_the_same_step():
    found = []
    for parts in (1, 2, 4):
        config = small_run(20)
        config = changed(config, {"train.accumulate": parts})
        state, step, noise = first(config)
        state, metrics = step(state, noise, ROOMS)
        found.append((jax.device_get(state.opt_state), float(metrics["loss"])))
    for state, loss in found[1:]:
        assert loss == pytest.approx(found[0][1], abs=1e-5)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6),
            state,
            found[0][0],
        )


@pytest.mark.parametrize(
    ("changes", "mark", "tolerance"),
    [
        ({"train.rematerialise": True}, "remat", 1e-5),
        ({"train.compute_dtype": "bfloat16"}, ":bf16[", 0.03),
    ],
)
def test_cheaper_steps_are_nearly_the_same_step(changes, mark, tolerance):
    losses = []
    for train in ({}, changes):
        config = small_run(20, architecture="lstm")
        config = changed(config, {"train.warmup_steps": 0, **train})
        state, step, noise = first(config)
        assert (mark in str(jax.make_jaxpr(step)(state, noise, ROOMS))) == (
            train == changes
        )
        for _ in range(5):
            state, metrics = step(state, noise, ROOMS)
            assert all(leaf.dtype != "bfloat16" for leaf in jax.tree.leaves(state))
        losses.append(float(metrics["loss"]))
    assert losses[1] == pytest.approx(losses[0], rel=tolerance)


def test_rematerialised_gradients_keep_what_layers_put_out():
    network = Lstm(LstmSettings(width=32, depth=6, dropout=0.0))
    features_BNFK = np.ones((2, 50, 10, 1), np.float32)
    sizes = {"num_sources": 2, "num_outputs": 1}
    params = network.init(jax.random.key(0), features_BNFK, **sizes)

    def kept_bytes(apply):
        _, gradient = jax.vjp(lambda params: apply(params, features_BNFK), params)
        return sum(leaf.nbytes for leaf in jax.tree.leaves(gradient))

    apply = partial(network.apply, **sizes)
    layers = 6 * 2 * 50 * 2 * 16 * 4
    fixed = sum(leaf.nbytes for leaf in jax.tree.leaves(params)) + features_BNFK.nbytes
    assert layers < kept_bytes(rematerialised(apply)) < 1.1 * (layers + fixed)
    assert kept_bytes(apply) > 3 * layers


def test_the_newest_and_the_best_state_are_kept(duet_stems, tmp_path):
    config = small_run(12)
    config = changed(
        config, {"train.learning_rate": 30.0, "train.clip_norm": 1e9}
    )  # it gets worse
    log, _ = run(config, duet_stems, tmp_path)
    scores = {x["step"]: x["valid_si_sdr"] for x in log if "valid_si_sdr" in x}
    best = max(scores, key=scores.get)
    kept = {int(folder.name) for folder in (tmp_path / "checkpoints").glob("[0-9]*")}
    assert kept == {best, 12}
    assert best < 12


def test_a_stem_that_gets_lost_during_a_run_ends_it_in_one_line(duet_stems, tmp_path):
    lost = stem(tmp_path / "lost.npy", np.ones((1, RATE)))
    stems = duet_stems._replace(solos=duet_stems.solos | {"violin": [lost]}, tracks=[])
    asked = itertools.count()

    def lose():
        if next(asked) == 3:
            lost.entry.unlink()
        return False

    config = small_run(40)
    with pytest.raises(
        UserError, match=r"lost\.npy: a decoded stem in the cache is missing"
    ) as error:
        material = Material(stems, duet_stems, ROOMS)
        fit(config, material, tmp_path, metadata={}, stopped=lose)
    assert "\n" not in str(error.value)
    assert lines_until(tmp_path / "metrics.jsonl", 40)


def test_tensorboard_and_profiler_get_what_they_show(duet_stems, tmp_path):
    from tensorboardX.proto.event_pb2 import Event

    options = {"tensorboard": True, "profile": True}
    run(small_run(10), duet_stems, tmp_path, **options)
    (path,) = (tmp_path / "tensorboard").iterdir()
    data, found = path.read_bytes(), {}
    while data:  # records: length, checksum, event, checksum
        size = int.from_bytes(data[:8], "little")
        event = Event.FromString(data[12 : 12 + size])
        data = data[16 + size :]
        for value in event.summary.value:
            found.setdefault(value.tag, []).append((event.step, value))
    assert [step for step, _ in found["training/loss"]] == list(range(1, 11))
    assert [step for step, _ in found["validation/valid_si_sdr"]] == [2, 4, 6, 8, 10]
    for name in ("mixture", *NAMES):
        sounds = [v.audio for _, v in found[name] if v.HasField("audio")]
        images = [v.image for _, v in found[name] if v.HasField("image")]
        assert len(sounds) == len(images) == 5
        assert sounds[0].sample_rate == RATE
        assert images[0].encoded_image_string.startswith(b"\x89PNG")
    assert list((tmp_path / "profile").rglob("*.xplane.pb"))


def test_tensorboard_is_asked_for_only_where_it_is(monkeypatch):
    assert writer_class().__name__ == "SummaryWriter"
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(UserError, match=r"--tensorboard needs more packages: pip install"):
        writer_class()


def test_pictures_show_high_tones_above_low_ones():
    time = np.arange(RATE) / RATE
    low, high = (picture(np.sin(2 * np.pi * f * time)) for f in (500, 5000))
    assert low.dtype == np.uint8
    assert low.shape == high.shape
    middle = low.shape[1] // 2
    for shades, frequency in ((low, 500), (high, 5000)):
        row = low.shape[0] - 1 - shades[:, middle].argmin()  # 0 is black, and loud
        assert row * RATE / 2048 == pytest.approx(frequency, abs=RATE / 2048)
    assert (picture(np.zeros(RATE)) == 0).sum() == 0


def test_what_a_run_is_to_expect_is_told():
    assert speed(0.5, 48.0, 7200) == (
        "0.50 s a step: 96.0 hours of audio an hour; 7200 more steps in 1 h 00 min, "
        "validation aside"
    )


def test_a_run_ends_when_validation_no_longer_improves(duet_stems, tmp_path):
    config = small_run(40)
    config = changed(
        config, {"train.learning_rate": 1e-9, "train.patience": 2}
    )  # it learns nothing
    log, model = run(config, duet_stems, tmp_path)
    scores = [line["valid_si_sdr"] for line in log if "valid_si_sdr" in line]
    best = scores.index(max(scores))
    assert len(scores) == best + 3 < 20
    assert float(model.metadata["si_sdr"]) == max(scores)


def test_kernels_alone_decay():
    train = TrainSettings(steps=10, weight_decay=0.5, warmup_steps=0)
    optimiser = make_optimiser(train)
    params = {"layer": dict.fromkeys(("kernel", "scale"), np.ones((2, 3), np.float32))}
    still = jax.tree.map(np.zeros_like, params)
    updates, _ = optimiser.update(still, optimiser.init(params), params)
    assert np.allclose(updates["layer"]["kernel"], -0.5 * train.learning_rate, 1e-6)
    assert (updates["layer"]["scale"] == 0).all()


def test_dropout_is_for_training_alone(duet_stems, tmp_path):
    losses, scores = {}, {}
    for name, share in (("none", 0.0), ("some", 0.4), ("again", 0.4)):
        config = small_run(1)
        config = changed(config, {"train.learning_rate": 0.0})
        config = changed(config, {"model.architecture": "openunmix"})
        config = changed(
            config,
            {
                "model.openunmix.width": 16,
                "model.openunmix.depth": 2,
                "model.openunmix.dropout": share,
            },
        )
        (tmp_path / name).mkdir()
        (line,), _ = run(config, duet_stems, tmp_path / name)
        losses[name], scores[name] = line["loss"], line["valid_si_sdr"]
    assert losses["none"] != losses["some"] == losses["again"]
    assert scores["none"] == scores["some"]


def test_a_model_is_fine_tuned_on_other_sources(duet_stems, tmp_path):
    (tmp_path / "a").mkdir()
    _, model = run(small_run(4), duet_stems, tmp_path / "a")
    config = small_run(1)
    config = changed(
        config, {"train.init_from": str(tmp_path / "a"), "train.learning_rate": 0.0}
    )
    config = changed(config, {"model.sources": ("violin", "piano", "more")})
    more = Stems(duet_stems.solos | {"more": duet_stems.solos["piano"]}, [])
    (tmp_path / "b").mkdir()
    _, tuned = run(config, more, tmp_path / "b")
    kept = jax.tree.map(
        lambda a, b: a.shape == b.shape and np.allclose(a, b, rtol=1e-6),
        *(tuned.params, model.params),
    )
    kept = jax.tree.leaves(kept)
    assert kept.count(False) == 2  # the last layer's kernel and bias
    assert kept.count(True) > 2
    (tmp_path / "a").rename(tmp_path / "elsewhere")
    config = changed(config, {"train.steps": 2})  # who goes on does not need it any more
    log, _ = run(config, more, tmp_path / "b")
    assert [line["step"] for line in log] == [1, 2]
    (tmp_path / "elsewhere").rename(tmp_path / "a")
    config = changed(config, {"model.architecture": "lstm"})
    config = changed(config, {"model.lstm.width": 16})
    (tmp_path / "c").mkdir()
    with pytest.raises(UserError, match="architecture is fnn, not lstm"):
        run(config, more, tmp_path / "c")


def test_silent_validation_stems_are_refused(duet_stems, tmp_path):
    silence = stem(tmp_path / "silence.npy", np.zeros((1, RATE)))
    silent = Stems(duet_stems.solos | {"violin": [silence]}, [])
    with pytest.raises(UserError, match="violin are silent"):
        material = Material(duet_stems, silent, ROOMS)
        fit(small_run(2), material, tmp_path, metadata={})


def test_configs_that_cannot_work_are_refused():
    config = small_run(2)
    check(config)
    config = changed(config, {"model.magnitude.hop_length": 300})
    with pytest.raises(UserError, match="NOLA"):
        check(config)
    with pytest.raises(UserError, match="unknown loss 'l3'; known: l1, l2, snr, spectral"):
        check(changed(small_run(2), {"train.loss": "l3"}))


def test_the_loss_is_the_error_against_the_mixture():
    random = np.random.default_rng(0)
    sources = random.standard_normal((1, 2, 1, 20000)).astype(np.float32)
    wrong = np.sqrt(0.2) * random.standard_normal(sources.shape).astype(np.float32)
    assert snr(sources, sources + wrong) == pytest.approx(-10, abs=0.2)
    mixture = sources.sum(1)
    expected = -float(usdr(mixture.reshape(-1), (mixture + wrong[:, 0]).reshape(-1)))
    assert snr(sources, sources + wrong[:, :1]) == pytest.approx(expected, abs=0.2)
    assert snr(sources, sources) == pytest.approx(-30, abs=0.01)


def test_other_losses_of_white_noise_are_its_moments():
    noise = np.random.default_rng(0).standard_normal((1, 2, 1, 40000)).astype(np.float32)
    nothing, mean = np.zeros_like(noise), np.sqrt(2 / np.pi)
    assert l1(nothing, noise) == pytest.approx(mean, rel=0.02)
    assert l2(nothing, noise) == pytest.approx(1, rel=0.02)
    # A part of a bin has the variance of half the window's energy, 3/8 n_fft.
    expected = mean * (1 + 3 * 2 * np.sqrt(3 / 16))
    assert spectral(nothing, noise) == pytest.approx(expected, rel=0.08)  # edges: less


def test_logs_are_cut_back_to_the_restored_step(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "x": 3}\n{"step": 2, "x": 2}\n{"step": 3}\n{"st')
    log = Log(path, 2)
    assert path.read_text() == '{"step": 1, "x": 3}\n{"step": 2, "x": 2}\n'
    assert log.values("x") == [3, 2]
    log.write({"step": 3, "x": float("nan")})
    log.close()
    assert path.read_text().endswith('{"step": 3, "x": null}\n')
    log = Log(tmp_path / "none.jsonl", 2)
    assert log.values("x") == []
    log.close()


def test_a_folder_is_locked_to_one_run(tmp_path):
    def lock(name):
        with locked(tmp_path / name, "training"):
            pass

    with (
        locked(tmp_path / "new", "training"),
        pytest.raises(UserError, match="new: another process is training there"),
    ):
        lock("new")
    lock("new")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file: cannot be used"):
        lock("file")


@pytest.mark.parametrize("sources", [(), ("piano", "piano"), ("../piano", "violin")])
def test_sources_need_different_names_of_files(sources):
    config = small_run(2)
    config = changed(config, {"model.sources": sources})
    with pytest.raises(UserError, match=r"model\.sources"):
        check(config)


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
    config = changed(small_run(2), {"train.accumulate": 2})
    if name.startswith("model."):
        block = name.split(".")[1]
        kind = "architecture" if block == "harmonic" else "representation"
        config = changed(config, {f"model.{kind}": block})
    with pytest.raises(UserError, match=name.rpartition(".")[2]):
        check(changed(config, {name: value}))
