"""A block of minimal GRUs, computed for all frames in parallel."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from sep.model.architectures.linear_recurrence import linear_recurrence


class MinGru(nn.Module):
    """A residual block around minimal GRUs in both directions, without a loop over time.

        h[n] = (1 - z[n]) h[n-1] + z[n] c[n]      z = sigmoid(x W_z)     c = x W_c

    Feng et al. (2024), "Were RNNs All We Needed?". Neither gate nor candidate depends on
    the previous state, and all states are one `linear_recurrence`. The block compensates
    with layers around it: normalisation, a gate computed from the frame (De et al. 2024,
    "Griffin"), a dense layer that mixes both directions, and a residual. K is even.
    """

    @nn.compact
    def __call__(self, hidden_BNK: Array) -> Array:
        batch, frames, width = hidden_BNK.shape
        hidden_MK = hidden_BNK.reshape(batch * frames, width)
        projected_MK = nn.Dense(3 * width)(nn.LayerNorm()(hidden_MK))
        update_BNK, candidate_BNK, gate_BNK = jnp.split(
            projected_MK.reshape(batch, frames, -1), 3, -1
        )
        # sigmoid(-x) is 1 - sigmoid(x) without cancellation where that is small.
        decay_BNK = _half_flipped(jax.nn.sigmoid(-update_BNK))
        input_BNK = _half_flipped(jax.nn.sigmoid(update_BNK) * candidate_BNK)
        states_BNK = _half_flipped(linear_recurrence(decay_BNK, input_BNK))
        gated_BNK = states_BNK * jax.nn.silu(gate_BNK)
        output_MK = nn.Dense(width)(gated_BNK.reshape(batch * frames, -1))
        return hidden_BNK + output_MK.reshape(hidden_BNK.shape)


def _half_flipped(states_BNK: Array) -> Array:
    """Reverses the second half of the states in time. It is its own inverse."""
    ahead_BNH, back_BNH = jnp.split(states_BNK, 2, -1)
    return jnp.concatenate([ahead_BNH, jnp.flip(back_BNH, 1)], -1)
