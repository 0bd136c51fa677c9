"""Timbre and filters, on signals with known results."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sep.data import filters, timbre

RATE = 44100
HZ = np.linspace(0, RATE / 2, filters.GRID + 1)


# Compiled once for all tests.
body = jax.jit(timbre.body, static_argnums=2)
detune = jax.jit(timbre.detune, static_argnums=2)
formant_shift = jax.jit(timbre.formant_shift, static_argnums=2)


def keys(count):
    return jax.random.split(jax.random.key(0), count)


def between(low, high):
    return (low <= HZ) & (high >= HZ)


def test_bodies_are_narrow_peaks_where_instruments_have_them():
    curves = np.stack([body(key, 6.0, RATE) for key in keys(64)])
    assert curves.shape == (64, filters.GRID + 1)
    inside = curves[:, between(200, 6000)]
    assert 4 < inside.std(1).mean() < 9
    assert inside.std(0).min() > 2  # bodies differ at every frequency
    assert np.abs(curves[:, between(15000, RATE)]).max() < 0.5
    turns = ((np.diff(np.sign(np.diff(inside, axis=1)), axis=1) != 0).sum(1)).mean()
    assert turns > 12  # peaks and dips
    double = body(keys(64)[0], 12.0, RATE)
    np.testing.assert_allclose(double, 2 * curves[0], rtol=1e-4)


def test_a_tilt_is_a_straight_line_over_octaves():
    slope = timbre.tilt(RATE)
    np.testing.assert_allclose(
        np.interp([500, 1000, 4000], HZ, slope), [-1, 0, 2], atol=1e-2
    )


@pytest.mark.parametrize("octaves", [-0.4, 0.3])
def test_formants_move_and_pitch_stays(octaves):
    def envelope(hz):  # two formants, 18 dB over a slope
        return np.exp(-(np.log2(hz / 700) ** 2) / 0.3) + np.exp(
            -(np.log2(hz / 3000) ** 2) / 0.3
        )

    power = np.zeros(filters.GRID + 1, np.float32)
    harmonics = np.searchsorted(HZ, 110.0 * np.arange(1, 80))
    power[harmonics] = envelope(HZ[harmonics]) ** 2
    gain_db = np.asarray(formant_shift(power, octaves, RATE))
    shifted = 10 * np.log10(power[harmonics]) + gain_db[harmonics]
    expected = 20 * np.log10(envelope(HZ[harmonics] / 2**octaves))
    plain = 10 * np.log10(power[harmonics])
    inside = (HZ[harmonics] > 400) & (HZ[harmonics] < 5000) & (expected > -20)
    error = np.abs(shifted - expected)[inside].mean()
    assert error < 0.6 * np.abs(plain - expected)[inside].mean()
    high = (HZ[harmonics] > 1500) & (HZ[harmonics] < 6000)
    peak = HZ[harmonics][high][np.argmax(shifted[high])]
    assert abs(np.log2(peak / 3000) - octaves) < 0.1
    assert np.abs(gain_db).max() <= 15.0001


def test_flat_envelopes_and_zero_shifts_change_nothing():
    flat = np.ones(filters.GRID + 1, np.float32)
    inside = between(100, 20000)
    np.testing.assert_allclose(formant_shift(flat, 0.3, RATE)[inside], 0, atol=1e-3)
    random = np.random.default_rng(0).exponential(size=filters.GRID + 1).astype(np.float32)
    np.testing.assert_allclose(formant_shift(random, 0.0, RATE), 0, atol=1e-3)
    silence = np.zeros_like(flat)
    np.testing.assert_allclose(formant_shift(silence, 0.3, RATE), 0, atol=1e-3)


def test_noise_below_the_lowest_note_is_not_a_formant():
    power = np.full(filters.GRID + 1, 3e-5, np.float32)
    power[HZ > 1500] = 1.0
    gain_db = np.asarray(formant_shift(power, 1.0, RATE))
    assert np.abs(gain_db[between(1550, 8000)]).max() < 1.0


@pytest.mark.parametrize("hz", [440.0, 3000.0])
def test_a_detuned_string_is_a_few_cents_off(hz):
    time = np.arange(2 * RATE) / RATE
    tone = np.sin(2 * np.pi * hz * time).astype(np.float32)[None]
    found = []
    for key in keys(6):
        copy = np.asarray(detune(key, tone, 20.0))[0] - tone[0]
        middle = slice(RATE // 4, -RATE // 4)
        gain = np.abs(copy[middle]).max()
        assert gain <= 1.01
        phase = copy * np.exp(-2j * np.pi * hz * time)  # turns by the difference
        smooth = np.convolve(phase, np.hanning(1001), "valid")[RATE // 4 : -RATE // 4]
        turns = np.unwrap(np.angle(smooth))
        off_hz = (turns[-1] - turns[0]) / (2 * np.pi) / (len(turns) / RATE)
        cents = 1200 * np.log2(1 + off_hz / hz)
        assert abs(cents) <= 20.01
        found.append(cents)
        # The copy is a pure tone: a fit at its frequency leaves nearly nothing.
        basis = np.exp(2j * np.pi * (hz + off_hz) * time)[middle]
        design = np.stack([basis.real, basis.imag], 1)
        rest = copy[middle] - design @ np.linalg.lstsq(design, copy[middle])[0]
        assert np.sqrt((rest**2).mean()) < 0.02 * gain
    assert max(np.abs(found)) > 8
    assert min(found) < 0 < max(found)


def test_a_detuned_copy_coincides_with_its_original_in_the_middle():
    click = np.zeros((2, 4001), np.float32)
    click[:, 2000] = 1.0
    beating = np.asarray(detune(keys(1)[0], click, 50.0))
    assert np.abs(beating).argmax() == 2000
    assert not np.delete(beating, range(1990, 2011), axis=1).any()
    np.testing.assert_array_equal(beating[0], beating[1])


@pytest.mark.parametrize(("length", "cents"), [(2, 5.0), (129, 0.01), (700, 2400.0)])
def test_any_length_can_be_detuned(length, cents):
    wave = np.ones((1, length), np.float32)
    beating = detune(keys(1)[0], wave, cents)
    assert beating.shape == wave.shape
    assert np.isfinite(beating).all()


@given(st.integers(1, 10**7))
def test_lengths_of_transforms_are_sufficient_and_divisible(samples):
    length = filters.fft_length(samples)
    assert samples <= length < 1.34 * samples + 4 * filters.GRID
    assert length % (2 * filters.GRID) == 0


def test_a_curve_is_the_response_of_its_filter():
    length = filters.fft_length(10000)
    click = np.zeros((1, length), np.float32)
    click[0, 0] = 1.0
    equaliser = jax.jit(filters.equaliser, static_argnums=2)
    curve = np.asarray(equaliser(keys(1)[0], 6.0, RATE))
    out = np.fft.irfft(np.asarray(jax.jit(filters.apply)(np.fft.rfft(click), curve)))[0]
    response = np.abs(np.fft.rfft(out))
    repeat = length // 2 // filters.GRID
    np.testing.assert_allclose(20 * np.log10(response[::repeat]), curve, atol=1e-2)
    assert repeat == 3
    on_a_line = (2 * response[:-3:3] + response[3::3]) / 3
    np.testing.assert_allclose(response[1::3], on_a_line, rtol=1e-3)
    energy = (out**2).sum()
    inside = np.abs(np.fft.fftfreq(length, 1 / length)) <= filters.GRID
    assert (out[~inside] ** 2).sum() < 1e-5 * energy


def test_power_is_the_mean_of_all_bins_and_channels():
    wave = np.random.default_rng(0).standard_normal((2, 3, 3 * 2 * filters.GRID))
    spectrum = np.fft.rfft(wave)
    power = np.asarray(filters.power(spectrum))
    assert power.shape == (2, filters.GRID + 1)
    cell = np.abs(spectrum[1, :, 30:33]) ** 2
    np.testing.assert_allclose(power[1, 10], cell.mean(), rtol=1e-5)


def test_spectra_multiply():
    a, b = np.random.default_rng(0).standard_normal((2, 5, 2)) @ [1, 1j]
    np.testing.assert_allclose(
        filters.convolve(jax.numpy.asarray(a), jax.numpy.asarray(b)), a * b, rtol=1e-5
    )
