"""A folder of simulated rooms: impulse responses as FLAC files, and a manifest.

A room depends only on the seed and its number. Therefore an interrupted set can be
continued, and a larger count adds rooms to a set.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sep import audio
from sep.data import rooms
from sep.errors import UserError
from sep.runtime import processes
from sep.runtime.record import Record, differences

MANIFEST = "manifest.json"
_LONGEST = 4.0  # seconds; later sound is below -60 dB in nearly every room
_PEAK = 0.9

Facts = dict[str, Any]  # what the manifest contains about a room


def make_set(
    out: Path, count: int, *, seed: int, sample_rate: int, jobs: int
) -> list[Facts]:
    """Simulates the rooms of a set that are missing, and writes its manifest.

    Args:
      out: folder to write to: 000.flac, 001.flac, ... and manifest.json.
      count: rooms that there should be at least.
      seed: determines all rooms.
      sample_rate: of the files, in Hz.
      jobs: processes that simulate.

    Returns:
      The manifest's entries of all rooms in the folder: file, RT60 in seconds, hash.

    Raises:
      UserError: the folder contains other rooms, or pyroomacoustics is missing.
    """
    settings = {"seed": seed, "sample_rate": sample_rate}
    known = claim(out, settings)
    missing = [number for number in range(count) if not path_of(out, number).exists()]
    calls = [(out, number, seed, sample_rate) for number in missing]
    for _ in processes.results(make_room, calls, jobs, doing="simulating", unit="room"):
        pass
    count = max(count, known)
    paths = [path_of(out, number) for number in range(count)]
    found = [facts(path) for path in paths if path.exists()]
    Record(out / MANIFEST, settings).write(settings | {"count": count, "rooms": found})
    return found


def path_of(out: Path, number: int) -> Path:
    """File of a room."""
    return out / f"{number:03d}.flac"


def claim(out: Path, settings: dict[str, int]) -> int:
    """Starts a manifest in a new folder, or checks the one that is there.

    Args:
      out: folder of the set.
      settings: seed and sample rate.

    Returns:
      How many rooms the set had so far.

    Raises:
      UserError: the folder has rooms of other settings or without a manifest.
    """
    record = Record(out / MANIFEST, settings, _differences)
    found = record.claim(
        "contains rooms of another seed or sample rate",
        "choose another --out",
        "the manifest of a set of rooms",
    )
    if found is not None:
        return int(found["count"])
    if path_of(out, 0).exists():
        raise UserError(
            f"{out}: contains files that are not of a set of rooms; choose another --out"
        )
    record.write(settings | {"count": 0, "rooms": []})
    return 0


def _differences(before: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """See `Record`. Raises ValueError, KeyError or TypeError if it is no such manifest."""
    int(before["count"])
    if missing := asked.keys() - before.keys():
        raise KeyError(min(missing))
    return differences(before, asked)


def make_room(out: Path, number: int, seed: int, sample_rate: int) -> None:
    """Simulates one room and writes its file."""
    rng = np.random.default_rng([seed, number])
    wave_T = rooms.simulate(rng, sample_rate)[: round(_LONGEST * sample_rate)]
    audio.write(path_of(out, number), _PEAK * wave_T[None], sample_rate, "PCM_24")


def facts(path: Path) -> Facts:
    """Returns the manifest's entry of a room: file, RT60 in seconds, hash."""
    wave_CT, rate = audio.read(path)
    return {
        "file": path.name,
        "rt60": round(rooms.reverberation_time(wave_CT[0], rate), 2),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
