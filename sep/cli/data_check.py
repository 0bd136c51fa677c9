"""Looks through a folder of stems as training would, and says what is wrong.

  python -m sep.data check DATA
  python -m sep.data check DATA --sources=piano,violin --strict

DATA holds train/ and valid/ (and test/), each with {source}/* (solos, mixed at random)
or {track}/{source}.* (recordings that belong together), or both; and rooms/, if wanted,
with impulse responses. Every file is read from end to end; nothing is written. The status
is 0 if training could begin.

An error keeps training from it. A warning is of what training would leave out or of what
makes scores mislead, such as the same sound in train/ and valid/.
"""

import os
from pathlib import Path

from absl import flags

from sep import cli
from sep.data.settings import DataSettings
from sep.errors import UserError
from sep.model.settings import ModelSettings

_SOURCES = flags.DEFINE_list(
    "sources", None, "Names of the sources; by default taken from the names of folders."
)
_STRICT = flags.DEFINE_bool("strict", False, "Any warning makes the status 1.")
_MISSING = flags.DEFINE_bool(
    "missing_is_silence", False, "A source that a track has no file of is silent there."
)
_CROP = flags.DEFINE_float(
    "crop_seconds", DataSettings().crop_seconds, "Excerpts that training takes."
)


def run() -> None:
    """The command, as `python -m sep.data` calls it."""
    cli.launch(main)


def main(argv: list[str]) -> int:
    """What the command does once its flags are parsed."""
    if len(argv) != 2:
        raise UserError("one folder is wanted: python -m sep.data check DATA")

    from sep.data import check, folders, rooms
    from sep.runtime.progress import progress_bar

    data = Path(argv[1])
    if not os.path.isdir(data):
        raise UserError(f"{data}: no such folder")
    sources = _SOURCES.value or check.sources_of(data)
    indices, missing = {}, []
    for split in folders.SPLITS:
        try:
            if split in check.NEEDED or (data / split).exists():
                indices[split] = folders.index_of(data / split, sources)
        except UserError as error:
            missing.append(str(error))
    try:
        seconds = DataSettings().room_seconds
        rooms.load(data / "rooms", ModelSettings().sample_rate, seconds)
    except UserError as error:
        missing.append(str(error))
    paths = dict.fromkeys(
        path for index in indices.values() for name in sources for path in index.files(name)
    )
    progress = progress_bar(paths, "reading", unit="file", delay=1, leave=False)
    summary = check.summarise(
        indices,
        {path: check.examine(path) for path in progress},
        crop_seconds=_CROP.value,
        missing_is_silence=_MISSING.value,
    )
    summary.errors[:0] = missing
    print(check.table(summary), end="\n\n")
    for kind in ("errors", "warnings", "notes"):
        for line in getattr(summary, kind):
            print(f"{kind[:-1]}: {line}")
    if summary.errors:
        print(f"training would fail: {summary.errors[0]}")
    elif _STRICT.value and summary.warnings:
        print(f"not good enough under --strict: {summary.warnings[0]}")
    else:
        print(f"ready to train: {', '.join(sources)}")
    return int(bool(summary.errors or (_STRICT.value and summary.warnings)))
