"""Measures the tuning of rendered violins, for each instrument.

  python experiments/tuning.py DATA/train

Measures the pitch of notes that sound alone for a quarter of a second or more, in every
piece of `python -m sep.data render`, and compares it with key and tuning in the manifest.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from absl import flags

from sep import audio, cli
from sep.errors import UserError
from sep.model.registry import lookup
from sep.rendering.pitch import cents_off, measure_pitch
from sep.runtime.progress import progress_bar

Note = Sequence[float]  # onset and duration in seconds, MIDI key, velocity

_SOURCE = flags.DEFINE_string("source", "violin", "The stem to measure.")
_NOTES = flags.DEFINE_integer("notes", 6, "Maximum number of notes of each piece.")

SHORTEST = 0.25  # seconds
BEGIN, END = 0.08, 0.02  # seconds at both ends of a note that are not measured
CERTAIN = 0.5  # minimum certainty of a measurement


def main(argv: list[str]) -> None:
    """Prints a line for each instrument and one for all."""
    if len(argv) != 2:
        raise UserError("tuning.py takes one folder of rendered pieces; see --help")
    if not (manifests := sorted(Path(argv[1]).glob("*/manifest.json"))):
        raise UserError(f"{argv[1]}: contains no rendered pieces; choose another folder")
    cents_by_name, unsure = measured(manifests)
    print(f"{'instrument':24}{'notes':>6}{'median |cents|':>16}{'95 %':>7}{'unsure':>8}")
    names = sorted(cents_by_name.keys() | unsure.keys())
    found = [(name, cents_by_name.get(name, [])) for name in names]
    for name, cents in [*found, ("all", sum(cents_by_name.values(), []))]:
        middle, most = np.percentile(np.abs(cents or [np.nan]), [50, 95])
        missed = sum(unsure.values()) if name == "all" else unsure.get(name, 0)
        print(f"{name:24}{len(cents):6}{middle:16.1f}{most:7.0f}{missed:8}")


def measured(manifests: Sequence[Path]) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Measures notes of all pieces.

    Returns:
      By instrument, the deviations in cents, and the number of uncertain measurements.
    """
    deviations: dict[str, list[float]] = defaultdict(list)
    unsure: dict[str, int] = defaultdict(int)
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
            if certainty < CERTAIN:
                unsure[facts["instrument"]] += 1
            else:
                cents = cents_off(midi, key) - facts["tuning_cents"]
                deviations[facts["instrument"]].append(cents)
    return deviations, unsure


def is_alone(note: Note, notes: Sequence[Note]) -> bool:
    """Whether a note is long enough and no other note sounds at the same time."""
    onset, duration, *_ = note
    if duration < SHORTEST:
        return False
    others = (other for other in notes if other is not note)
    return not any(o < onset + duration and o + d > onset + 0.02 for o, d, *_ in others)


if __name__ == "__main__":
    cli.launch(main)
