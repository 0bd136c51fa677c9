"""Representations: features of a mixture for a network, and sources from its estimates.

A representation is a Linen module with the attributes `settings` and `sample_rate` and

    analyse(mixture_BCT) -> features_BNFK, context
    synthesise(estimates_BNFSK, context, length) -> sources_BSCT

`outputs` is the number of values of an estimate for a bin, and `hop_length` the number of
samples between frames. Channels are folded into the batch of the features, and any number
of them works. A subclass of `Masking` (masking.py) supports features that are normalised
frame by frame. A subclass of `Spectrogram` supports features of the differences between
channels.

To add one, write a file here with the module and its settings class, and add an entry
below. `Entry` documents where the settings class may be defined.

Shapes: B batch, C channel, T sample, N frame, F bin, K values of a bin, S source.
"""

from sep.model.registry import Entry

_HERE, _SETTINGS = "sep.model.representations", "sep.model.representations.settings"

REPRESENTATIONS = {
    "waveform": Entry(f"{_HERE}.waveform:Waveform", f"{_SETTINGS}:WaveformSettings"),
    "magnitude": Entry(f"{_HERE}.magnitude:Magnitude", f"{_SETTINGS}:MagnitudeSettings"),
    "log_magnitude": Entry(
        f"{_HERE}.log_magnitude:LogMagnitude", f"{_SETTINGS}:LogMagnitudeSettings"
    ),
    "complex": Entry(f"{_HERE}.complex:Complex", f"{_SETTINGS}:ComplexSettings"),
    "mel": Entry(f"{_HERE}.mel:Mel", f"{_SETTINGS}:MelSettings"),
    "mdct": Entry(f"{_HERE}.mdct:Mdct", f"{_SETTINGS}:MdctSettings"),
    "learned": Entry(f"{_HERE}.learned:Learned", f"{_SETTINGS}:LearnedSettings"),
}
