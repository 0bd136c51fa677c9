"""Systems to compare a separator with: what anyone gets, and what a kind of mask can do.

Every score is read between a lower and an upper bound on the same track. `mixture` does
nothing; `hpss` and `nmf` are what came before trained networks; `ibm`, `irm`, `mwf`, `psm`
and `cirm` know the sources, and are limited only by their kind of mask and their transform.
docs/references.md has the formulas.

Shapes: S source, C channel, T sample.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sep.errors import UserError
from sep.evaluation.references import dictionaries, hpss, nmf, oracles
from sep.evaluation.references.spectra import Transform
from sep.model.names import lookup

_REST = 1e-4  # of the mixture's peak: under it is what rounding to 16 bits leaves

# (mixture_CT, sources_SCT, sample rate in Hz) -> estimates_SCT, float32, at that rate.
# Only the oracles look at the sources. Any number of channels; T from 1.
Reference = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


class Settings(NamedTuple):
    """What references may be told; oracles and NMF need not use the same transform."""

    transform: Transform = Transform()  # of the oracles
    nmf: Path | None = None  # file of dictionaries, of `python -m sep.cli.nmf`


def build(name: str, sources: Sequence[str], settings: Settings) -> Reference:
    """A reference for sources of these names, ready for any number of tracks.

    Raises:
      UserError: there is none of that name; or it cannot serve these sources, lacks its
        file, or a package: before any track is read.
    """
    return lookup(REFERENCES, "reference", name)(tuple(sources), settings)


def _mixture(sources: tuple[str, ...], settings: Settings) -> Reference:
    return lambda mixture_CT, sources_SCT, sample_rate: np.repeat(
        mixture_CT[None], len(sources), axis=0
    )


def _hpss(sources: tuple[str, ...], settings: Settings) -> Reference:
    percussive = hpss.kinds(sources)
    return lambda mixture_CT, sources_SCT, sample_rate: hpss.hpss(
        mixture_CT, percussive, sample_rate
    )


def _nmf(sources: tuple[str, ...], settings: Settings) -> Reference:
    nmf.library()
    if settings.nmf is None:
        raise UserError(
            "reference nmf: has to learn the sources first; python -m sep.cli.nmf makes "
            "its file, and --nmf names it"
        )
    learned = dictionaries.load(settings.nmf).of(sources)
    return lambda mixture_CT, sources_SCT, sample_rate: nmf.nmf(
        mixture_CT, learned, sample_rate
    )


def _oracle(oracle: Callable) -> Callable[[tuple[str, ...], Settings], Reference]:
    def make(sources: tuple[str, ...], settings: Settings) -> Reference:
        def reference(mixture_CT, sources_SCT, sample_rate):
            rest_CT = mixture_CT - sources_SCT.sum(0)  # what is no named source
            if np.abs(rest_CT).max() > _REST * np.abs(mixture_CT).max():
                sources_SCT = np.concatenate([sources_SCT, rest_CT[None]])
            transform = settings.transform.at(sample_rate)
            return oracle(mixture_CT, sources_SCT, transform)[: len(sources)]

        return reference

    return make


# From the lower bound to the upper ones.
REFERENCES = {
    "mixture": _mixture,
    "hpss": _hpss,
    "nmf": _nmf,
    "ibm": _oracle(oracles.ibm),
    "irm": _oracle(oracles.irm),
    "mwf": _oracle(oracles.mwf),
    "psm": _oracle(oracles.psm),
    "cirm": _oracle(oracles.cirm),
}
LOWER = frozenset({"mixture", "hpss", "nmf"})  # bounds that know no sources
