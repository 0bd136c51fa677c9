"""Self-attention over sequences of any length, by products of matrices."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array


class Attention(nn.Module):
    """A residual block of self-attention along L; sequences (X) are independent.

    After Vaswani et al. (2017), normalised first (Xiong et al. 2020). With
    `distance_penalty` each head subtracts a slope times the distance from its scores, with
    one learned slope forward and one backward; ALiBi (Press et al. 2022) has fixed slopes.
    The penalty encodes positions, and sequences may be longer than those of training.

    Shapes: X sequence, L element, D feature of an element, H head, E = D / H.

    Attributes:
      heads: number of heads; they divide D.
      distance_penalty: whether scores fall with distance.
    """

    heads: int
    distance_penalty: bool

    @nn.compact
    def __call__(self, hidden_XLD: Array) -> Array:
        sequences, length, width = hidden_XLD.shape
        hidden_MD = hidden_XLD.reshape(sequences * length, width)
        qkv = nn.Dense(3 * width)(nn.LayerNorm()(hidden_MD))
        qkv = qkv.reshape(sequences, length, 3, self.heads, width // self.heads)
        query_XHLE, key_XHLE, value_XHLE = jnp.moveaxis(qkv, (2, 3), (0, 2))
        scores_XHLL = query_XHLE @ key_XHLE.swapaxes(-1, -2)
        scores_XHLL = scores_XHLL.astype(jnp.float32) * (width // self.heads) ** -0.5
        if self.distance_penalty:
            slopes_2H = self.param("slopes", initial_slopes, self.heads)
            scores_XHLL -= penalties(length, jax.nn.softplus(slopes_2H))
        weights_XHLL = jax.nn.softmax(scores_XHLL).astype(hidden_XLD.dtype)
        attended_XLHE = jnp.moveaxis(weights_XHLL @ value_XHLE, 1, 2)
        output_MD = nn.Dense(width)(attended_XLHE.reshape(hidden_MD.shape))
        return hidden_XLD + output_MD.reshape(hidden_XLD.shape)


def initial_slopes(_: Array | None, heads: int) -> Array:
    """Returns slopes before softplus, (2, H): after it from 1 to 1/100 per element."""
    slopes_H = jnp.geomspace(1.0, 0.01, heads)
    return jnp.broadcast_to(jnp.log(jnp.expm1(slopes_H)), (2, heads))


def penalties(length: int, slopes_2H: Array) -> Array:
    """Returns slope times distance, (H, L, L), for each query and key.

    The slopes are for keys after the query and for keys before it.
    """
    ahead_LL = jnp.arange(length) - jnp.arange(length)[:, None]
    apart_2LL = jnp.maximum(jnp.stack([ahead_LL, -ahead_LL]), 0).astype(slopes_2H.dtype)
    return jnp.tensordot(slopes_2H, apart_2LL, (0, 0))
