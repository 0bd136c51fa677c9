"""Architectures: networks that map features to one estimate per source.

An architecture is a Linen module with the attribute `settings`, called as

    architecture(features_BNFK, num_sources=S, num_outputs=K) -> estimates_BNFSK

Any number of frames and bins works. All have the settings `width` and `depth`.

To add one, write a file here with the module and its settings class, and add an entry
below. `Entry` documents where the settings class may be defined.

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
