"""Measures and mends SFZ maps: each region is played alone.

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

RETUNE_CENTS = 8.0  # deviation, up to OFF_CENTS, beyond which a region is tuned
SURE = 0.7  # certainty above which a region may be tuned
SILENT_DB = -80.0  # level below which a region is silent, against full scale
WEAK_DB = -30.0  # level below which a region is silent, against the median of its map
LATE = 0.06  # seconds before an onset that are cut off
_SECONDS = 1.5  # part of a region that is measured
_VELOCITY = 90
_BLOCK = 1024


class KeyMeasurement(NamedTuple):
    """Pitch, level and onset of a key or a region, as played."""

    key: int
    cents: float  # above the key
    certainty: float  # of the pitch, 0 .. 1
    level: float  # dB
    onset: float  # seconds before the sound begins


def measure_keys(path: Path, keys: Iterable[int]) -> Iterator[KeyMeasurement]:
    """Plays keys of a map at medium velocity, and yields their measurements.

    Raises:
      UserError: the player is not installed, or cannot use this map.
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
        level = loudness(wave_T, RATE)
        yield KeyMeasurement(key, cents_off(midi, key), certainty, level, onset)


def parse_keys(texts: Sequence[str], flag: str) -> range:
    """Parses the lowest and the highest of a range of keys, given with a flag.

    Raises:
      UserError: the texts are not two MIDI keys, in order.
    """
    try:
        low, high = map(int, texts)
    except ValueError:
        low, high = 1, 0
    if not 0 <= low <= high <= 127:
        raise UserError(f"{flag}: must be two MIDI keys from 0 to 127, such as 55,100")
    return range(low, high + 1)


def measure_region(region: Region) -> KeyMeasurement:
    """Plays a region alone, on its own key or the nearest in its zone, and measures it.

    Raises:
      UserError: as `measure_keys`.
    """
    low, high = number(region, "lokey"), number(region, "hikey")
    key = int(np.clip(number(region, "pitch_keycenter"), low, high))
    alone = region | {"lovel": "0", "hivel": "127", "seq_length": "1", "seq_position": "1"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "one.sfz")
        regions.write(path, [alone], "for measuring")
        return next(measure_keys(path, [key]))


def mend(
    original: Sequence[Region], measurements: Sequence[KeyMeasurement]
) -> tuple[list[Region], list[str]]:
    """Leaves out regions that are silent or another note, tunes others, closes gaps.

    Args:
      original: regions of a map.
      measurements: one for each region, of `measure_region`.

    Returns:
      The mended regions, and a line for each change.

    Raises:
      UserError: no region is left.
    """
    median = float(np.median([measured.level for measured in measurements]))
    kept, dropped, lines = [], [], []
    for region, measured in zip(original, measurements, strict=True):
        if fault := _fault(measured, median):
            dropped.append(region)
            lines.append(f"left out {Path(region['sample']).name}: {fault}")
        else:
            mended, changes = _corrected(region, measured)
            kept.append(mended)
            lines += changes
    if not kept:
        raise UserError("every region of this map is silent or off pitch; nothing written")
    for region in dropped:
        if not _close_gap(kept, region):
            low, high = region.get("lokey", 0), region.get("hikey", 127)
            lines.append(f"keys {low} to {high}: gap left, without a neighbouring region")
    _number_turns(kept)
    return kept, lines


def _fault(measured: KeyMeasurement, median: float) -> str:
    """Why a region cannot be used, or ""; `median` is the median level of its map."""
    if measured.level < max(median + WEAK_DB, SILENT_DB):
        return f"silent ({measured.level:.0f} dB)"
    if abs(measured.cents) > OFF_CENTS:
        return f"{measured.cents:+.0f} cents off (certainty {measured.certainty:.2f})"
    return ""


def _corrected(region: Region, measured: KeyMeasurement) -> tuple[Region, list[str]]:
    """Tunes and trims a region if needed; returns it with a line for each change."""
    name = Path(region["sample"]).name
    mended, lines = dict(region), []
    if abs(measured.cents) > RETUNE_CENTS and measured.certainty > SURE:
        mended["tune"] = str(number(region, "tune") - round(measured.cents))
        lines.append(f"tuned {name}: was {measured.cents:+.0f} cents off")
    if measured.onset > LATE:
        rate = audio.probe(Path(region["sample"])).sample_rate
        begin = number(region, "offset") + round((measured.onset - LATE / 3) * rate)
        mended["offset"] = str(begin)
        lines.append(f"trimmed {name}: began {measured.onset:.2f} s late")
    return mended, lines


def _zone(region: Region) -> tuple[int, int, int, int]:
    """Returns a region's lowest and highest key, lowest and highest velocity."""
    low, high, soft, loud = (
        number(region, name) for name in ("lokey", "hikey", "lovel", "hivel")
    )
    return low, high, soft, loud


def _close_gap(kept: list[Region], dropped: Region) -> bool:
    """Extends neighbours in key, else in velocity, over the zone of a dropped region.

    Returns:
      Whether the zone is covered.
    """
    low, high, soft, loud = _zone(dropped)
    if any(_zone(region) == (low, high, soft, loud) for region in kept):
        return True  # other samples take turns there
    in_key = [region for region in kept if _zone(region)[2:] == (soft, loud)]
    in_velocity = [region for region in kept if _zone(region)[:2] == (low, high)]
    return _share(in_key, "lokey", "hikey", low, high) or _share(
        in_velocity, "lovel", "hivel", soft, loud
    )


def _share(candidates: list[Region], first: str, last: str, low: int, high: int) -> bool:
    """Extends the regions just below and above a range over half of it each, or all.

    Args:
      candidates: regions that may be extended.
      first: opcode of the lower end of a zone, such as "lokey".
      last: opcode of the upper end.
      low: lower end of the range.
      high: upper end of the range.

    Returns:
      Whether there is such a region.
    """
    below = [region for region in candidates if number(region, last) == low - 1]
    above = [region for region in candidates if number(region, first) == high + 1]
    middle = (low + high) // 2 if below and above else high if below else low - 1
    for region in below:
        region[last] = str(middle)
    for region in above:
        region[first] = str(middle + 1)
    return bool(below or above)


def _number_turns(kept: list[Region]) -> None:
    """Numbers round robins again: the player would be silent for a missing turn."""
    turns: dict[tuple[int, int, int, int], list[Region]] = {}
    for region in kept:
        if number(region, "seq_length") > 1:
            turns.setdefault(_zone(region), []).append(region)
    for members in turns.values():
        for position, region in enumerate(members, 1):
            region["seq_length"] = str(len(members))
            region["seq_position"] = str(position)
