"""A bidirectional LSTM over whole frames."""

from jax import Array

from sep.model.architectures.framewise import Framewise
from sep.model.architectures.recurrence import bilstm, init_bilstm


class Lstm(Framewise):
    """`Framewise` with LSTMs along time, width / 2 cells in each direction."""

    def layer(self, hidden_BNK: Array, index: int) -> Array:
        width = self.settings.width
        parameters = self.param(f"bilstm_{index}", init_bilstm, width, width // 2)
        return bilstm(parameters, hidden_BNK)
