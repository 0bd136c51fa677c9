"""A block of minimal GRUs, which hear all frames at once and still remember."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from sep.model.architectures.linear_recurrence import linear_recurrence


class MinGru(nn.Module):
    """A residual block around minimal GRUs in both directions; no loop over time.

        h[n] = (1 - z[n]) h[n-1] + z[n] c[n]      z = sigmoid(x W_z)     c = x W_c

    Feng et al. (2024), "Were RNNs All We Needed?". Neither gate nor candidate hears the
    state before, so all states are one `linear_recurrence`. What it cannot do within a
    layer the block does around it: normalise, multiply by a gate of the frame's own (De
    et al. 2024, "Griffin"), mix both directions, and add. K is even.
    """

    @nn.compact
    def __call__(self, heard_BNK: Array) -> Array:
        batch, frames, width = heard_BNK.shape
        heard_MK = heard_BNK.reshape(batch * frames, width)
        projected_MK = nn.Dense(3 * width)(nn.LayerNorm()(heard_MK))
        update_BNK, candidate_BNK, gate_BNK = jnp.split(
            projected_MK.reshape(batch, frames, -1), 3, -1
        )
        # sigmoid(-x) is 1 - sigmoid(x), without rounding where that is small.
        decay_BNK = _half_flipped(jax.nn.sigmoid(-update_BNK))
        input_BNK = _half_flipped(jax.nn.sigmoid(update_BNK) * candidate_BNK)
        states_BNK = _half_flipped(linear_recurrence(decay_BNK, input_BNK))
        gated_BNK = states_BNK * jax.nn.silu(gate_BNK)
        mixed_MK = nn.Dense(width)(gated_BNK.reshape(batch * frames, -1))
        return heard_BNK + mixed_MK.reshape(heard_BNK.shape)


def _half_flipped(states_BNK: Array) -> Array:
    """The second half of the states runs against time; applied twice, nothing changes."""
    ahead_BNH, back_BNH = jnp.split(states_BNK, 2, -1)
    return jnp.concatenate([ahead_BNH, jnp.flip(back_BNH, 1)], -1)
