"""Plays SFZ maps with sfizz; a folder of maps is one instrument's articulations.

Shapes: T sample, C channel (2).
"""

import functools
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pysfizz

from sep.errors import UserError
from sep.rendering import RATE, midi
from sep.rendering.instruments import Instrument
from sep.rendering.midi import TimedEvent
from sep.rendering.performance import Performance, note_array, phrases

_BLOCK = 1024
_BRIEF = ("short", "staccato", "spiccato", "pizz")  # articulations
_RARE = ("tasto", "ponticello", "consord", "tremolo", "pizz")


def play(
    instrument: Instrument,
    rng: np.random.Generator,
    performance: Performance,
    seconds: float,
) -> np.ndarray:
    """Plays one map, or several: then an articulation is drawn for each phrase.

    Returns:
      wave_TC.

    Raises:
      UserError: a map cannot be used, or there is none in the folder.
    """
    path, notes = instrument.samples, performance.notes
    controls = midi.curves(performance)
    if not path.is_dir():
        return render(path, strokes(path, performance, slice(None)), controls, seconds)
    maps = sorted(path.glob("*.sfz"))
    if not maps:
        raise UserError(f"{path}: no SFZ maps in this folder")
    chosen: dict[Path, list[np.ndarray]] = {}
    for phrase in phrases(notes):
        is_brief = notes[phrase]["brief"].mean() > 0.5
        map_path = choose_articulation(rng, maps, is_brief)
        chosen.setdefault(map_path, []).append(strokes(map_path, performance, phrase))
    total_TC = np.zeros((round(seconds * RATE), 2), np.float32)
    for map_path, played in sorted(chosen.items()):
        wave_TC = render(map_path, np.concatenate(played), controls, seconds)
        total_TC += wave_TC / measure(map_path)[1]
    return total_TC


def choose_articulation(
    rng: np.random.Generator, maps: Sequence[Path], is_brief: bool
) -> Path:
    """Draws a map: mostly sustained ones, or short ones for brief strokes."""
    weights = []
    for path in maps:
        kind = path.stem.split("_")[-1]
        fitting = (1 if is_brief else 0.02) if kind in _BRIEF else (0.1 if is_brief else 1)
        weights.append(fitting * (0.2 if kind in _RARE else 1))
    return maps[rng.choice(len(maps), p=np.array(weights) / sum(weights))]


def strokes(path: Path, performance: Performance, phrase: slice) -> np.ndarray:
    """Converts a phrase's notes for a sampler: slurs overlap, long notes are repeated.

    Samples of bowed strings often end after a second, whatever loops a map sets. A longer
    note is therefore played with several bows.
    """
    notes = performance.notes[phrase].copy()
    if performance.expression is None:  # struck strings may die away
        return notes
    connected = np.append(notes["slurred"][1:], False)
    notes["duration"] += np.where(connected, 0.04, 0)
    if path.stem.endswith(_BRIEF):
        return notes
    bows = np.ceil(notes["duration"] / measure(path)[0]).astype(int).clip(1)
    taken, total = np.repeat(notes, bows), np.repeat(bows, bows)
    nth = np.arange(len(taken)) - np.repeat(np.cumsum(bows) - bows, bows)
    each = taken["duration"] / total
    taken["onset"] += nth * each
    taken["duration"] = each + np.where(total > 1, 0.04, 0)
    return taken


def load(path: Path) -> pysfizz.Synth:
    """Returns a synthesiser with all of a map's samples in memory.

    By default sfizz loads samples while it plays, and loses notes whose sample comes late.
    Only a map can request otherwise. A wrapper map does so, in a temporary folder with
    links to all that is beside the map.

    Raises:
      UserError: there is no such map, or sfizz cannot use it.
    """
    path = path.resolve()
    if not path.is_file():
        raise UserError(f"{path}: no such SFZ map")
    synth = pysfizz.Synth(RATE, _BLOCK)
    with tempfile.TemporaryDirectory() as folder:
        wrapper = Path(folder, "in memory.sfz")
        for item in path.parent.iterdir():
            wrapper.with_name(item.name).symlink_to(item)
        wrapper.write_text(f'<control> hint_ram_based=1\n#include "{path.name}"\n')
        if not synth.load_sfz_file(wrapper):
            raise UserError(f"{path}: no usable SFZ map")
    return synth


def render(
    path: Path, notes: np.ndarray, controls: Iterable[TimedEvent], seconds: float
) -> np.ndarray:
    """Plays notes on one map: wave_TC.

    Args:
      path: the map.
      notes: as `strokes` returns them.
      controls: as `midi.curves` returns them.
      seconds: length of the result.

    Raises:
      UserError: as `load`.
    """
    core = load(path)._synth  # pysfizz itself plays single notes only
    core.set_sample_quality(2)  # the default is three times slower
    blocks, events = [], iter(midi.timeline(notes, controls, seconds))
    event = next(events, None)
    for begin in range(0, round(seconds * RATE), _BLOCK):
        while event and event.sample < begin + _BLOCK:
            delay = event.sample - begin
            if event.kind == midi.ON:
                core.note_on(delay, event.target, int(event.value))
            elif event.kind == midi.OFF:
                core.note_off(delay, event.target, 0)
            elif event.target == midi.BEND:
                wheel = np.clip(event.value / midi.BEND_CENTS, -1, 1) * 8191
                core.pitch_wheel(delay, int(wheel))
            else:
                core.cc(delay, event.target, int(event.value))
            event = next(events, None)
        blocks.append(np.stack(core.render_block(), 1))
    return np.concatenate(blocks)[: round(seconds * RATE)]


@functools.cache
def measure(path: Path) -> tuple[float, float]:
    """Measures how many seconds a map holds a note, and its level (RMS).

    Raises:
      UserError: the map cannot be used, or is silent.
    """
    lengths, levels = [], []
    for key in (58, 67, 76, 84):
        wave_TC = render(path, note_array([(0, 5, key)]), [], 5)
        level = np.sqrt(np.mean(wave_TC[:, 0].reshape(-1, RATE // 20) ** 2, axis=1))
        if level.max() > 0:  # a map may lack this key
            lengths.append((np.flatnonzero(level >= level.max() / 8)[-1] + 1) / 20)
            levels.append(level.max())
    if not levels:
        raise UserError(f"{path}: this SFZ map is silent on keys 58 to 84")
    return float(np.clip(np.median(lengths), 0.2, 4)), float(np.median(levels))
