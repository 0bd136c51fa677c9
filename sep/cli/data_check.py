"""Checks a folder of stems as training would read it, and lists what is wrong.

  python -m sep.data check DATA
  python -m sep.data check DATA --sources=piano,violin --strict

DATA contains train/ and valid/ (and test/), each with {source}/* (solos, mixed at random)
or {track}/{source}.* (stems of one piece), or both; and perhaps rooms/ with impulse
responses. Every file is read from end to end; nothing is written. The exit status is 0 if
training could begin.

Training would fail on an error. A warning is about files that training would skip, or
about what makes scores misleading, such as the same sound in train/ and valid/.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from sep import cli
from sep.data.settings import DataSettings
from sep.errors import UserError
from sep.model.settings import ModelSettings

if TYPE_CHECKING:
    from sep.data.check import Summary

_SOURCES = flags.DEFINE_list(
    "sources", None, "Names of the sources; default: taken from the names of folders."
)
_STRICT = flags.DEFINE_bool("strict", False, "Exit with status 1 on any warning.")
_MISSING = flags.DEFINE_bool(
    "missing_is_silence", False, "Treat a source without a file in a track as silent there."
)
_CROP = flags.DEFINE_float(
    "crop_seconds", DataSettings().crop_seconds, "Length of a training crop."
)


def run() -> None:
    """Runs the command, as `python -m sep.data` calls it."""
    cli.launch(main)


def main(argv: list[str]) -> int:
    """Checks the folder and prints the result; returns the exit status."""
    if len(argv) != 2:
        raise UserError("needs one folder: python -m sep.data check DATA")

    from sep.data import check  # slow, hence after the flags have been checked

    data = Path(argv[1])
    if not os.path.isdir(data):
        raise UserError(f"{data}: no such folder")
    sources = _SOURCES.value or check.sources_of(data)
    summary = check.check_folder(
        data,
        sources,
        sample_rate=ModelSettings().sample_rate,
        room_seconds=DataSettings().room_seconds,
        crop_seconds=_CROP.value,
        missing_is_silence=_MISSING.value,
    )
    print(check.table(summary), end="\n\n")
    return verdict(summary, sources, strict=_STRICT.value)


def verdict(summary: "Summary", sources: list[str], *, strict: bool) -> int:
    """Prints all findings and a last line with the verdict; returns the exit status."""
    for kind in ("errors", "warnings", "notes"):
        for line in getattr(summary, kind):
            print(f"{kind[:-1]}: {line}")
    if summary.errors:
        print(f"training would fail: {summary.errors[0]}")
    elif strict and summary.warnings:
        print(f"not good enough under --strict: {summary.warnings[0]}")
    else:
        print(f"ready to train: {', '.join(sources)}")
    return int(bool(summary.errors or (strict and summary.warnings)))
