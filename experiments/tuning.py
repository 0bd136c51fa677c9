"""Measures how well in tune rendered violins are, instrument by instrument.

  python experiments/tuning.py DATA/train

From every piece of `python -m sep.data render`, notes that sound alone for a quarter of a
second or more are measured, and compared with the manifest: key and tuning of the piece.
"""

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
from absl import flags

from sep import audio, cli
from sep.errors import UserError
from sep.model.registry import lookup
from sep.rendering.pitch import cents_off, measure_pitch
from sep.runtime.progress import progress_bar

_SOURCE = flags.DEFINE_string("source", "violin", "The stem to measure.")
_NOTES = flags.DEFINE_integer("notes", 6, "At most so many notes of each piece.")

SHORTEST = 0.25  # seconds
BEGIN, END = 0.08, 0.02  # seconds of a note that are left out
SURE = 0.5


def main(argv: list[str]) -> None:
    """Prints a line an instrument, and one for all."""
    if len(argv) != 2:
        raise UserError("give one folder of rendered pieces")
    if not (manifests := sorted(Path(argv[1]).glob("*/manifest.json"))):
        raise UserError(f"{argv[1]}: holds no rendered pieces")
    off, unsure = defaultdict(list), defaultdict(int)
    for path in progress_bar(manifests, "measuring", unit="piece"):
        sources = json.loads(path.read_text())["sources"]
        facts = lookup(sources, "source", _SOURCE.value)
        wave_CT, rate = audio.read(path.with_name(f"{_SOURCE.value}.flac"))
        rng = np.random.default_rng(0)
        alone = [note for note in facts["notes"] if is_alone(note, facts["notes"])]
        for i in rng.permutation(len(alone))[: _NOTES.value]:
            onset, duration, key, _ = alone[i]
            begin, end = (int(s * rate) for s in (onset + BEGIN, onset + duration - END))
            midi, certainty = measure_pitch(wave_CT[:, begin:end].mean(0), rate, key)
            if certainty < SURE:
                unsure[facts["instrument"]] += 1
            else:
                cents = cents_off(midi, key) - facts["tuning_cents"]
                off[facts["instrument"]].append(cents)
    print(f"{'instrument':24}{'notes':>6}{'median |cents|':>16}{'95 %':>7}{'unsure':>8}")
    found = [(name, off[name]) for name in sorted(off.keys() | unsure.keys())]
    for name, cents in [*found, ("all", sum(off.values(), []))]:
        middle, most = np.percentile(np.abs(cents or [np.nan]), [50, 95])
        missed = unsure[name] if name != "all" else sum(unsure.values())
        print(f"{name:24}{len(cents):6}{middle:16.1f}{most:7.0f}{missed:8}")


def is_alone(note, notes) -> bool:
    """Whether a note is long enough and nothing else sounds with it."""
    onset, duration, *_ = note
    if duration < SHORTEST:
        return False
    others = (other for other in notes if other is not note)
    return not any(o < onset + duration and o + d > onset + 0.02 for o, d, *_ in others)


if __name__ == "__main__":
    cli.launch(main)
