"""Transforms by products against those by FFT: values, gradients, precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from builders import init, noise, small_model
from hypothesis import given, settings
from hypothesis import strategies as st

from sep.model.dft import matrix_irfft, matrix_rfft
from sep.model.representations import REPRESENTATIONS
from sep.model.separator import build
from sep.model.transforms import istft, num_frames, stft
from sep.runtime.settings import changed


def relative_error(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize("n_fft", [1, 2, 3, 4, 15, 16, 441, 4096])
def test_products_are_transforms(n_fft):
    frames_NK = noise(3, n_fft)
    spectrum_NF = np.fft.rfft(np.float64(frames_NK))
    assert relative_error(matrix_rfft(jnp.asarray(frames_NK)), spectrum_NF) < 1e-6
    # Imaginary parts where a real signal has none are ignored, as by irfft.
    spectrum_NF = (spectrum_NF + 1j).astype(np.complex64)
    expected_NK = np.fft.irfft(np.complex128(spectrum_NF), n_fft)
    found_NK = matrix_irfft(jnp.asarray(spectrum_NF), n_fft)
    assert found_NK.dtype == np.float32
    assert relative_error(found_NK, expected_NK) < 1e-6


def filtered(dft, wave_T, mask_NF, window, hop_length):
    """Waves after a change of their spectrum in which phases matter, and the spectrum."""
    how = {"window": window, "hop_length": hop_length, "dft": dft}
    spectrum_NF = stft(wave_T, **how)
    changed_NF = mask_NF * spectrum_NF * (1 + spectrum_NF)
    return istft(changed_NF, **how, length=wave_T.shape[-1]), spectrum_NF


@settings(max_examples=8)
@given(st.integers(50, 300), st.integers(1, 80), st.data())
def test_both_forms_have_the_same_values_and_gradients(length, n_fft, data):
    hop = data.draw(st.integers(1, n_fft))
    window = np.random.default_rng(n_fft).uniform(0.5, 1, n_fft).astype(np.float32)
    mask_NF = noise(num_frames(length, n_fft, hop), n_fft // 2 + 1, seed=1)

    def everything(dft, wave_T):
        again_T, gradients_of, spectrum_NF = jax.vjp(
            lambda *waves: filtered(dft, *waves, window, hop),
            wave_T,
            mask_NF,
            has_aux=True,
        )
        return spectrum_NF, again_T, *gradients_of(noise(length, seed=2))

    everything = jax.jit(everything, static_argnums=0)
    found, expected = (everything(dft, noise(length)) for dft in ("matrix", "fft"))
    for one, other in zip(found, expected, strict=True):
        assert relative_error(one, other) < 1e-5


def test_products_are_of_full_precision_where_the_default_is_less():
    window, mask_NF = np.ones(64, np.float32), noise(num_frames(500, 64, 16), 33)

    def gradient(wave_T):
        def energy(wave_T):
            return (filtered("matrix", wave_T, mask_NF, window, 16)[0] ** 2).sum()

        return jax.grad(energy)(wave_T)

    with jax.default_matmul_precision("bfloat16"):
        text = jax.jit(gradient).lower(noise(500)).as_text()
    products = [line for line in text.splitlines() if "dot_general" in line]
    assert len(products) == 8  # two each way, and as many for their gradients
    assert all("precision = [HIGHEST, HIGHEST]" in line for line in products)
    assert "fft" not in text


@pytest.mark.parametrize("representation", ["magnitude", "complex"])
def test_a_separator_gives_the_same_with_both(representation):
    model = small_model(representation, "fnn")
    products = changed(model, {f"{representation}.dft": "matrix"})
    mixture_BCT = noise(2, 2, 6000)
    variables = init(build(model), mixture_BCT)
    programs = [
        jax.jit(build(one).apply).lower(variables, mixture_BCT) for one in (model, products)
    ]
    assert ["stablehlo.fft" in program.as_text() for program in programs] == [True, False]
    expected, found = (program.compile()(variables, mixture_BCT) for program in programs)
    assert relative_error(found, expected) < 1e-5


@pytest.mark.parametrize("representation", REPRESENTATIONS)
def test_only_real_arrays_pass_in_and_out_of_a_separator(representation):
    separator = build(small_model(representation, "fnn"))
    mixture_BCT = jax.ShapeDtypeStruct((1, 1, 1000), np.float32)
    variables = jax.eval_shape(separator.init, jax.random.key(0), mixture_BCT)
    sources_BSCT = jax.eval_shape(separator.apply, variables, mixture_BCT)
    assert all(array.dtype == np.float32 for array in jax.tree.leaves(variables))
    assert sources_BSCT.dtype == np.float32
