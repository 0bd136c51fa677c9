"""Simulates rooms as impulse responses, from practice rooms to halls.

  python -m sep.data rooms --out=DATA/rooms --count=60

writes OUT/000.flac, 001.flac, ... and manifest.json with the reverberation time and hash of
each room. Training uses all rooms of DATA/rooms; recorded responses can be put there, too.
A room depends only on the seed and its number: the same command makes the same files and
continues where it stopped, and a larger count adds rooms.
"""

import os
from pathlib import Path

from absl import flags

from sep import cli

_OUT = flags.DEFINE_string("out", None, "Folder to write to.", required=True)
_COUNT = flags.DEFINE_integer("count", 60, "Number of rooms.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Seed that determines the rooms.", lower_bound=0)
_RATE = flags.DEFINE_integer(
    "sample_rate",
    44100,
    "Sample rate of the files in Hz; training converts it.",
    lower_bound=8000,
)
_JOBS = flags.DEFINE_integer(
    "jobs", os.cpu_count() or 1, "Number of processes that simulate.", lower_bound=1
)


def run() -> None:
    """Runs the command, as `python -m sep.data` calls it."""
    cli.launch(main)


def main(argv: list[str]) -> None:
    """Makes the rooms that are missing, and prints a summary of all."""
    cli.expect_no_arguments(argv)

    from sep.data import room_set  # slow, hence after the flags have been checked

    out = Path(_OUT.value)
    rooms = room_set.make_set(
        out,
        _COUNT.value,
        seed=_SEED.value,
        sample_rate=_RATE.value,
        jobs=_JOBS.value,
    )
    times = sorted(room["rt60"] for room in rooms)
    median = times[len(times) // 2]
    print(
        f"{len(rooms)} rooms in {out}, RT60 {times[0]} to {times[-1]} s, median {median} s"
    )
