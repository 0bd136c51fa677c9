"""Recurrent networks over whole frames: with a simple cell, with GRUs, with minGRUs."""

from jax import Array

from sep.errors import UserError
from sep.model.architectures.cells import CELLS, bidirectional, init_cell
from sep.model.architectures.framewise import Framewise
from sep.model.architectures.mingru import MinGru
from sep.model.architectures.settings import RnnSettings

MINGRU = "mingru"  # no cell: it has no loop


class Rnn(Framewise):
    """`Framewise`, listening with recurrent cells, width / 2 of them in each direction.

    Attributes:
      kind: simple, gru or mingru; see `cells` and `mingru`.
    """

    settings: RnnSettings

    def layer(self, heard_BNK: Array, index: int) -> Array:
        name = f"{self.settings.kind}_{index}"
        if self.settings.kind == MINGRU:
            return MinGru(name=name)(heard_BNK)
        if self.settings.kind not in CELLS:
            known = ", ".join(sorted({MINGRU, *CELLS}))
            raise UserError(f"unknown rnn.kind {self.settings.kind!r}; known: {known}")
        cell = CELLS[self.settings.kind]
        parameters = self.param(
            name, init_cell, cell, self.settings.width, self.settings.width // 2
        )
        return bidirectional(cell, parameters, heard_BNK)
