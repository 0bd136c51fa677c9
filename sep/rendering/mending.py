"""SFZ maps listened to, and mended: every region is played by itself and measured.

Shapes: T sample.
"""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sep import audio
from sep.errors import UserError
from sep.rendering import RATE, regions
from sep.rendering.maps import OFF_CENTS, loudness, onset_of
from sep.rendering.pitch import cents_off, measure_pitch
from sep.rendering.regions import Region, number

RETUNE_CENTS = 8.0  # what is further off, but right, is tuned
SURE = 0.7  # certainty above which it is
SILENT_DB = -80.0  # of a region as played, against full scale
WEAK_DB = -30.0  # of a region, against the middle one of its map
LATE = 0.06  # seconds before a note is heard that are cut off
_SECONDS = 1.5  # of a region that are measured
_VELOCITY = 90
_BLOCK = 1024


class Sound(NamedTuple):
    """What a key or a region does when it is played."""

    key: int
    cents: float
    certainty: float
    level: float  # dB
    onset: float  # seconds before it is heard


def listen(path: Path, keys: Iterable[int]) -> Iterator[Sound]:
    """What each key of a map sounds like at a middling velocity.

    Raises:
      UserError: the player is missing, or takes no such map.
    """
    try:
        from sep.rendering import sfz
    except ImportError:
        raise UserError("playing SFZ maps needs: pip install '.[render]'") from None
    synth = sfz.load(path)._synth
    synth.set_sample_quality(2)  # the default is three times slower
    for key in keys:
        synth.all_sound_off()
        synth.note_on(0, key, _VELOCITY)
        blocks = [synth.render_block() for _ in range(int(_SECONDS * RATE / _BLOCK))]
        wave_T = np.concatenate([np.mean(block, axis=0) for block in blocks])
        midi, certainty = measure_pitch(wave_T, RATE, key)
        onset = onset_of(wave_T, RATE) / RATE
        yield Sound(key, cents_off(midi, key), certainty, loudness(wave_T, RATE), onset)


def sound_of(region: Region) -> Sound:
    """A region played by itself, on its own key or the nearest that it has."""
    low, high = number(region, "lokey"), number(region, "hikey")
    key = int(np.clip(number(region, "pitch_keycenter"), low, high))
    alone = region | {"lovel": "0", "hivel": "127", "seq_length": "1", "seq_position": "1"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "one.sfz")
        regions.write(path, [alone], "for measuring")
        return next(listen(path, [key]))


def mend(
    given: Sequence[Region], sounds: Sequence[Sound]
) -> tuple[list[Region], list[str]]:
    """The regions that sound as they should, tuned, gaps closed; and what was changed.

    Raises:
      UserError: none is left.
    """
    middle = float(np.median([sound.level for sound in sounds]))
    kept, gone, lines = [], [], []
    for region, sound in zip(given, sounds, strict=True):
        fault = _fault(sound, middle)
        name = Path(region["sample"]).name
        if fault:
            gone.append(region)
            lines.append(f"left out {name}: {fault}")
            continue
        mended = dict(region)
        if abs(sound.cents) > RETUNE_CENTS and sound.certainty > SURE:
            mended["tune"] = str(number(region, "tune") - round(sound.cents))
            lines.append(f"tuned {name}: was {sound.cents:+.0f} cents off")
        if sound.onset > LATE:
            rate = audio.probe(Path(region["sample"])).sample_rate
            begin = number(region, "offset") + round((sound.onset - LATE / 3) * rate)
            mended["offset"] = str(begin)
            lines.append(f"trimmed {name}: began {sound.onset:.2f} s late")
        kept.append(mended)
    if not kept:
        raise UserError("no region of this map sounds as it should; nothing written")
    for region in gone:
        if not _close(kept, region):
            low, high = region.get("lokey", 0), region.get("hikey", 127)
            lines.append(f"keys {low} to {high}: a gap stays, for nothing is beside it")
    _number_turns(kept)
    return kept, lines


def _fault(sound: Sound, middle: float) -> str:
    if sound.level < max(middle + WEAK_DB, SILENT_DB):
        return f"silent ({sound.level:.0f} dB)"
    if abs(sound.cents) > OFF_CENTS:
        return f"{sound.cents:+.0f} cents off (certainty {sound.certainty:.2f})"
    return ""


def _zone(region: Region) -> tuple[int, int, int, int]:
    return tuple(number(region, name) for name in ("lokey", "hikey", "lovel", "hivel"))


def _close(kept: list[Region], gone: Region) -> bool:
    """Neighbours in key, else in velocity, take over the zone of a region; or none do."""
    low, high, soft, loud = _zone(gone)
    if any(_zone(region) == (low, high, soft, loud) for region in kept):
        return True  # others take turns there
    in_key = [region for region in kept if _zone(region)[2:] == (soft, loud)]
    in_velocity = [region for region in kept if _zone(region)[:2] == (low, high)]
    return _share(in_key, "lokey", "hikey", low, high) or _share(
        in_velocity, "lovel", "hivel", soft, loud
    )


def _share(beside: list[Region], first: str, last: str, low: int, high: int) -> bool:
    """Has the regions just below and above a range take half of it each, or all."""
    below = [region for region in beside if number(region, last) == low - 1]
    above = [region for region in beside if number(region, first) == high + 1]
    middle = (low + high) // 2 if below and above else high if below else low - 1
    for region in below:
        region[last] = str(middle)
    for region in above:
        region[first] = str(middle + 1)
    return bool(below or above)


def _number_turns(kept: list[Region]) -> None:
    """Round robins counted anew, for the player skips a turn that is missing."""
    turns: dict[tuple, list[Region]] = {}
    for region in kept:
        if number(region, "seq_length") > 1:
            turns.setdefault(_zone(region), []).append(region)
    for alike in turns.values():
        for position, region in enumerate(alike):
            region["seq_length"] = str(len(alike))
            region["seq_position"] = str(position + 1)
