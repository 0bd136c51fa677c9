"""Self-attention over sequences of any length, by products of matrices."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array


class Attention(nn.Module):
    """A residual block of self-attention over L; sequences (X) do not hear each other.

    Vaswani et al. (2017), normalised before (Xiong et al. 2020). With `fading` every head
    hears less of what is far: it subtracts a slope times the distance from the scores, one
    slope ahead and one back, both learned, as in ALiBi (Press et al. 2022), where they are
    fixed. So position is known, and longer sequences than those of training do no harm.

    Shapes: X sequence, L its elements, D numbers of each, H head, E = D / H.

    Attributes:
      heads: how many; they divide D.
      fading: whether distance matters.
    """

    heads: int
    fading: bool

    @nn.compact
    def __call__(self, heard_XLD: Array) -> Array:
        sequences, length, width = heard_XLD.shape
        heard_MD = heard_XLD.reshape(sequences * length, width)
        asked = nn.Dense(3 * width)(nn.LayerNorm()(heard_MD))
        asked = asked.reshape(sequences, length, 3, self.heads, width // self.heads)
        query_XHLE, key_XHLE, value_XHLE = jnp.moveaxis(asked, (2, 3), (0, 2))
        scores_XHLL = query_XHLE @ key_XHLE.swapaxes(-1, -2)
        scores_XHLL = scores_XHLL.astype(jnp.float32) * (width // self.heads) ** -0.5
        if self.fading:
            slopes_2H = self.param("slopes", initial_slopes, self.heads)
            scores_XHLL -= distances(length, jax.nn.softplus(slopes_2H))
        weights_XHLL = jax.nn.softmax(scores_XHLL).astype(heard_XLD.dtype)
        answer_XLHE = jnp.moveaxis(weights_XHLL @ value_XHLE, 1, 2)
        mixed_MD = nn.Dense(width)(answer_XLHE.reshape(heard_MD.shape))
        return heard_XLD + mixed_MD.reshape(heard_XLD.shape)


def initial_slopes(_, heads: int) -> Array:
    """Before softplus, (2, H): from about 1 an element to 1/100, as far as heads reach."""
    slopes_H = jnp.geomspace(1.0, 0.01, heads)
    return jnp.broadcast_to(jnp.log(jnp.expm1(slopes_H)), (2, heads))


def distances(length: int, slopes_2H: Array) -> Array:
    """What is subtracted from scores (H, L, L): slope times distance, 0 for the nearer."""
    ahead_LL = jnp.arange(length) - jnp.arange(length)[:, None]
    apart_2LL = jnp.maximum(jnp.stack([ahead_LL, -ahead_LL]), 0).astype(slopes_2H.dtype)
    return jnp.tensordot(slopes_2H, apart_2LL, (0, 0))
