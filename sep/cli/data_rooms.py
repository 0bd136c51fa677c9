"""Simulates rooms: impulse responses from a practice room's to a hall's.

  python -m sep.data rooms --out=DATA/rooms --count=60

writes OUT/000.flac, 001.flac, ... and manifest.json, with each room's reverberation time
and hash. Training plays in the rooms of DATA/rooms; recorded responses may lie beside
these. Every room depends on the seed and its number alone: the same command makes the
same files and goes on where it stopped, a larger count adds to them.
"""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
from absl import flags

from sep import cli
from sep.errors import UserError
from sep.runtime import processes
from sep.runtime.files import replacing

_OUT = flags.DEFINE_string("out", None, "Folder to write to.", required=True)
_COUNT = flags.DEFINE_integer("count", 60, "How many rooms.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Another seed, other rooms.", lower_bound=0)
_RATE = flags.DEFINE_integer(
    "sample_rate", 44100, "Of the files, in Hz; whoever reads them may convert.", 8000
)
_JOBS = flags.DEFINE_integer(
    "jobs", os.cpu_count(), "Processes that simulate.", lower_bound=1
)

_LONGEST = 4.0  # seconds; what comes later is below -60 dB in nearly every room
_PEAK = 0.9
_MANIFEST = "manifest.json"


def run() -> None:
    """The command, as `python -m sep.data` calls it."""
    cli.launch(main)


def main(argv: list[str]) -> None:
    """What the command does once its flags are parsed."""
    cli.expect_no_arguments(argv)

    out, rate = Path(_OUT.value), _RATE.value
    settings = {"seed": _SEED.value, "sample_rate": rate}
    known = claim(out, settings)
    wanted = [n for n in range(_COUNT.value) if not path_of(out, n).exists()]
    calls = [(out, n, _SEED.value, rate) for n in wanted]
    for _ in processes.results(make, calls, _JOBS.value, doing="simulating", unit="room"):
        pass
    count = max(_COUNT.value, known)
    rooms = [facts(path) for n in range(count) if (path := path_of(out, n)).exists()]
    write_manifest(out, settings | {"count": count, "rooms": rooms})
    times = sorted(room["rt60"] for room in rooms)
    middle = times[len(times) // 2]
    print(
        f"{len(rooms)} rooms in {out}, RT60 {times[0]} to {times[-1]} s, median {middle} s"
    )


def path_of(out: Path, number: int) -> Path:
    """The file of a room."""
    return out / f"{number:03d}.flac"


def claim(out: Path, settings: dict) -> int:
    """Marks a folder as that of these rooms, and tells how many it is known to have.

    Raises:
      UserError: it has others.
    """
    path = out / _MANIFEST
    if not path.exists():
        if path_of(out, 0).exists():
            raise UserError(f"{out}: has files of other origin; choose another --out")
        write_manifest(out, settings | {"count": 0, "rooms": []})
        return 0
    try:
        found = json.loads(path.read_text())
        same = all(found[name] == value for name, value in settings.items())
        count = int(found["count"])
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{path}: is no list of rooms; choose another --out") from None
    if not same:
        raise UserError(f"{out}: has rooms of another seed or rate; choose another --out")
    return count


def write_manifest(out: Path, manifest: dict) -> None:
    """Writes the list of rooms."""
    with replacing(out / _MANIFEST) as part:
        part.write_text(json.dumps(manifest, indent=1) + "\n")


def make(out: Path, number: int, seed: int, sample_rate: int) -> None:
    """Simulates one room and writes it."""
    from sep import audio
    from sep.data import rooms

    rng = np.random.default_rng([seed, number])
    wave_T = rooms.simulate(rng, sample_rate)[: round(_LONGEST * sample_rate)]
    audio.write(path_of(out, number), _PEAK * wave_T[None], sample_rate, "PCM_24")


def facts(path: Path) -> dict:
    """What the manifest says of a room."""
    from sep import audio
    from sep.data import rooms

    wave_CT, rate = audio.read(path)
    return {
        "file": path.name,
        "rt60": round(rooms.reverberation_time(wave_CT[0], rate), 2),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
