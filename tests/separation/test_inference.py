"""`sep.load` and `Separation`: waves, streams and recordings, exact in length and sum."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from builders import noise
from chunk_grids import grids_apart
from small_model import small_model
from sounds import save

import sep
from sep.errors import UserError
from sep.model.separator import build
from sep.separation import inference
from sep.separation.inference import Separation


@pytest.fixture(scope="module")
def separation():
    return Separation(small_model())


@pytest.mark.parametrize("shape", [(9000,), (9000, 1), (5000, 2), (1, 3), (1,)])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_stems_have_the_shape_type_and_sum_of_the_wave(separation, shape, kind, rate):
    wave = (noise(*shape).astype(np.float64) / 3).astype(kind)
    stems = separation(wave, rate)
    assert list(stems) == ["piano", "violin"]
    for stem in stems.values():
        assert (stem.shape, stem.dtype) == (shape, kind)
    error = np.abs(sum(stems.values()) - wave).max()
    assert error <= (1e-7 if kind == np.float32 else 1e-15)
    assert all(np.abs(stem).max() > 0.01 * np.abs(wave).max() for stem in stems.values())


@pytest.mark.parametrize("size", [700, 4096, 50_000])
@pytest.mark.parametrize("shape", [(30_000,), (30_000, 2)])
def test_a_stream_is_separated_like_the_whole_wave(separation, size, shape):
    wave = noise(*shape)
    cuts = range(size, len(wave), size)
    rms = float(np.sqrt(np.mean(wave.astype(float) ** 2)))
    blocks = list(separation.stream(np.split(wave, cuts), 22050, rms))
    for name, stem in separation(wave, 22050).items():
        found = np.concatenate([block[name] for block in blocks])
        assert (found.shape, found.dtype) == (wave.shape, wave.dtype)
        np.testing.assert_array_equal(found, stem)


def test_the_beginning_of_a_stream_determines_its_level(separation):
    loud_after = np.concatenate([noise(4000, rms=0.001), noise(40_000)])
    whole = list(separation.stream([loud_after], 16000, 0.001))
    parts = list(separation.stream(np.split(loud_after, range(100, 44_000, 100)), 16000))
    for name in separation.names:
        joined = (np.concatenate([b[name] for b in blocks]) for blocks in (whole, parts))
        np.testing.assert_array_equal(*joined)


def test_blocks_may_share_one_buffer(separation):
    wave, buffer = noise(16_000), np.empty(1000, np.float32)

    def blocks():
        for block in np.split(wave, 16):
            buffer[:] = block
            yield buffer

    for rate in (8000, 16000):
        found = list(separation.stream(blocks(), rate))
        expected = list(separation.stream(np.split(wave, 16), rate))
        for name in separation.names:
            joined = (np.concatenate([b[name] for b in each]) for each in (found, expected))
            np.testing.assert_array_equal(*joined)


def test_a_constant_offset_does_not_count_as_level(separation):
    wave = noise(30_000, 2)
    separated = separation(wave + np.float32([0.5, -0.25]), 16000)
    for name, stem in separation(wave, 16000).items():
        np.testing.assert_allclose(stem.std(0), separated[name].std(0), rtol=0.2)
    for stem in separation(np.full(20_000, 0.3, np.float32), 16000).values():
        assert np.isfinite(stem).all() and np.abs(stem).max() < 1


@pytest.mark.filterwarnings("error")
def test_a_nearly_silent_beginning_does_not_determine_the_level(separation):
    wave = np.concatenate([noise(9000, rms=1e-22), noise(20_000)])
    blocks = list(separation.stream([wave], 16000))
    sums = np.concatenate([sum(block.values()) for block in blocks])
    np.testing.assert_allclose(sums, wave, atol=1e-6)


def test_a_stream_is_read_and_separated_block_by_block(separation):
    taken = []

    def blocks():
        for number in range(100):
            taken.append(number)
            yield noise(4000)

    next(separation.stream(blocks(), 16000))
    assert len(taken) < 50
    assert list(separation.stream(iter([]), 16000)) == []
    assert list(separation.stream(iter([noise(0)]), 16000)) == []
    for rate in (16000, 44100):
        assert list(separation.blocks(iter([]), rate, 1.0)) == []


def with_nan():
    wave = noise(500, 2)
    wave[123, 1] = np.nan
    return wave


@pytest.mark.parametrize(
    ("wave", "reason"),
    [
        (np.zeros(0), "no samples"),
        (np.zeros(10, np.int16), r"floating point .* not int16 of shape \(10,\)"),
        (np.zeros((10, 2, 1)), r"shape \(10, 2, 1\)"),
        (with_nan(), "not finite, first at sample 123"),
        (np.zeros((2, 9000)), r"up to 8 channels, not \(2, 9000\); is it transposed"),
    ],
)
def test_invalid_waves_are_refused(separation, wave, reason):
    with pytest.raises(UserError, match=reason):
        separation(wave, 16000)


@pytest.mark.parametrize("rate", [0, -44100, float("nan")])
def test_invalid_sample_rates_are_refused(separation, rate):
    with pytest.raises(UserError, match="the sample rate must be more than 0 Hz"):
        separation(noise(1000), rate)


def test_invalid_blocks_of_a_stream_are_refused_with_their_position(separation):
    for second, reason in (
        (with_nan(), "not finite, first at sample 30123"),
        (noise(10, 3), "changes from 2 to 3 channels at sample 30000"),
    ):
        with pytest.raises(UserError, match=reason):
            list(separation.stream([noise(30_000, 2), second], 16000))


def test_overlap_and_shifts_change_stems_a_little(model, separation):
    path, wave = str(model), noise(20_000)
    plain = separation(wave, 16000)["piano"]
    other = sep.load(path, overlap=0.5, shifts=3)(wave, 16000)["piano"]
    assert 0 < np.abs(other - plain).max() < 0.5 * np.abs(plain).max()
    for options in ({"overlap": 1.0}, {"overlap": -0.1}, {"shifts": 0}):
        with pytest.raises(UserError, match="overlap < 1"):
            sep.load(path, **options)


def test_networks_with_bounded_context_leave_no_seams():
    """A context of two frames on each side is less than the quarter that is never used."""
    model = small_model("fnn", context=2, chunk_seconds=1.0)
    separation = Separation(model, overlap=0.5)
    stems_SCT, difference_SCT = grids_apart(separation, noise(2, 60_000))
    assert np.abs(difference_SCT).max() <= 1e-5 * np.abs(stems_SCT).max()  # -100 dB


def test_a_model_is_compiled_once_for_all_waves(monkeypatch):
    traces = []

    class Traced:  # JAX calls the Python function once per compilation
        def __init__(self, settings):
            self.separator = build(settings)
            self.init = self.separator.init
            self.representation = self.separator.representation

        def apply(self, *args):
            traces.append(args)
            return self.separator.apply(*args)

    monkeypatch.setattr(inference, "build", Traced)
    separation = Separation(small_model())
    for shape, rate in (((40_000, 2), 44100), ((16_001,), 16000), ((9000, 5), 96000)):
        separation(noise(*shape), rate)
    assert len(traces) == 1


def test_to_array_separates_a_recording(tmp_path, separation):
    path = save(tmp_path / "x.flac", noise(9000, 2), 22050)
    wave_TC, _ = soundfile.read(path, dtype="float32")
    stems_SCT = separation.to_array(path)
    expected = separation(wave_TC, 22050)
    assert stems_SCT.dtype == np.float32
    for stem_CT, stem_TC in zip(stems_SCT, expected.values(), strict=True):
        np.testing.assert_allclose(stem_CT.T, stem_TC, atol=1e-7)


@pytest.mark.parametrize("name", ["../x", "..", ".", "", "a\0b", "a\nb"])
def test_stem_names_cannot_lead_out_of_the_folder(name):
    model = small_model()
    settings = replace(model.settings, sources=(name, "y"))
    with pytest.raises(UserError, match="not a file name"):
        Separation(model._replace(settings=settings))


def test_importing_sep_does_not_import_numpy():
    code = "import sys, sep; assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
