"""Dilated convolution whose weights, too, get their gradient fast on CPUs."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax

Pairs = tuple[tuple[int, int], tuple[int, int]]


def dilated(
    heard_BNPD: Array, kernel_HWDE: Array, strides, padding, *, rhs_dilation, **_
) -> Array:
    """What `nn.Conv` can have as `conv_general_dilated`, for strides of 1; (B, N, P, E).

    XLA's own gradient for the weights of two taps far apart takes a CPU ten times as long
    as the convolution itself (jax 0.10.2); products of matrices, one a tap, under thrice.
    """
    return _dilated(heard_BNPD, kernel_HWDE, tuple(padding), tuple(rhs_dilation))


def _convolved(heard_BNPD: Array, kernel_HWDE: Array, padding: Pairs, dilation) -> Array:
    return lax.conv_general_dilated(
        *(heard_BNPD, kernel_HWDE, (1, 1), padding),
        rhs_dilation=dilation,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


_dilated = jax.custom_vjp(_convolved, nondiff_argnums=(2, 3))


def _forward(heard_BNPD, kernel_HWDE, padding, dilation):
    return _convolved(heard_BNPD, kernel_HWDE, padding, dilation), (heard_BNPD, kernel_HWDE)


def _backward(padding, dilation, operands, slope_BNPE):
    heard_BNPD, kernel_HWDE = operands

    def by_convolution(heard_BNPD, slope_BNPE):
        of_kernel = partial(_convolved, heard_BNPD, padding=padding, dilation=dilation)
        return jax.linear_transpose(of_kernel, kernel_HWDE)(slope_BNPE)[0]

    def of_heard(heard_BNPD):
        return _convolved(heard_BNPD, kernel_HWDE, padding, dilation)

    by_products = partial(_products, padding, dilation, kernel_HWDE.shape[:2])
    for_kernel = lax.platform_dependent(
        heard_BNPD, slope_BNPE, cpu=by_products, default=by_convolution
    )
    return jax.linear_transpose(of_heard, heard_BNPD)(slope_BNPE)[0], for_kernel


def _products(padding, dilation, taps, heard_BNPD: Array, slope_BNPE: Array) -> Array:
    """The gradient (H, W, D, E): what each tap hears times the slope of what it says."""
    _, frames, height, says = slope_BNPE.shape
    padded = jnp.pad(heard_BNPD, [(0, 0), *padding, (0, 0)])
    slope_ME = slope_BNPE.reshape(-1, says)

    def of_tap(row: int, column: int) -> Array:
        late, high = row * dilation[0], column * dilation[1]
        heard_BNPD = padded[:, late : late + frames, high : high + height]
        return heard_BNPD.reshape(-1, heard_BNPD.shape[-1]).T @ slope_ME

    rows, columns = map(range, taps)
    found = jnp.stack([of_tap(i, j) for i in rows for j in columns])
    return found.reshape(*taps, *found.shape[1:])


_dilated.defvjp(_forward, _backward)
