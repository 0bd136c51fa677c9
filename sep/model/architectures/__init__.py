"""Architectures: networks from features to one estimate a source; no audio in here.

An architecture is a Linen module, called as

    architecture(features_BNFK, num_sources=S, num_outputs=K) -> estimates_BNFSK

Shapes: B batch, N frame, F bin, K numbers a bin, S source. Any number of frames and of
bins works. `width` and `depth` size each; `sep/model/presets.py` has three sizes.
To add one: a file here, a line below, and its settings in `sep/config.py`.
"""

from sep.model.architectures.bandsplit import Bandsplit
from sep.model.architectures.cnn import Cnn
from sep.model.architectures.fnn import Fnn
from sep.model.architectures.harmonic import Harmonic
from sep.model.architectures.lstm import Lstm
from sep.model.architectures.openunmix import OpenUnmix
from sep.model.architectures.rnn import Rnn
from sep.model.architectures.tcn import Tcn

ARCHITECTURES = {
    "fnn": Fnn,
    "cnn": Cnn,
    "rnn": Rnn,
    "lstm": Lstm,
    "tcn": Tcn,
    "bandsplit": Bandsplit,
    "openunmix": OpenUnmix,
    "harmonic": Harmonic,
}
