"""Catalogues of instruments: TOML files that list what may be drawn, and how often.

    [[violin]]
    name = "strings"
    path = "strings/"       # an SFZ map, a folder of them (articulations), or a SoundFont
    licence = "CC0"
    weight = 2.0            # drawn twice as often; default 1
    lowest = 55             # MIDI keys; notes outside are moved by octaves
    preset = 40             # of a SoundFont

    [[violin]]
    name = "bowed"
    model = "bowed_string"  # computed: a newly drawn violin each time
    licence = "none needed"

Paths are relative to a folder that is given with the catalogue.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sep.errors import UserError
from sep.runtime.files import read_toml

KINDS = ("piano", "violin")


class Instrument(NamedTuple):
    """One entry of a catalogue."""

    kind: str  # one of KINDS
    name: str
    licence: str
    path: Path | None = None
    model: str = ""  # in place of a path
    source: str = ""  # where its files come from
    weight: float = 1.0
    lowest: int = 0
    highest: int = 127
    preset: int = 0

    @property
    def samples(self) -> Path:
        """Path of a sampled instrument.

        Raises:
          ValueError: the instrument is computed.
        """
        if self.path is None:
            raise ValueError(f"instrument {self.name}: computed, without samples")
        return self.path


def catalogue(path: Path, root: Path) -> dict[str, list[Instrument]]:
    """Reads a catalogue: the instruments of each kind.

    Args:
      path: the TOML file.
      root: folder that the paths in it are relative to.

    Raises:
      UserError: the catalogue or one of its files is missing, or an entry is wrong.
    """
    tables = read_toml(path, "catalogue of instruments")
    if unknown := tables.keys() - set(KINDS):
        raise UserError(
            f"{path}: [[{min(unknown)}]] is not a kind of instrument; use "
            + " or ".join(f"[[{kind}]]" for kind in KINDS)
        )
    for kind in KINDS:
        entries = tables.get(kind)
        if not entries:
            raise UserError(f"{path}: has no [[{kind}]]; add at least one")
        if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
            raise UserError(f"{path}: {kind} is not a list of tables; write [[{kind}]]")
    return {
        kind: [_instrument(kind, entry, path, root) for entry in tables[kind]]
        for kind in KINDS
    }


def draw(rng: np.random.Generator, instruments: Sequence[Instrument]) -> Instrument:
    """Draws one instrument, by weight."""
    weights = [instrument.weight for instrument in instruments]
    total = sum(weights)
    return instruments[rng.choice(len(weights), p=[w / total for w in weights])]


def _instrument(kind: str, entry: dict[str, Any], path: Path, root: Path) -> Instrument:
    """Checks one entry of the catalogue at `path`, and returns it with its full path.

    Raises:
      UserError: as `catalogue`.
    """
    name = entry.get("name", "without a name")
    where = f"{path}: {kind} {name}"
    settings = Instrument._fields[1:]
    if missing := {"name", "licence"} - entry.keys():
        raise UserError(f"{where}: has no {min(missing)}; add it")
    if unknown := entry.keys() - set(settings):
        raise UserError(
            f"{where}: {min(unknown)} is not a setting; known are {', '.join(settings)}"
        )
    if bool(entry.get("path")) == bool(entry.get("model")):
        raise UserError(f"{where}: needs either a path or a model")
    for key, value in entry.items():
        if isinstance(Instrument._field_defaults.get(key), int | float):
            if not isinstance(value, int | float):
                raise UserError(f"{where}: {key} must be a number")
        elif not isinstance(value, str):
            raise UserError(f"{where}: {key} must be a string")
    if entry.get("weight", 1) <= 0:
        raise UserError(f"{where}: weight must be above 0; leave the entry out instead")
    instrument = Instrument(kind=kind, **entry)
    if instrument.highest - instrument.lowest < 11:
        raise UserError(f"{where}: lowest to highest must span an octave")
    if instrument.path is None:
        return instrument
    found = root / instrument.path
    if not found.exists():
        raise UserError(f"{where}: {found} is missing; see docs/data.md for its source")
    return instrument._replace(path=found)
