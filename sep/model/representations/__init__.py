"""Representations: features of a mixture for a network, and sources from its estimates.

A representation is a Linen module with the attributes `settings` and `sample_rate` and

    analyse(mixture_BCT) -> features_BNFK, context
    synthesise(estimates_BNFSK, context, length) -> sources_BSCT

`outputs` is the number of values that an estimate has for a bin, `hop_length` the distance
of frames in samples. Channels are folded into the batch of the features, so any number of
them works. A subclass of `Masking` (masking.py) can have its features normalised frame by
frame; a subclass of `Spectrogram` can have features of the differences between channels.

To add one: a file here with the module and its settings class, and an entry below. See
`Entry` for where the settings class may stand.

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
