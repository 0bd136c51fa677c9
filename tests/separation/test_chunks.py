"""Separation of any recording: exact lengths, exact sums, one shape, one compilation."""

import math
import threading

import jax
import numpy as np
import pytest
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


def noise(*shape, rms=0.1):
    return (rms * np.random.default_rng(0).standard_normal(shape)).astype(np.float32)


def all_to_first(mixture_BCT, _):
    """A separator that finds everything in the first source and nothing in the second."""
    return np.stack([mixture_BCT, np.zeros_like(mixture_BCT)], 1)


class Gains:
    """A separator of fixed gains that remembers the shapes it was called with."""

    def __init__(self, *gains):
        self.gains_S11 = np.float32(gains)[:, None, None]
        self.shapes = []

    def __call__(self, mixture_BCT, _):
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


@settings(max_examples=60)
@given(situations())
def test_stems_have_the_length_and_sum_of_the_recording(situation):
    apply, wave_CT, plan = Gains(0.7, 0.2, 0.1), situation["wave_CT"], situation["plan"]
    stems_SCT = run(apply, **situation)
    assert stems_SCT.shape == (3, *wave_CT.shape)
    assert np.abs(stems_SCT.sum(0) - wave_CT).max() <= 1e-5 * np.abs(wave_CT).max()
    assert set(apply.shapes) == {(plan.batch, 1, plan.chunk)}


@settings(max_examples=60)
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

    def apply(mixture_BCT, beside_BCT):
        heard.append(mixture_BCT)
        return all_to_first(mixture_BCT, beside_BCT)

    run(apply, noise(1, 1000, rms=1e-4))  # the first chunk is whole: the loudest
    rms = max(np.sqrt((mixture_BCT[0] ** 2).mean()) for mixture_BCT in heard)
    assert REFERENCE_RMS / 1.6 < rms < REFERENCE_RMS * 1.6


def test_networks_are_told_what_is_beside_each_channel():
    def apply(mixture_BCT, beside_BCT):
        return np.stack([mixture_BCT, beside_BCT], 1)

    for channels in (1, 2, 3):
        wave_CT = noise(channels, 1300)
        stems_SCT = np.concatenate(list(separate_chunks(apply, [wave_CT], PLAN)), -1)
        np.testing.assert_allclose(stems_SCT[0], wave_CT, atol=1e-6)
        for number, beside_T in enumerate(stems_SCT[1]):
            rest = np.delete(wave_CT, number, 0) if channels > 1 else wave_CT
            np.testing.assert_allclose(beside_T, rest.mean(0), atol=1e-6)


def test_chunks_fade_into_each_other_in_the_middle_of_their_overlap():
    """A separator that says which chunk it hears."""

    def apply(mixture_BCT, _):
        return np.full((1, 1, 1, 500), mixture_BCT[0, 0, 0] // 400, np.float32)

    plan = PLAN._replace(batch=1)
    place_1T = np.arange(1300, dtype=np.float32)[None]
    found = list(separate_chunks(apply, [place_1T], plan))
    ramp = np.concatenate([np.zeros(25), (np.arange(50) + 0.5) / 50, np.ones(25)])
    steady = np.ones(300)
    ends = 0 * ramp, 2 + 0 * ramp
    expected = [0 * steady, ends[0], ramp, steady, 1 + ramp, 2 * steady, ends[1]]
    np.testing.assert_allclose(
        np.concatenate(found, -1)[0, 0], np.concatenate(expected), atol=1e-6
    )


@pytest.mark.parametrize(("channels", "calls"), [(1, 2), (2, 4), (4, 8)])
def test_chunks_and_channels_fill_a_batch_together(channels, calls):
    apply = Gains(1.0)
    wave_CT = noise(channels, 7 * 400 + 100 + 1)  # eight chunks
    run(apply, wave_CT, PLAN._replace(batch=4))
    assert apply.shapes == calls * [(4, 1, 500)]


def test_there_are_so_many_calls_at_once_and_no_more():
    inside, most = [], []
    together = threading.Barrier(CALLS)

    def apply(mixture_BCT, beside_BCT):
        inside.append(1)
        most.append(len(inside))
        together.wait(timeout=60)  # raises, if there are never so many
        inside.pop()
        return all_to_first(mixture_BCT, beside_BCT)

    run(apply, noise(1, 15 * 400 + 100 + 1))  # 16 chunks, 8 batches
    assert max(most) == CALLS


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
    found = np.concatenate(list(consistent(*blocks)), -1)
    expected = share_rest(mixture_CT[None], sources_SCT[None, ..., :length])[0]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("changes", [{"overlap": 1.0}, {"overlap": -0.1}, {"shifts": 0}])
def test_a_plan_that_never_ends_is_refused(changes):
    with pytest.raises(UserError, match="overlap < 1"):
        Plan.of(SeparationSettings(), 44100, **changes)
    with pytest.raises(UserError, match="batch_size must be at least 1"):
        check(SeparationSettings(batch_size=0))


@given(
    rate=st.integers(8000, 48000),
    overlap=st.floats(0, 0.9),
    frame_hops=st.lists(st.sampled_from([256, 441, 512, 2048, 4096]), max_size=2),
)
def test_chunks_begin_where_frames_do(rate, overlap, frame_hops):
    plan = Plan.of(SeparationSettings(), rate, overlap=overlap, frame_hops=frame_hops)
    hop, wanted = plan.chunk - plan.overlap, plan.chunk * (1 - overlap)
    for grid in (CELL, math.lcm(CELL, *frame_hops)):
        assert hop % grid == 0 or wanted < grid + 1
    assert 0 < hop <= wanted + 1


@pytest.mark.parametrize("length", [1, 400, 1300, 5000])
def test_shifted_grids_are_averaged(length):
    """A separator that says where in its chunk a sample is."""

    def apply(mixture_BCT, _):
        place_T = np.arange(500, dtype=np.float32)
        return np.broadcast_to(place_T, (len(mixture_BCT), 1, 1, 500))

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
@given(situations(), st.integers(1, 4), st.sampled_from([8, 16, 24, 32]), st.floats(0, 0.9))
def test_identity_is_exact_at_any_chunk_size(situation, shifts, bits, overlap):
    """Chunks that meet show no seam: without `consistent`, which would hide them."""
    plan, top = situation["plan"], 2 ** (bits - 1)
    plan = plan._replace(shifts=shifts, overlap=round(overlap * plan.chunk))
    wave_CT = np.rint(situation["wave_CT"].clip(-1, 1 - 1 / top).astype(np.float64) * top)
    wave_CT /= top
    stems_SCT = run(Gains(1.0), wave_CT, plan, situation["sample_rate"], situation["cuts"])
    np.testing.assert_array_equal(stems_SCT[0], wave_CT)
    chunks = separate_shifted(Gains(1.0), [wave_CT.astype(np.float32)], plan)
    found_CT = np.concatenate(list(chunks), -1)[0]
    np.testing.assert_allclose(found_CT, wave_CT, rtol=3e-7, atol=0)
    if shifts == 1:
        np.testing.assert_array_equal(found_CT, wave_CT.astype(np.float32))


@pytest.mark.parametrize("rate", [8000, 96000])
def test_stems_sum_to_the_last_bit_of_32(rate):
    wave_CT = np.rint(noise(2, 20_000).astype(np.float64) * 2**31) / 2**31
    stems_SCT = run(Gains(0.6, 0.3, 0.0), wave_CT, sample_rate=rate)
    assert np.abs(stems_SCT.sum(0) - wave_CT).max() < 2.0**-33


def test_a_batch_is_full_of_lines_of_any_number_of_channels():
    apply = Gains(1.0)
    run(apply, noise(3, 7 * 400 + 100 + 1), PLAN._replace(batch=4))  # 24 lines
    assert apply.shapes == 6 * [(4, 1, 500)]
