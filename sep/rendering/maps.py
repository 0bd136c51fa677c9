"""SFZ maps from folders of notes, each with its pitch, onset and level measured.

Shapes: T sample, C channel.
"""

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sep import audio
from sep.errors import UserError
from sep.rendering.pitch import cents_off, loud_frames, measure_pitch
from sep.rendering.regions import Region

OFF_CENTS = 50.0  # a note further off is another note
UNSURE = 0.3  # certainty below which a sample's pitch is unknown
SILENT_DB = -60.0  # of a sample, against full scale
LEVEL_DB = -20.0  # of every note's loud part, where levels are evened
_ONSET_DB = -20.0  # against the peak: bows are heard on the string before
_LEAD = 0.003  # seconds kept before the onset
_LETTERS = dict(zip("cdefgab", (0, 2, 4, 5, 7, 9, 11), strict=True))
_NOTE = re.compile(r"(?<![a-z0-9])([a-g])(#|s|b|)(\d)(?![0-9a-uw-z])", re.IGNORECASE)
_LAYER = re.compile(r"(?<![a-uw-z])v(?:el(?:ocity)?)?[-_ ]?(\d{1,3})(?!\d)", re.IGNORECASE)
_DYNAMICS = {"pianissimo": 1, "mezzo-piano": 3, "mezzo-forte": 4, "fortissimo": 6}
_DYNAMICS |= {"pp": 1, "mp": 3, "mf": 4, "ff": 6, "piano": 2, "forte": 5, "p": 2, "f": 5}
_DYNAMIC = re.compile(rf"(?<![a-z])({'|'.join(_DYNAMICS)})(?![a-z0-9#])")


class Note(NamedTuple):
    """A sample of one note, measured."""

    path: Path
    key: int
    layer: int  # of loudness; only the order counts
    cents: float  # sharp of the key
    level: float  # dB of its loud part
    onset: int  # samples before it sounds


def key_of(name: str) -> int | None:
    """The MIDI key in a file's name, C4 being 60: A#3, Bb3, Fs5; None without one."""
    found = list(_NOTE.finditer(name))
    if not found:
        return None
    letter, accidental, octave = found[-1].groups()
    shift = {"#": 1, "s": 1, "b": -1}.get(accidental.lower(), 0)
    return _LETTERS[letter.lower()] + shift + 12 * (int(octave) + 1)


def layer_of(name: str) -> int:
    """The order of loudness in a file's name: v5, velocity10, mezzo-forte, pp; or 0."""
    if found := _LAYER.search(name):
        return int(found[1])
    found = _DYNAMIC.search(name.lower())
    return _DYNAMICS[found[0]] if found else 0


def measure_note(path: Path) -> Note | str:
    """A sample's note; where it cannot be used, why."""
    try:
        wave_CT, rate = audio.read(path)
    except UserError as error:
        return str(error)
    wave_T = wave_CT.mean(0)
    level = loudness(wave_T, rate)
    if level < SILENT_DB:
        return f"{path}: silent ({level:.0f} dB)"
    named = key_of(path.stem)
    midi, certainty = measure_pitch(wave_T, rate, named)
    if certainty < UNSURE:
        return f"{path}: no sure pitch (certainty {certainty:.2f})"
    key = round(midi) if named is None else named
    cents = cents_off(midi, key)
    if abs(cents) > OFF_CENTS:
        return f"{path}: {cents:+.0f} cents off the note in its name"
    return Note(path, key, layer_of(path.stem), cents, level, onset_of(wave_T, rate))


def loudness(wave_T: np.ndarray, rate: int) -> float:
    """RMS of the loud part, in dB against full scale."""
    frames = loud_frames(wave_T, rate)
    power = np.mean([np.mean(np.square(f)) for f in frames]) if frames else 0.0
    return float(10 * np.log10(power + 1e-12))


def onset_of(wave_T: np.ndarray, rate: int) -> int:
    """The sample shortly before a note begins."""
    peak = np.abs(wave_T).max()
    begin = int(np.argmax(np.abs(wave_T) >= peak * 10 ** (_ONSET_DB / 20)))
    return max(begin - int(_LEAD * rate), 0)


def build(notes: Sequence[Note], *, even: bool, tune: bool) -> list[Region]:
    """Regions for notes: each key takes the nearest sample of its layer.

    Several samples of one key and layer take turns. `even` brings all to one level,
    `tune` corrects deviations from the key.

    Raises:
      UserError: there is no note.
    """
    if not notes:
        raise UserError("no usable note for a map; see the lines above")
    layers = sorted({note.layer for note in notes})
    made = []
    for index, layer in enumerate(layers):
        inside = [note for note in notes if note.layer == layer]
        keys = sorted({note.key for note in inside})
        middles = [(a + b) // 2 for a, b in itertools.pairwise(keys)]
        lows, highs = [0, *(m + 1 for m in middles)], [*middles, 127]
        for key, low, high in zip(keys, lows, highs, strict=True):
            alike = [note for note in inside if note.key == key]
            for position, note in enumerate(alike):
                region = {
                    "sample": str(note.path.resolve()),
                    "lokey": str(low),
                    "hikey": str(high),
                    "lovel": str(128 * index // len(layers)),
                    "hivel": str(128 * (index + 1) // len(layers) - 1),
                    "pitch_keycenter": str(key),
                    "offset": str(note.onset),
                }
                if tune:
                    region["tune"] = str(-round(note.cents))
                if even:
                    region["volume"] = f"{np.clip(LEVEL_DB - note.level, -30, 30):.1f}"
                if len(alike) > 1:
                    region["seq_length"] = str(len(alike))
                    region["seq_position"] = str(position + 1)
                made.append(region)
    return made
