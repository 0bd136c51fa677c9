"""Separates recordings into their instruments.

  python separate.py concerto.flac              -> separated/concerto/{piano,violin}.wav
  python separate.py --out=STEMS recordings/    -> STEMS/<name>/{piano,violin}.wav

Files of any rate, length and number of channels that libsndfile reads (WAV, FLAC, OGG,
MP3, AIFF, ...) or folders of them. Stems have the recording's rate, channels and exact
length, and add up to it. They appear whole or not at all; recordings are only read.
"""

import os
import signal
import sys
from collections import Counter
from pathlib import Path

from absl import flags

from sep import cli
from sep.errors import UserError

_MODEL = flags.DEFINE_string(
    "model",
    "duet",
    "A bundled model, a release file (.safetensors) or a training workdir.",
)
_OUT = flags.DEFINE_string("out", "separated", "Folder for the stems.")
_SUBTYPE = flags.DEFINE_enum(
    "subtype",
    "FLOAT",
    ["FLOAT", "PCM_24", "PCM_16"],
    "Sample format of the stems. FLOAT never clips; a stem can be louder than its mixture.",
)


def run() -> None:
    """The command, as `separate.py` and sep-separate call it."""
    cli.launch(main)


def main(argv: list[str]) -> int:
    """What the command does once its flags are parsed."""
    if len(argv) < 2 or "" in argv:
        raise UserError("no recording given; name files or folders, or see --help")
    out = Path(_OUT.value)
    tasks = plan_outputs([Path(name) for name in argv[1:]], out)

    # Slow imports, after the flags have been checked.
    from tqdm import tqdm

    from sep.checkpoints import load_model
    from sep.inference import Separation

    separation = Separation(load_model(_MODEL.value))
    recordings = {recording.resolve() for recording, _ in tasks}
    for _, folder in tasks:
        for name in separation.names:
            if (stem := (folder / f"{name}.wav").resolve()) in recordings:
                raise UserError(f"{stem}: would be overwritten; choose another --out")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and no files half written
    failed = 0
    for recording, folder in tqdm(tasks, unit="file", disable=len(tasks) < 2):
        try:
            separation.to_files(recording, folder, _SUBTYPE.value)
        except UserError as error:
            failed += 1
            tqdm.write(f"error: {error}", file=sys.stderr)
        else:
            tqdm.write(f"{recording} -> {folder}")
    if failed and len(tasks) > 1:
        raise UserError(f"{failed} of {len(tasks)} recordings could not be separated")
    return min(failed, 1)


def plan_outputs(inputs: list[Path], out: Path) -> list[tuple[Path, Path]]:
    """Each recording with the folder for its stems; no two share one.

    A recording is named after its file, in a folder also after its place there. Where
    that is the same for two, the suffix stays, and then a number is added.

    Raises:
      UserError: a folder holds no sound files, or is `out` itself.
    """
    from sep import audio

    stems = out.resolve()
    found: list[tuple[Path, Path]] = []  # recordings, and their places under a folder
    for given in inputs:
        if not os.path.isdir(given):  # the method raises where it may not look
            found.append((given, Path(given.name)))
            continue
        inside = audio.find(given)
        if stems == given.resolve():
            raise UserError(
                f"{given}: stems would mix with recordings; choose another --out"
            )
        if stems.is_relative_to(given.resolve()):  # some of an earlier run may be there
            inside = [p for p in inside if not p.resolve().is_relative_to(stems)]
        if not inside:
            raise UserError(f"{given}: no sound files in this folder")
        found += [(path, path.relative_to(given)) for path in inside]
    found = list(dict.fromkeys(found))
    shared = Counter(place.with_suffix("") for _, place in found)
    taken: set[Path] = set()
    tasks = []
    for recording, place in found:
        plain = place.with_suffix("")
        wanted = plain if shared[plain] == 1 else place
        folder, number = wanted, 2
        while folder in taken:
            folder, number = wanted.with_name(f"{wanted.name} ({number})"), number + 1
        taken.add(folder)
        tasks.append((recording, out / folder))
    return tasks
