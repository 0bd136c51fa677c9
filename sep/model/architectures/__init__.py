"""Architectures: networks from features to one estimate per source.

An architecture is a Linen module with the attribute `settings`, called as

    architecture(features_BNFK, num_sources=S, num_outputs=K) -> estimates_BNFSK

Any number of frames and of bins works. `width` and `depth` size each.

To add one: a file here with the module and its settings class, and an entry below. See
`Entry` for where the settings class may stand.

Shapes: B batch, N frame, F bin, K values of a bin, S source.
"""

from sep.model.registry import Entry

_HERE, _SETTINGS = "sep.model.architectures", "sep.model.architectures.settings"

ARCHITECTURES = {
    "fnn": Entry(f"{_HERE}.fnn:Fnn", f"{_SETTINGS}:FnnSettings"),
    "cnn": Entry(f"{_HERE}.cnn:Cnn", f"{_SETTINGS}:CnnSettings"),
    "rnn": Entry(f"{_HERE}.rnn:Rnn", f"{_SETTINGS}:RnnSettings"),
    "lstm": Entry(f"{_HERE}.lstm:Lstm", f"{_SETTINGS}:LstmSettings"),
    "tcn": Entry(f"{_HERE}.tcn:Tcn", f"{_SETTINGS}:TcnSettings"),
    "bandsplit": Entry(f"{_HERE}.bandsplit:Bandsplit", f"{_SETTINGS}:BandsplitSettings"),
    "openunmix": Entry(f"{_HERE}.openunmix:OpenUnmix", f"{_SETTINGS}:OpenUnmixSettings"),
    "harmonic": Entry(f"{_HERE}.harmonic:Harmonic", f"{_SETTINGS}:HarmonicSettings"),
}
