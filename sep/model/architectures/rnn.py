"""Recurrent networks over whole frames: simple cells, GRUs or minGRUs."""

from jax import Array

from sep.errors import UserError
from sep.model.architectures.cells import CELLS, bidirectional, init_cell
from sep.model.architectures.framewise import Framewise
from sep.model.architectures.mingru import MinGru
from sep.model.architectures.settings import RnnSettings

MINGRU = "mingru"  # not in CELLS, because it needs no loop


class Rnn(Framewise):
    """`Framewise` with recurrent cells along time, width / 2 in each direction.

    Settings:
      kind: simple, gru or mingru; see `cells` and `mingru`.
    """

    settings: RnnSettings

    def layer(self, hidden_BNK: Array, index: int) -> Array:
        kind, width = self.settings.kind, self.settings.width
        name = f"{kind}_{index}"
        if kind == MINGRU:
            return MinGru(name=name)(hidden_BNK)
        if kind not in CELLS:
            known = ", ".join(sorted({MINGRU, *CELLS}))
            raise UserError(f"unknown rnn.kind {kind!r}; known: {known}")
        cell = CELLS[kind]
        parameters = self.param(name, init_cell, cell, width, width // 2)
        return bidirectional(cell, parameters, hidden_BNK)
