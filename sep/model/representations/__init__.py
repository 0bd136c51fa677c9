"""Representations: how a mixture is shown to a network, and how stems come back.

A representation is a Linen module with

    analyse(mixture_BCT) -> features_BNFK, context
    synthesise(estimates_BNFSK, context, length) -> sources_BSCT

Shapes: B batch, C channel, T sample, N frame, F bin, K numbers a bin, S source.
Channels are folded into the batch of the features: a network hears one at a time, so
any number of them works. `outputs` says how many numbers an estimate has for a bin,
`hop_length` how many samples lie between frames; besides its own settings it is given
`sample_rate`. A kind of `Masking` (masking.py) gets features that do without the level.
To add one: a file here, a line below, and its settings in `sep/config.py`.
"""

from sep.model.representations.complex import Complex
from sep.model.representations.learned import Learned
from sep.model.representations.log_magnitude import LogMagnitude
from sep.model.representations.magnitude import Magnitude
from sep.model.representations.mdct import Mdct
from sep.model.representations.mel import Mel
from sep.model.representations.waveform import Waveform

REPRESENTATIONS = {
    "waveform": Waveform,
    "magnitude": Magnitude,
    "log_magnitude": LogMagnitude,
    "complex": Complex,
    "mel": Mel,
    "mdct": Mdct,
    "learned": Learned,
}
