"""Separation in chunks: exact lengths, exact sums, and one shape for the network."""

import math
import threading

import jax
import numpy as np
import pytest
from builders import noise
from hypothesis import given, settings
from hypothesis import strategies as st

from sep.errors import UserError
from sep.model.consistency import CELL, share_rest
from sep.model.names import REFERENCE_RMS, level_gain
from sep.model.settings import SeparationSettings
from sep.runtime.settings import check
from sep.separation.chunks import (
    CALLS,
    Plan,
    consistent,
    separate,
    separate_chunks,
    separate_shifted,
)

PLAN = Plan(sample_rate=8000, chunk=500, overlap=100, batch=2)


def all_to_first(mixture_BCT, _):
    """A network that gives everything to the first of two sources."""
    return np.stack([mixture_BCT, np.zeros_like(mixture_BCT)], 1)


class Gains:
    """A network of fixed gains that records the shapes of its input."""

    def __init__(self, *gains):
        self.gains_S11 = np.float32(gains)[:, None, None]
        self.shapes = []

    def __call__(self, mixture_BCT, _):
        self.shapes.append(mixture_BCT.shape)
        return mixture_BCT[:, None] * self.gains_S11


def run(apply, wave_CT, plan=PLAN, sample_rate=8000, cuts=(), rms=None):
    """All stems (S, C, T) of a wave that is cut into blocks."""
    rms = float(np.sqrt((wave_CT.astype(np.float64) ** 2).mean())) if rms is None else rms
    blocks = np.split(wave_CT, sorted(cuts), axis=1)
    stems = separate(apply, blocks, plan, sample_rate=sample_rate, rms=rms)
    return np.concatenate(list(stems), -1)


@st.composite
def cases(draw):
    """Arguments of `run`."""
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


@settings(max_examples=60)
@given(cases())
def test_stems_have_the_length_and_sum_of_the_recording(case):
    apply, wave_CT, plan = Gains(0.7, 0.2, 0.1), case["wave_CT"], case["plan"]
    stems_SCT = run(apply, **case)
    assert stems_SCT.shape == (3, *wave_CT.shape)
    assert np.abs(stems_SCT.sum(0) - wave_CT).max() <= 1e-5 * np.abs(wave_CT).max()
    assert set(apply.shapes) == {(plan.batch, 1, plan.chunk)}


@settings(max_examples=60)
@given(cases())
def test_a_source_with_everything_is_the_recording_and_the_other_is_silent(case):
    stems_SCT = run(all_to_first, **case)
    np.testing.assert_allclose(stems_SCT[0], case["wave_CT"], rtol=0, atol=1e-6)
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


def test_network_input_has_the_reference_level():
    inputs = []

    def apply(mixture_BCT, others_BCT):
        inputs.append(mixture_BCT)
        return all_to_first(mixture_BCT, others_BCT)

    run(apply, noise(1, 1000, rms=1e-4))  # the loudest input is a chunk without padding
    rms = max(np.sqrt((mixture_BCT[0] ** 2).mean()) for mixture_BCT in inputs)
    assert REFERENCE_RMS / 1.6 < rms < REFERENCE_RMS * 1.6


def test_network_input_includes_the_mean_of_the_other_channels():
    def apply(mixture_BCT, others_BCT):
        return np.stack([mixture_BCT, others_BCT], 1)

    for channels in (1, 2, 3):
        wave_CT = noise(channels, 1300)
        stems_SCT = np.concatenate(list(separate_chunks(apply, [wave_CT], PLAN)), -1)
        np.testing.assert_allclose(stems_SCT[0], wave_CT, atol=1e-6)
        for number, others_T in enumerate(stems_SCT[1]):
            rest = np.delete(wave_CT, number, 0) if channels > 1 else wave_CT
            np.testing.assert_allclose(others_T, rest.mean(0), atol=1e-6)


def test_chunks_are_crossfaded_in_the_middle_of_their_overlap():
    def apply(mixture_BCT, _):
        """Returns the number of the chunk as a constant signal."""
        return np.full((1, 1, 1, 500), mixture_BCT[0, 0, 0] // 400, np.float32)

    plan = PLAN._replace(batch=1)
    position_1T = np.arange(1300, dtype=np.float32)[None]
    found = list(separate_chunks(apply, [position_1T], plan))
    ramp = np.concatenate([np.zeros(25), (np.arange(50) + 0.5) / 50, np.ones(25)])
    steady = np.ones(300)
    ends = 0 * ramp, 2 + 0 * ramp
    expected = [0 * steady, ends[0], ramp, steady, 1 + ramp, 2 * steady, ends[1]]
    np.testing.assert_allclose(
        np.concatenate(found, -1)[0, 0], np.concatenate(expected), atol=1e-6
    )


@pytest.mark.parametrize(("channels", "calls"), [(1, 2), (2, 4), (3, 6), (4, 8)])
def test_batches_are_filled_across_chunks_and_channels(channels, calls):
    apply = Gains(1.0)
    wave_CT = noise(channels, 7 * 400 + 100 + 1)  # eight chunks
    run(apply, wave_CT, PLAN._replace(batch=4))
    assert apply.shapes == calls * [(4, 1, 500)]


def test_the_network_is_called_concurrently_a_limited_number_of_times():
    running, counts = [], []
    barrier = threading.Barrier(CALLS)

    def apply(mixture_BCT, others_BCT):
        running.append(1)
        counts.append(len(running))
        barrier.wait(timeout=60)  # raises unless there are `CALLS` concurrent calls
        running.pop()
        return all_to_first(mixture_BCT, others_BCT)

    run(apply, noise(1, 15 * 400 + 100 + 1))  # 16 chunks, 8 batches
    assert max(counts) == CALLS


def test_recordings_are_read_block_by_block():
    taken = []

    def blocks():
        for number in range(400):
            taken.append(number)
            yield noise(1, 1000)

    for rate in (8000, 11025):
        taken.clear()
        next(separate(all_to_first, blocks(), PLAN, sample_rate=rate, rms=0.1))
        assert len(taken) < 200


@given(st.floats(1e-17, 1e17))
def test_the_level_gain_is_the_nearest_power_of_two(rms):
    gain = level_gain(rms)
    assert np.frexp(gain)[0] == 0.5
    assert abs(np.log2(rms * gain / REFERENCE_RMS)) <= 0.5 + 1e-9


@pytest.mark.parametrize("length", [1, 1023, 1024, 1025, 5000])
def test_share_rest_is_the_same_in_numpy_and_jax(length):
    mixture_BCT, sources_BSCT = noise(2, 3, length), noise(2, 4, 3, length)
    sources_BSCT[1, :, 2] = 0
    np.testing.assert_allclose(
        share_rest(mixture_BCT, sources_BSCT),
        jax.jit(share_rest)(mixture_BCT, sources_BSCT),
        atol=1e-6,
    )


@pytest.mark.parametrize("length", [100, 2**16, 2**17 + 1, 150_000])
def test_consistent_is_the_same_in_blocks_as_at_once(length):
    random = np.random.default_rng(1)
    mixture_CT = noise(2, length)
    levels = np.repeat(random.uniform(0, 1, (3, 2, length // 1000 + 2)), 1000, -1)
    sources_SCT = noise(3, 2, length + 900) * levels[..., : length + 900].astype("float32")
    blocks = (
        np.split(wave, sorted(random.integers(0, length, 5)), -1)
        for wave in (mixture_CT, sources_SCT)
    )
    found = np.concatenate(list(consistent(*blocks)), -1)
    expected = share_rest(mixture_CT[None], sources_SCT[None, ..., :length])[0]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("changes", [{"overlap": 1.0}, {"overlap": -0.1}, {"shifts": 0}])
def test_plans_out_of_range_are_refused(changes):
    with pytest.raises(UserError, match="overlap < 1"):
        Plan.of(SeparationSettings(), 44100, **changes)
    with pytest.raises(UserError, match="batch_size must be at least 1"):
        check(SeparationSettings(batch_size=0))


@given(
    rate=st.integers(8000, 48000),
    overlap=st.floats(0, 0.9),
    frame_hops=st.lists(st.sampled_from([256, 441, 512, 2048, 4096]), max_size=2),
)
def test_chunks_begin_a_whole_number_of_frames_apart(rate, overlap, frame_hops):
    plan = Plan.of(SeparationSettings(), rate, overlap=overlap, frame_hops=frame_hops)
    hop, wanted = plan.chunk - plan.overlap, plan.chunk * (1 - overlap)
    for grid in (CELL, math.lcm(CELL, *frame_hops)):
        assert hop % grid == 0 or wanted < grid + 1
    assert 0 < hop <= wanted + 1


@pytest.mark.parametrize("length", [1, 400, 1300, 5000])
def test_shifted_grids_are_averaged(length):
    def apply(mixture_BCT, _):
        """Returns the position of each sample in its chunk."""
        position_T = np.arange(500, dtype=np.float32)
        return np.broadcast_to(position_T, (len(mixture_BCT), 1, 1, 500))

    wave_CT = np.ones((1, length), np.float32)
    hop = PLAN.chunk - PLAN.overlap
    expected_T = np.zeros(length)
    for shift in (0, hop // 4, hop // 2, hop * 3 // 4):
        silence = np.zeros((1, shift), np.float32)
        longer = [np.concatenate([silence, wave_CT], 1)]
        grid = np.concatenate(list(separate_chunks(apply, longer, PLAN)), -1)
        expected_T += grid[0, 0, shift:] / 4
    blocks = np.array_split(wave_CT, 3, axis=1)
    found = list(separate_shifted(apply, blocks, PLAN._replace(shifts=4)))
    np.testing.assert_allclose(np.concatenate(found, -1)[0, 0], expected_T, rtol=1e-6)


@settings(max_examples=40)
@given(cases(), st.integers(1, 4), st.sampled_from([8, 16, 24, 32]), st.floats(0, 0.9))
def test_identity_is_exact_at_any_chunk_size(case, shifts, bits, overlap):
    """Also without `consistent`, which would hide seams between chunks."""
    plan, top = case["plan"], 2 ** (bits - 1)
    plan = plan._replace(shifts=shifts, overlap=round(overlap * plan.chunk))
    wave_CT = np.rint(case["wave_CT"].clip(-1, 1 - 1 / top).astype(np.float64) * top)
    wave_CT /= top
    stems_SCT = run(Gains(1.0), wave_CT, plan, case["sample_rate"], case["cuts"])
    np.testing.assert_array_equal(stems_SCT[0], wave_CT)
    chunks = separate_shifted(Gains(1.0), [wave_CT.astype(np.float32)], plan)
    found_CT = np.concatenate(list(chunks), -1)[0]
    np.testing.assert_allclose(found_CT, wave_CT, rtol=3e-7, atol=0)
    if shifts == 1:
        np.testing.assert_array_equal(found_CT, wave_CT.astype(np.float32))


@pytest.mark.parametrize("rate", [8000, 96000])
def test_stems_sum_to_32_bit_samples_exactly(rate):
    wave_CT = np.rint(noise(2, 20_000).astype(np.float64) * 2**31) / 2**31
    stems_SCT = run(Gains(0.6, 0.3, 0.0), wave_CT, sample_rate=rate)
    assert np.abs(stems_SCT.sum(0) - wave_CT).max() < 2.0**-33
