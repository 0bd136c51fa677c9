"""Transforms by products against those by FFT: values, gradients, precision."""

from functools import partial

import jax
import numpy as np
import pytest
from builders import build_pointwise, noise, with_setting
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sep.model.dft import matrix_irfft, matrix_rfft
from sep.model.representations import REPRESENTATIONS
from sep.model.transforms import istft, num_frames, stft


def relative_error(found, expected):
    found = np.asarray(found)
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize("n_fft", [1, 2, 3, 4, 15, 16, 441, 1024])
def test_products_are_transforms(n_fft):
    frames_NK = noise(3, n_fft)
    spectrum_NF = np.fft.rfft(np.float64(frames_NK))
    # Imaginary parts where a real signal has none are ignored, as by irfft.
    imaginary_NF = (spectrum_NF + 1j).astype(np.complex64)

    @jax.jit
    def both(frames_NK, spectrum_NF):
        return matrix_rfft(frames_NK), matrix_irfft(spectrum_NF, n_fft)

    found_NF, found_NK = both(frames_NK, imaginary_NF)
    assert relative_error(found_NF, spectrum_NF) < 1e-6
    assert found_NK.dtype == np.float32
    expected_NK = np.fft.irfft(np.complex128(imaginary_NF), n_fft)
    assert relative_error(found_NK, expected_NK) < 1e-6


def filtered(dft, wave_T, mask_NF, window, hop_length):
    """Waves after a change of their spectrum in which phases matter, and the spectrum."""
    options = {"window": window, "hop_length": hop_length, "dft": dft}
    spectrum_NF = stft(wave_T, **options)
    changed_NF = mask_NF * spectrum_NF * (1 + spectrum_NF)
    return istft(changed_NF, **options, length=wave_T.shape[-1]), spectrum_NF


@settings(max_examples=1)
@given(st.integers(50, 300), st.integers(1, 80), st.integers(1, 80))
@example(60, 1, 1)
@example(300, 80, 80)
@example(99, 31, 10)
def test_both_forms_have_the_same_values_and_gradients(length, n_fft, hop):
    hop = min(hop, n_fft)
    window = np.random.default_rng(n_fft).uniform(0.5, 1, n_fft).astype(np.float32)
    mask_NF = noise(num_frames(length, n_fft, hop), n_fft // 2 + 1, seed=1)

    @jax.jit
    def everything(*waves):
        found = []
        for dft in ("matrix", "fft"):
            again_T, gradients_of, spectrum_NF = jax.vjp(
                lambda *waves, dft=dft: filtered(dft, *waves, window, hop),
                *waves,
                has_aux=True,
            )
            gradients = gradients_of(noise(length, seed=2))
            found.append((spectrum_NF, again_T, *gradients))
        return found

    for one, other in zip(*everything(noise(length), mask_NF), strict=True):
        assert relative_error(one, np.asarray(other)) < 1e-5


def test_products_are_of_full_precision_where_the_default_is_less():
    window, mask_NF = np.ones(64, np.float32), noise(num_frames(500, 64, 16), 33)

    def energy(wave_T):
        return (filtered("matrix", wave_T, mask_NF, window, 16)[0] ** 2).sum()

    with jax.default_matmul_precision("bfloat16"):
        text = jax.jit(jax.grad(energy)).lower(noise(500)).as_text()
    products = [line for line in text.splitlines() if "dot_general" in line]
    assert len(products) == 8  # two each way, and as many for their gradients
    assert all("precision = [HIGHEST, HIGHEST]" in line for line in products)
    assert "fft" not in text


@pytest.mark.parametrize("representation", with_setting(REPRESENTATIONS, "dft"))
def test_a_separator_gives_the_same_with_both(representation):
    mixture_BCT = noise(2, 2, 600)
    separators = [
        build_pointwise(representation, **{f"{representation}.dft": dft})
        for dft in ("fft", "matrix")
    ]
    programs = [
        jax.jit(separator.init_with_output).lower(jax.random.key(0), mixture_BCT)
        for separator in separators
    ]
    assert ["stablehlo.fft" in program.as_text() for program in programs] == [True, False]

    @jax.jit
    def both(mixture_BCT):
        variables = separators[0].init(jax.random.key(0), mixture_BCT)
        return [separator.apply(variables, mixture_BCT) for separator in separators]

    expected, found = both(mixture_BCT)
    assert relative_error(found, np.asarray(expected)) < 1e-5


@pytest.mark.parametrize("representation", REPRESENTATIONS)
def test_only_real_arrays_pass_in_and_out_of_a_separator(representation):
    separator = build_pointwise(representation)
    call = partial(separator.init_with_output, jax.random.key(0))
    sources_BSCT, variables = jax.eval_shape(
        call, jax.ShapeDtypeStruct((1, 1, 1000), np.float32)
    )
    assert all(array.dtype == np.float32 for array in jax.tree.leaves(variables))
    assert sources_BSCT.dtype == np.float32
