"""Architectures: networks from features to one estimate a source; no audio in here.

An architecture is a Linen module, called as

    architecture(features_BNFK, num_sources=S, num_outputs=K) -> estimates_BNFSK

Shapes: B batch, N frame, F bin, K numbers a bin, S source.
To add one: a file here, a line below, and its settings in `sep/config.py`.
"""

from sep.architectures.fnn import Fnn
from sep.architectures.lstm import Lstm

ARCHITECTURES = {"fnn": Fnn, "lstm": Lstm}
