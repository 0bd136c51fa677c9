"""Dictionaries of supervised NMF, in memory and as a file.

The file is in safetensors format, like a model's: named arrays and metadata, without
pickled objects.

Shapes: S source, R atom of a source (rank), F bin.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as serialise

from sep.errors import UserError
from sep.evaluation.references.spectra import Transform
from sep.runtime.files import replacing

FORMAT = "sep-nmf-1"


class Dictionaries(NamedTuple):
    """Spectra of each source, its atoms; spectrograms are explained as sums of them.

    Attributes:
      names: of the sources.
      transform: the atoms are magnitudes of its spectra.
      atoms_SRF: float32, ≥ 0, each with a sum of 1; bins from 0 Hz to some limit.
    """

    names: tuple[str, ...]
    transform: Transform
    atoms_SRF: np.ndarray

    def of(self, names: Sequence[str]) -> "Dictionaries":
        """Dictionaries of these sources, in this order; UserError if one is missing."""
        if missing := [name for name in names if name not in self.names]:
            raise UserError(
                f"reference nmf: has dictionaries of {', '.join(self.names)}, not of "
                f"{missing[0]}; make another file with python -m sep.cli.nmf"
            )
        chosen = [self.names.index(name) for name in names]
        return self._replace(names=tuple(names), atoms_SRF=self.atoms_SRF[chosen])


def save(path: Path, dictionaries: Dictionaries, facts: dict[str, str]) -> None:
    """Writes a file, whole or not at all; `facts` is extra metadata."""
    described = {
        "format": FORMAT,
        "names": json.dumps(dictionaries.names),
        "transform": json.dumps(dictionaries.transform),
    }
    atoms_SRF = np.ascontiguousarray(dictionaries.atoms_SRF, np.float32)
    with replacing(path) as part:
        part.write_bytes(serialise({"atoms": atoms_SRF}, metadata=facts | described))


def load(path: Path) -> Dictionaries:
    """Reads a file of `save`. Raises UserError if it is missing or is not such a file."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; make one with python -m sep.cli.nmf")
    try:
        with safe_open(path, "numpy") as file:
            facts = file.metadata() or {}
            if facts.get("format") != FORMAT:
                raise ValueError("another kind of file, or version")
            names = tuple(json.loads(facts["names"]))
            transform = Transform(*json.loads(facts["transform"]))
            atoms_SRF = file.get_tensor("atoms")
        _check(names, transform, atoms_SRF)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}: is no file of NMF dictionaries ({error}); make one with "
            "python -m sep.cli.nmf"
        ) from None
    return Dictionaries(names, transform, atoms_SRF)


def _check(names: tuple[str, ...], transform: Transform, atoms_SRF: np.ndarray) -> None:
    """Raises ValueError if the contents of a file are not usable dictionaries."""
    if not all(isinstance(number, int) and number > 0 for number in transform):
        raise ValueError(f"transform {tuple(transform)}")
    if atoms_SRF.ndim != 3 or len(atoms_SRF) != len(names) or not atoms_SRF.size:
        raise ValueError(f"atoms of shape {atoms_SRF.shape} for {len(names)} sources")
    if atoms_SRF.shape[2] > transform.n_fft // 2 + 1:
        raise ValueError(f"{atoms_SRF.shape[2]} bins for an n_fft of {transform.n_fft}")
    if atoms_SRF.dtype != np.float32 or not (atoms_SRF >= 0).all():
        raise ValueError("atoms are not float32 magnitudes")
