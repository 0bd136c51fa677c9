"""Makes SFZ maps from folders of notes; the pitch, onset and level of each is measured.

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

OFF_CENTS = 50.0  # beyond this a sample is another note than its key
UNSURE = 0.3  # certainty below which a sample's pitch is unknown
SILENT_DB = -60.0  # level below which a sample is silent, against full scale
LEVEL_DB = -20.0  # level of every note's loud part, where levels are evened
_ONSET_DB = -20.0  # of an onset, against the peak: noise of the bow may come before
_LEAD = 0.003  # seconds kept before the onset
_LETTERS = dict(zip("cdefgab", (0, 2, 4, 5, 7, 9, 11), strict=True))
_NOTE = re.compile(r"(?<![a-z0-9])([a-g])(#|s|b|)(\d)(?![0-9a-uw-z])", re.IGNORECASE)
_LAYER = re.compile(r"(?<![a-uw-z])v(?:el(?:ocity)?)?[-_ ]?(\d{1,3})(?!\d)", re.IGNORECASE)
_DYNAMICS = {"pianissimo": 1, "mezzo-piano": 3, "mezzo-forte": 4, "fortissimo": 6}
_DYNAMICS |= {"pp": 1, "mp": 3, "mf": 4, "ff": 6, "piano": 2, "forte": 5, "p": 2, "f": 5}
_DYNAMIC = re.compile(rf"(?<![a-z])({'|'.join(_DYNAMICS)})(?![a-z0-9#])")


class NoteSample(NamedTuple):
    """A sample of one note, measured."""

    path: Path
    key: int
    layer: int  # order of loudness among the samples
    cents: float  # above the key
    level: float  # dB, of its loud part
    onset: int  # samples before the note begins


def key_of(name: str) -> int | None:
    """Returns the MIDI key in a file's name (A#3, Bb3, Fs5), or None; C4 is 60."""
    found = list(_NOTE.finditer(name))
    if not found:
        return None
    letter, accidental, octave = found[-1].groups()
    shift = {"#": 1, "s": 1, "b": -1}.get(accidental.lower(), 0)
    return _LETTERS[letter.lower()] + shift + 12 * (int(octave) + 1)


def layer_of(name: str) -> int:
    """Returns the order of loudness in a file's name (v5, mezzo-forte, pp), or 0."""
    if found := _LAYER.search(name):
        return int(found[1])
    found = _DYNAMIC.search(name.lower())
    return _DYNAMICS[found[0]] if found else 0


def measure_note(path: Path) -> NoteSample | str:
    """Measures a sample; returns a message with the reason if it cannot be used."""
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
        return f"{path}: no certain pitch (certainty {certainty:.2f})"
    key = round(midi) if named is None else named
    cents = cents_off(midi, key)
    if abs(cents) > OFF_CENTS:
        return f"{path}: {cents:+.0f} cents off the note in its name"
    onset = onset_of(wave_T, rate)
    return NoteSample(path, key, layer_of(path.stem), cents, level, onset)


def loudness(wave_T: np.ndarray, rate: int) -> float:
    """Returns the RMS of the loud part, in dB against full scale."""
    frames = loud_frames(wave_T, rate)
    power = np.mean([np.mean(np.square(f)) for f in frames]) if frames else 0.0
    return float(10 * np.log10(power + 1e-12))


def onset_of(wave_T: np.ndarray, rate: int) -> int:
    """Returns the index of a sample shortly before a note begins."""
    peak = np.abs(wave_T).max()
    begin = int(np.argmax(np.abs(wave_T) >= peak * 10 ** (_ONSET_DB / 20)))
    return max(begin - int(_LEAD * rate), 0)


def build(notes: Sequence[NoteSample], *, even: bool, tune: bool) -> list[Region]:
    """Makes regions for notes: each key takes the nearest sample of its layer.

    Several samples of one key and layer take turns.

    Args:
      notes: the samples.
      even: whether to bring all samples to one level.
      tune: whether to correct deviations from the key.

    Raises:
      UserError: there are no notes.
    """
    if not notes:
        raise UserError("no usable note to make a map from; see the lines above")
    layers = sorted({note.layer for note in notes})
    regions = []
    for index, layer in enumerate(layers):
        velocities = {
            "lovel": str(128 * index // len(layers)),
            "hivel": str(128 * (index + 1) // len(layers) - 1),
        }
        members = [note for note in notes if note.layer == layer]
        keys = sorted({note.key for note in members})
        middles = [(a + b) // 2 for a, b in itertools.pairwise(keys)]
        lows, highs = [0, *(m + 1 for m in middles)], [*middles, 127]
        for key, low, high in zip(keys, lows, highs, strict=True):
            zone = {"lokey": str(low), "hikey": str(high)} | velocities
            turns = [note for note in members if note.key == key]
            for position, note in enumerate(turns, 1):
                region = {"sample": str(note.path.resolve())} | zone
                region |= _corrections(note, even, tune)
                if len(turns) > 1:
                    region["seq_length"] = str(len(turns))
                    region["seq_position"] = str(position)
                regions.append(region)
    return regions


def _corrections(note: NoteSample, even: bool, tune: bool) -> Region:
    """Returns the opcodes that follow from a sample's measurements."""
    opcodes = {"pitch_keycenter": str(note.key), "offset": str(note.onset)}
    if tune:
        opcodes["tune"] = str(-round(note.cents))
    if even:
        opcodes["volume"] = f"{np.clip(LEVEL_DB - note.level, -30, 30):.1f}"
    return opcodes
