"""Separation of any recording: exact lengths, exact sums, one shape, one compilation."""

import jax
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from sep import inference
from sep.checkpoints import Model
from sep.config import get_config
from sep.errors import UserError
from sep.inference import Plan, Separation, at_own_rate, separate, separate_chunks
from sep.separator import REFERENCE_RMS, build, level_gain, share_rest

PLAN = Plan(sample_rate=8000, chunk=500, overlap=100, batch=2)


def noise(*shape, rms=0.1):
    return (rms * np.random.default_rng(0).standard_normal(shape)).astype(np.float32)


def all_to_first(mixture_BCT):
    """A separator that finds everything in the first source and nothing in the second."""
    return np.stack([mixture_BCT, np.zeros_like(mixture_BCT)], 1)


class Gains:
    """A separator of fixed gains that remembers the shapes it was called with."""

    def __init__(self, *gains):
        self.gains_S11 = np.float32(gains)[:, None, None]
        self.shapes = []

    def __call__(self, mixture_BCT):
        self.shapes.append(mixture_BCT.shape)
        return mixture_BCT[:, None] * self.gains_S11


def run(apply, wave_CT, plan=PLAN, sample_rate=8000, cuts=(), rms=None):
    """All stems (S, C, T) of a wave that comes in blocks."""
    rms = float(np.sqrt((wave_CT.astype(np.float64) ** 2).mean())) if rms is None else rms
    blocks = np.split(wave_CT, sorted(cuts), axis=1)
    stems = separate(apply, blocks, plan, sample_rate=sample_rate, rms=rms)
    return np.concatenate(list(stems), -1)


@st.composite
def situations(draw):
    chunk = draw(st.integers(50, 3000))
    overlap = draw(st.integers(0, chunk * 3 // 4))
    plan = Plan(8000, chunk, overlap, draw(st.integers(1, 5)))
    length = draw(st.integers(1, 6 * chunk) | st.sampled_from([1, chunk, chunk + 1]))
    return {
        "plan": plan,
        "wave_CT": noise(draw(st.integers(1, 3)), length),
        "sample_rate": draw(st.sampled_from([8000, 8000, 7999, 11025, 44100, 96000])),
        "cuts": draw(st.lists(st.integers(1, length), max_size=5, unique=True)),
    }


@settings(deadline=None, max_examples=60)
@given(situations())
def test_stems_have_the_length_and_sum_of_the_recording(situation):
    apply, wave_CT, plan = Gains(0.7, 0.2, 0.1), situation["wave_CT"], situation["plan"]
    stems_SCT = run(apply, **situation)
    assert stems_SCT.shape == (3, *wave_CT.shape)
    assert np.abs(stems_SCT.sum(0) - wave_CT).max() <= 1e-5 * np.abs(wave_CT).max()
    assert set(apply.shapes) == {(plan.batch, 1, plan.chunk)}


@settings(deadline=None, max_examples=60)
@given(situations())
def test_a_source_that_has_all_is_the_recording_and_the_other_stays_silent(situation):
    stems_SCT = run(all_to_first, **situation)
    np.testing.assert_allclose(stems_SCT[0], situation["wave_CT"], rtol=0, atol=1e-6)
    assert not stems_SCT[1].any()


@pytest.mark.parametrize("rate", [8000, 11025])
def test_silence_stays_silence(rate):
    assert not run(Gains(0.5, 0.5), np.zeros((2, 3000), np.float32), sample_rate=rate).any()


@pytest.mark.parametrize("exponent", [-70, -20, 20, 70])
@pytest.mark.parametrize("rate", [8000, 11025])
def test_very_loud_and_quiet_recordings_are_separated_alike(exponent, rate):
    wave_CT, factor = noise(1, 3000), np.float32(2.0**exponent)
    expected = run(Gains(0.9, 0.2), wave_CT, sample_rate=rate)
    found = run(Gains(0.9, 0.2), wave_CT * factor, sample_rate=rate)
    np.testing.assert_allclose(found / factor, expected, rtol=1e-6, atol=1e-9)


def test_networks_hear_recordings_at_the_reference_level():
    heard = []

    def apply(mixture_BCT):
        heard.append(mixture_BCT)
        return all_to_first(mixture_BCT)

    run(apply, noise(1, 1000, rms=1e-4))  # two chunks, one batch, no padding but at the end
    rms = np.sqrt((heard[0][0] ** 2).mean())
    assert REFERENCE_RMS / 1.6 < rms < REFERENCE_RMS * 1.6


def test_chunks_fade_linearly_into_each_other():
    counter = iter(range(100))

    def apply(mixture_BCT):
        return np.full((1, 1, 1, 500), next(counter), np.float32)

    plan = PLAN._replace(batch=1)
    found = list(separate_chunks(apply, [np.ones((1, 1300), np.float32)], plan))
    ramp = (np.arange(100) + 0.5) / 100
    steady = np.ones(300)
    expected = [0 * steady, 0 * ramp, ramp, steady, 1 + ramp, 2 * steady, 2 * ramp / ramp]
    np.testing.assert_allclose(
        np.concatenate(found, -1)[0, 0], np.concatenate(expected), atol=1e-6
    )


@pytest.mark.parametrize(("channels", "calls"), [(1, 2), (2, 4), (4, 8)])
def test_chunks_and_channels_fill_a_batch_together(channels, calls):
    apply = Gains(1.0)
    wave_CT = noise(channels, 7 * 400 + 100 + 1)  # eight chunks
    run(apply, wave_CT, PLAN._replace(batch=4))
    assert apply.shapes == calls * [(4, 1, 500)]


def test_recordings_are_taken_block_by_block():
    taken = []

    def blocks():
        for number in range(400):
            taken.append(number)
            yield noise(1, 1000)

    for rate in (8000, 11025):
        taken.clear()
        next(separate(all_to_first, blocks(), PLAN, sample_rate=rate, rms=0.1))
        assert len(taken) < 200  # the rest is still to come


@given(st.floats(1e-17, 1e17))
def test_the_level_gain_is_the_nearest_power_of_two(rms):
    gain = level_gain(rms)
    assert np.frexp(gain)[0] == 0.5
    assert abs(np.log2(rms * gain / REFERENCE_RMS)) <= 0.5 + 1e-9


@pytest.mark.parametrize("length", [1, 1023, 1024, 1025, 5000])
def test_numpy_and_jax_share_the_rest_alike(length):
    mixture_BCT, sources_BSCT = noise(2, 3, length), noise(2, 4, 3, length)
    sources_BSCT[1, :, 2] = 0
    np.testing.assert_allclose(
        share_rest(mixture_BCT, sources_BSCT),
        share_rest(jax.numpy.asarray(mixture_BCT), jax.numpy.asarray(sources_BSCT)),
        atol=1e-6,
    )


@pytest.mark.parametrize("length", [100, 2**16, 2**17 + 1, 150_000])
def test_what_is_restored_block_by_block_has_no_seams(length):
    random = np.random.default_rng(1)
    mixture_CT = noise(2, length)
    levels = np.repeat(random.uniform(0, 1, (3, 2, length // 1000 + 2)), 1000, -1)
    sources_SCT = noise(3, 2, length + 900) * levels[..., : length + 900].astype("float32")
    blocks = (
        np.split(wave, sorted(random.integers(0, length, 5)), -1)
        for wave in (mixture_CT, sources_SCT)
    )
    found = np.concatenate(list(at_own_rate(*blocks)), -1)
    expected = share_rest(mixture_CT[None], sources_SCT[None, ..., :length])[0]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("changes", [{"overlap": 1.0}, {"batch_size": 0}])
def test_a_plan_that_never_ends_is_refused(changes):
    config = get_config().to_dict()
    config["separation"] |= changes
    with pytest.raises(UserError, match="overlap < 1"):
        Plan.from_config(config)


@pytest.fixture(scope="module")
def model():
    """A real network, small and untrained, for 16 kHz."""
    config = get_config().to_dict()
    config["model"] |= {
        "sample_rate": 16000,
        "lstm": {"width": 16, "depth": 1, "dropout": 0.0},
    }
    config["model"]["magnitude"] |= {"n_fft": 256, "hop_length": 64}
    config["separation"] = {"chunk_seconds": 0.25, "overlap": 0.1, "batch_size": 4}
    init = jax.jit(build(config["model"]).init)
    return Model(config, init(jax.random.key(0), noise(1, 1, 4000))["params"], {})


RECORDINGS = [  # name, channels, samples, rate, options
    ("a.wav", 2, 40_000, 44100, {"subtype": "FLOAT"}),
    ("b.flac", 1, 16_001, 16000, {}),
    ("c.mp3", 2, 30_000, 48000, {}),
    ("d.ogg", 1, 9000, 22050, {}),
    ("e.wav", 5, 50_000, 96000, {"subtype": "PCM_24"}),
    ("f.wav", 1, 1, 8000, {}),
]


def test_one_compilation_serves_files_of_every_kind(tmp_path, model, monkeypatch):
    traces = []

    class Traced:  # what is jitted runs in Python once for every compilation
        def __init__(self, config):
            self.separator = build(config)
            self.init = self.separator.init

        def apply(self, *args):
            traces.append(args)
            return self.separator.apply(*args)

    monkeypatch.setattr(inference, "build", Traced)
    separation = Separation(model)
    for name, channels, length, rate, options in RECORDINGS:
        path = tmp_path / name
        soundfile.write(path, noise(length, channels), rate, **options)
        separation.to_files(path, tmp_path / path.stem, "FLOAT")
        stems = []
        for stem in ("piano", "violin"):
            stem_path = tmp_path / path.stem / f"{stem}.wav"
            info = soundfile.info(stem_path)
            assert (info.samplerate, info.channels, info.frames) == (rate, channels, length)
            assert (info.format.removesuffix("EX"), info.subtype) == ("WAV", "FLOAT")
            stems.append(soundfile.read(stem_path, dtype="float32")[0])
        wave, _ = soundfile.read(path, dtype="float32")
        assert np.abs(sum(stems) - wave).max() <= 1e-5 * np.abs(wave).max()
        assert all(stem.any() for stem in stems)
    assert len(traces) == 1


def test_stems_come_as_integers_on_request(tmp_path, model):
    soundfile.write(tmp_path / "x.wav", noise(5000, 1), 16000)
    Separation(model).to_files(tmp_path / "x.wav", tmp_path / "x", "PCM_16")
    assert soundfile.info(tmp_path / "x" / "violin.wav").subtype == "PCM_16"


def test_separation_that_is_stopped_leaves_no_files(tmp_path, model, monkeypatch):
    recording = tmp_path / "x.wav"
    soundfile.write(recording, noise(50_000, 1), 16000)
    separation = Separation(model)
    apply, calls = separation._apply, []

    def interrupted(mixture_BCT):
        calls.append(len(calls))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return apply(mixture_BCT)

    monkeypatch.setattr(separation, "_apply", interrupted)
    with pytest.raises(KeyboardInterrupt):
        separation.to_files(recording, tmp_path / "stems", "FLOAT")
    assert list(tmp_path.iterdir()) == [recording]


def test_a_recording_is_never_overwritten(tmp_path, model):
    recording = tmp_path / "piano.wav"
    soundfile.write(recording, noise(100, 1), 16000)
    before = recording.read_bytes()
    with pytest.raises(UserError, match=r"piano\.wav: would be overwritten"):
        Separation(model).to_files(recording, tmp_path, "FLOAT")
    assert recording.read_bytes() == before


def test_a_model_cannot_name_stems_outside_of_their_folder(model):
    config = model.config | {"model": model.config["model"] | {"sources": ["../x", "y"]}}
    with pytest.raises(UserError, match="not a file name"):
        Separation(model._replace(config=config))
