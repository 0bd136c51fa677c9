"""References: systems that bound the scores of a separator on the same track.

`mixture` returns the mixture itself; `hpss` and `nmf` are methods from before trained
networks; `ibm`, `irm`, `mwf`, `psm` and `cirm` are oracles, which take the true sources and
are limited only by their kind of mask and their transform. docs/references.md has the
formulas.

Shapes: S source, C channel, T sample.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sep.errors import UserError
from sep.evaluation.references import dictionaries, hpss, nmf, oracles
from sep.evaluation.references.spectra import Transform
from sep.model.registry import lookup

# Relative to the mixture's peak: smaller unnamed rests are due to rounding to 16 bits.
_ROUNDING = 1e-4

# (mixture_CT, sources_SCT, sample rate in Hz) -> estimates_SCT, float32, at that rate.
# Only the oracles use the sources. Any number of channels; at least one sample.
Reference = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


class ReferenceOptions(NamedTuple):
    """Options of references.

    Attributes:
      transform: of the oracles; NMF has that of its dictionaries, HPSS a fixed one.
      nmf: file of dictionaries for `nmf`, written by `python -m sep.cli.nmf`.
    """

    transform: Transform = Transform()
    nmf: Path | None = None


_Builder = Callable[[tuple[str, ...], ReferenceOptions], Reference]


def build(name: str, sources: Sequence[str], options: ReferenceOptions) -> Reference:
    """Builds a reference for sources of these names; it serves any number of tracks.

    Raises:
      UserError: there is no reference of that name; or it cannot separate these sources,
        or its file or a package is missing.
    """
    return lookup(REFERENCES, "reference", name)(tuple(sources), options)


def _mixture(sources: tuple[str, ...], options: ReferenceOptions) -> Reference:
    return lambda mixture_CT, sources_SCT, sample_rate: np.repeat(
        mixture_CT[None], len(sources), axis=0
    )


def _hpss(sources: tuple[str, ...], options: ReferenceOptions) -> Reference:
    percussive = hpss.kinds(sources)
    return lambda mixture_CT, sources_SCT, sample_rate: hpss.hpss(
        mixture_CT, percussive, sample_rate
    )


def _nmf(sources: tuple[str, ...], options: ReferenceOptions) -> Reference:
    nmf.library()
    if options.nmf is None:
        raise UserError(
            "reference nmf: needs a file of dictionaries; make one with "
            "python -m sep.cli.nmf and name it with --nmf"
        )
    learned = dictionaries.load(options.nmf).of(sources)
    return lambda mixture_CT, sources_SCT, sample_rate: nmf.nmf(
        mixture_CT, learned, sample_rate
    )


def _oracle(oracle: Callable[[np.ndarray, np.ndarray, Transform], np.ndarray]) -> _Builder:
    """Builder of an oracle that takes what is no named source as one more source."""

    def make(sources: tuple[str, ...], options: ReferenceOptions) -> Reference:
        def reference(
            mixture_CT: np.ndarray, sources_SCT: np.ndarray, sample_rate: int
        ) -> np.ndarray:
            rest_CT = mixture_CT - sources_SCT.sum(0)
            if np.abs(rest_CT).max() > _ROUNDING * np.abs(mixture_CT).max():
                sources_SCT = np.concatenate([sources_SCT, rest_CT[None]])
            transform = options.transform.at(sample_rate)
            return oracle(mixture_CT, sources_SCT, transform)[: len(sources)]

        return reference

    return make


# In increasing order of their usual scores.
REFERENCES: dict[str, _Builder] = {
    "mixture": _mixture,
    "hpss": _hpss,
    "nmf": _nmf,
    "ibm": _oracle(oracles.ibm),
    "irm": _oracle(oracles.irm),
    "mwf": _oracle(oracles.mwf),
    "psm": _oracle(oracles.psm),
    "cirm": _oracle(oracles.cirm),
}
LOWER = frozenset({"mixture", "hpss", "nmf"})  # those that do not use the sources
