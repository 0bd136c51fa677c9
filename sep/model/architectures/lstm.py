"""A bidirectional LSTM over whole frames."""

from jax import Array

from sep.model.architectures.framewise import Framewise
from sep.model.architectures.recurrence import bilstm, init_bilstm
from sep.model.architectures.settings import LstmSettings


class Lstm(Framewise):
    """`Framewise`, listening with an LSTM in both directions, width / 2 cells in each."""

    settings: LstmSettings

    def layer(self, heard_BNK: Array, index: int) -> Array:
        parameters = self.param(
            f"bilstm_{index}", init_bilstm, self.settings.width, self.settings.width // 2
        )
        return bilstm(parameters, heard_BNK)
