"""What supervised NMF has learned, as a value and as a file.

The file is safetensors, like a model's: named arrays and facts, never unpickled.

Shapes: S source, R rank: atoms of a source, F bin.
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
    """Spectra that each source's sounds are made of: its atoms, each of which sums to 1."""

    names: tuple[str, ...]
    transform: Transform  # whose magnitudes they are, from 0 Hz to some limit
    atoms_SRF: np.ndarray  # float32, ≥ 0

    def of(self, names: Sequence[str]) -> "Dictionaries":
        """Those of some sources, in their order. Raises UserError if one is missing."""
        if missing := [name for name in names if name not in self.names]:
            raise UserError(
                f"reference nmf: has learned {', '.join(self.names)}, not {missing[0]}; "
                "learn anew with python -m sep.cli.nmf"
            )
        chosen = [self.names.index(name) for name in names]
        return self._replace(names=tuple(names), atoms_SRF=self.atoms_SRF[chosen])


def save(path: Path, dictionaries: Dictionaries, facts: dict[str, str]) -> None:
    """Writes a file, whole or not at all; facts are for people."""
    described = {
        "format": FORMAT,
        "names": json.dumps(dictionaries.names),
        "transform": json.dumps(dictionaries.transform),
    }
    atoms_SRF = np.ascontiguousarray(dictionaries.atoms_SRF, np.float32)
    with replacing(path) as part:
        part.write_bytes(serialise({"atoms": atoms_SRF}, metadata=facts | described))


def load(path: Path) -> Dictionaries:
    """Reads what `save` wrote. Raises UserError if there is no such thing."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; python -m sep.cli.nmf makes one")
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
        raise UserError(f"{path}: holds no dictionaries for NMF ({error})") from None
    return Dictionaries(names, transform, atoms_SRF)


def _check(names: tuple, transform: Transform, atoms_SRF: np.ndarray) -> None:
    """Raises ValueError if a stranger's numbers would not do."""
    if not all(isinstance(number, int) and number > 0 for number in transform):
        raise ValueError(f"a transform of {tuple(transform)}")
    if atoms_SRF.ndim != 3 or len(atoms_SRF) != len(names) or not atoms_SRF.size:
        raise ValueError(f"atoms of shape {atoms_SRF.shape} for {len(names)} sources")
    if atoms_SRF.shape[2] > transform.n_fft // 2 + 1:
        raise ValueError(f"{atoms_SRF.shape[2]} bins of windows of {transform.n_fft}")
    if atoms_SRF.dtype != np.float32 or not (atoms_SRF >= 0).all():
        raise ValueError("atoms that are no magnitudes")
