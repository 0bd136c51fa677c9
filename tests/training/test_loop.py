"""The training loop: checkpoints, early ends, TensorBoard, fine-tuning.

Most tests replace the network by steps that compute nothing. test_survival.py has whole
runs.
"""

import itertools
from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from builders import NAMES, RATE, ROOMS, noise, small_model, small_run
from untrained import parameters

from sep.data.material import Material
from sep.data.stems import Stem, Stems, activity
from sep.errors import Diverged, UserError
from sep.model.release import Model, load_model, save_model, warm_start
from sep.model.separator import build
from sep.model.settings import SeparationSettings
from sep.runtime.settings import changed
from sep.training import loop
from sep.training.log import lines_until
from sep.training.step import State, make_optimiser


@pytest.fixture(scope="module")
def stems(tmp_path_factory):
    """Stems of noise; the two recordings are a track as well."""
    folder = tmp_path_factory.mktemp("cache")
    track = {name: stem(folder / f"{name}.npy", noise(1, RATE)) for name in NAMES}
    return Stems({name: [track[name]] for name in NAMES}, [track])


def stem(entry, wave_CT):
    np.save(entry, wave_CT.astype(np.float16))
    return Stem(entry, wave_CT.shape[1], activity(wave_CT))


@pytest.fixture
def steps_of(monkeypatch):
    """Makes `fit` take steps that compute nothing.

    `steps_of(scores, skipped)` sets the score of each validation, and the count of skipped
    steps after each step.
    """

    def train_step(skipped, state, stems_BSCT, rooms_RL):
        count = jnp.asarray(skipped)[state.step]
        loss = jnp.where(count > 0, jnp.nan, stems_BSCT.mean())
        metrics = {"loss": loss, "gradient_norm": loss, "skipped": count}
        return state._replace(step=state.step + 1, skipped=count), metrics

    def replace(scores=(0.0,) * 100, skipped=(0,) * 100):
        params, zero = {"kernel": jnp.zeros((3, 2))}, jnp.zeros((), jnp.int32)
        state = State(zero, jnp.zeros(2, jnp.uint32), zero.copy(), params, (), params)
        following = iter(scores)

        def separate(variables, mixture_BCT):
            return jnp.stack([mixture_BCT] * len(NAMES), 1)

        def prepare(run, material, checkpoints):
            crops_BSCT = loop.validation_crops(run, material.valid)
            return loop.Prepared(
                state=checkpoints.restore(state),
                rooms_RL=jnp.asarray(ROOMS),
                train_step=jax.jit(partial(train_step, skipped)),
                score=lambda params: {"si_sdr": next(following), "si_sdri": 0.0},
                example=partial(loop.example_waves, separate, crops_BSCT, NAMES),
                join=jnp.asarray,
            )

        monkeypatch.setattr(loop, "prepare", prepare)

    return replace


def fit(run, stems, workdir, **options):
    material = Material(stems, stems, ROOMS)
    return loop.fit(run, material, workdir, metadata={"commit": "test"}, **options)


def test_the_newest_and_the_best_state_are_kept(steps_of, stems, tmp_path):
    steps_of(scores=[1.0, 5.0, 3.0, 4.0])
    release = fit(small_run(8), stems, tmp_path)
    folders = (tmp_path / "checkpoints").glob("[0-9]*")
    assert {int(folder.name) for folder in folders} == {4, 8}
    facts = load_model(str(release)).metadata
    assert facts == {"commit": "test", "step": "4", "si_sdr": "5.0"}


def test_a_run_ends_when_validation_no_longer_improves(steps_of, stems, tmp_path):
    run = changed(small_run(40), {"train.patience": 2})
    steps_of(scores=[1.0, 2.0, 2.0, 1.5, 3.0])
    fit(run, stems, tmp_path)
    log = lines_until(tmp_path / "metrics.jsonl", 40)
    scores = [line["valid_si_sdr"] for line in log if "valid_si_sdr" in line]
    assert scores == [1.0, 2.0, 2.0, 1.5]
    # Resumed, it ends at once: the earlier scores are in the log.
    fit(run, stems, tmp_path)
    assert lines_until(tmp_path / "metrics.jsonl", 40) == log


def test_steps_without_a_finite_gradient_end_a_run(steps_of, stems, tmp_path):
    run = changed(small_run(20), {"train.max_skipped": 3, "train.eval_every": 100})
    steps_of(skipped=(0, 1, 0, 1, 2, 3, 4))
    with pytest.raises(Diverged, match="no finite gradient in 3 steps in a row, up to st"):
        fit(run, stems, tmp_path)
    log = lines_until(tmp_path / "metrics.jsonl", 100)
    assert [line["skipped"] for line in log] == [0, 1, 0, 1, 2, 3]
    assert log[-1]["loss"] is log[-1]["gradient_norm"] is None
    assert log[-1]["first_example"] == 2 * (log[-1]["step"] - 1)


def test_a_stem_that_is_lost_during_a_run_ends_it_in_one_line(steps_of, stems, tmp_path):
    steps_of()
    lost = stem(tmp_path / "lost.npy", np.ones((1, RATE)))
    train = Stems(stems.solos | {"violin": [lost]}, [])
    calls = itertools.count()

    def lose():
        if next(calls) == 3:
            lost.entry.unlink()
        return False

    material = Material(train, stems, ROOMS)
    with pytest.raises(UserError, match=r"lost\.npy: a decoded stem .* missing") as error:
        loop.fit(small_run(40), material, tmp_path, metadata={}, stopped=lose)
    assert "\n" not in str(error.value)
    assert lines_until(tmp_path / "metrics.jsonl", 40)


def test_tensorboard_and_the_profiler_get_their_files(steps_of, stems, tmp_path):
    from tensorboardX.proto.event_pb2 import Event

    steps_of()
    fit(small_run(8), stems, tmp_path, tensorboard=True, profile=True)
    (path,) = (tmp_path / "tensorboard").iterdir()
    data, found = path.read_bytes(), {}
    while data:  # records: length, checksum, event, checksum
        size = int.from_bytes(data[:8], "little")
        event = Event.FromString(data[12 : 12 + size])
        data = data[16 + size :]
        for value in event.summary.value:
            found.setdefault(value.tag, []).append((event.step, value))
    assert [step for step, _ in found["training/loss"]] == list(range(1, 9))
    assert [step for step, _ in found["validation/valid_si_sdr"]] == [2, 4, 6, 8]
    for name in ("mixture", *NAMES):
        sounds = [v.audio for _, v in found[name] if v.HasField("audio")]
        images = [v.image for _, v in found[name] if v.HasField("image")]
        assert len(sounds) == len(images) == 4
        assert sounds[0].sample_rate == RATE
        assert images[0].encoded_image_string.startswith(b"\x89PNG")
    assert list((tmp_path / "profile").rglob("*.xplane.pb"))


def test_silent_validation_stems_are_refused(stems, tmp_path):
    silence = stem(tmp_path / "silence.npy", np.zeros((1, RATE)))
    silent = Stems(stems.solos | {"violin": [silence]}, [])
    with pytest.raises(UserError, match="violin are silent"):
        loop.fit(small_run(2), Material(stems, silent, ROOMS), tmp_path, metadata={})


def test_a_model_is_fine_tuned_on_other_sources(stems, tmp_path):
    settings = small_model("waveform", "fnn").in_use()
    params = parameters(build(settings))
    model = Model(settings, SeparationSettings(), params, {})
    save_model(tmp_path / "model.safetensors", model)
    run = changed(small_run(1, "waveform"), {"model.sources": ("violin", "piano", "more")})
    more = Stems(stems.solos | {"more": stems.solos["piano"]}, [])
    separator, optimiser = build(run.model), make_optimiser(run.train)
    state = loop.first_state(run, more, ROOMS, separator, optimiser, str(tmp_path))
    for tuned in (state.params, state.ema):
        kept = jax.tree.map(
            lambda a, b: a.shape == b.shape and np.array_equal(a, b), tuned, params
        )
        kept = jax.tree.leaves(kept)
        assert kept.count(False) == 2  # the last layer's kernel and bias
        assert kept.count(True) > 2
    with pytest.raises(UserError, match="architecture is fnn, not lstm"):
        warm_start({}, small_model("waveform", "lstm"), model)


@pytest.mark.parametrize("has_state", [False, True])
def test_a_resumed_run_does_not_need_the_model_it_started_from(
    stems, has_state, monkeypatch
):
    given = []
    monkeypatch.setattr(loop, "first_state", lambda *args: given.append(args[-1]) or {})
    checkpoints = SimpleNamespace(has_state=has_state, restore=lambda state: state)
    run = changed(small_run(2), {"train.init_from": "model"})
    loop.prepare(run, Material(stems, stems, ROOMS), checkpoints)
    assert given == ["" if has_state else "model"]
