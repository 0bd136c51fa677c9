"""Renders training material: scores played on sampled or computed instruments.

  python -m sep.data render --instruments=INSTRUMENTS.toml --out=DATA/train --pieces=200

Every piece becomes a folder OUT/<piece>/ with piano.flac, violin.flac (44.1 kHz stereo,
in time with each other) and manifest.json: seed, score, instruments, licences, hashes, the
notes as played. Instruments, place in the score, timing, dynamics, bowing, vibrato, pedal
and tuning are drawn anew for each piece, from the seed and the piece's number: the same
command makes the same files, and goes on where an interrupted one stopped.

Scores are MusicXML or MIDI with a melody and a piano; without any, pieces are composed. For
DATA/valid give another --seed: composed pieces of the same one are the same.
"""

import hashlib
import json
import os
from pathlib import Path

from absl import flags

import sep
from sep import audio, cli
from sep.data.folders import SPLITS
from sep.errors import UserError
from sep.rendering import dataset

_OUT = flags.DEFINE_string("out", None, "Folder to write to.", required=True)
_INSTRUMENTS = flags.DEFINE_string(
    "instruments", None, "Catalogue of instruments; see configs/instruments.", required=True
)
_ROOT = flags.DEFINE_string(
    "instruments_root", None, "Folder its paths start from; default: beside it."
)
_SCORES = flags.DEFINE_list("scores", [], "Scores, or folders of them; none: composed.")
_SPLIT = flags.DEFINE_enum(
    "split",
    None,
    SPLITS,
    "Take only the scores of one split: test has those by held-out composers (Schubert,"
    " Robert Schumann, Fauré, Brahms), train and valid share the others by name.",
)
_COMPOSED = flags.DEFINE_float(
    "composed", 0.3, "Share of pieces composed all the same.", 0, 1
)
_ROOMS = flags.DEFINE_string(
    "rooms",
    None,
    f"Folder of impulse responses, cut to {dataset.ROOM_SECONDS:g} s; none: dry.",
)
_PIECES = flags.DEFINE_integer("pieces", None, "How many; default: one a score, or 100.")
_SECONDS = flags.DEFINE_float("seconds", 40, "Longest piece, in seconds.")
_START = flags.DEFINE_float("start", None, "Second of the score; default: anywhere.", 0)
_VARIETY = flags.DEFINE_float(
    "variety",
    0.6,
    "Share of pieces transposed and arranged: the violin an octave up, in double stops or"
    " fast figures. 0: all as written.",
    0,
    1,
)
_LEVEL_DB = flags.DEFINE_float(
    "level_db", 3, "Each stem is louder or softer by up to this."
)
_MIXTURE = flags.DEFINE_boolean("mixture", False, "Also write the sum: a test set.")
_SEED = flags.DEFINE_integer("seed", 0, "Another seed, other pieces.", lower_bound=0)
_JOBS = flags.DEFINE_integer("jobs", os.cpu_count(), "Processes that render.")


def run() -> None:
    """The command."""
    cli.launch(main)


def main(argv: list[str]) -> int:
    """Finds what there is to do, has it done, and tells what was made."""
    cli.expect_no_arguments(argv)
    if _PIECES.value is not None and _PIECES.value < 1 or _JOBS.value < 1:
        raise UserError("--pieces and --jobs must be at least 1")
    if not 1 <= _SECONDS.value <= 3600:
        raise UserError("--seconds must be from 1 to 3600")
    try:
        from sep.rendering import instruments, pieces, scores
    except ImportError as error:
        raise UserError(
            f"rendering needs {error.name}: pip install '.[render]' in Sep's folder"
        ) from None
    listed = Path(_INSTRUMENTS.value)
    catalogue = instruments.catalogue(listed, Path(_ROOT.value or listed.parent))
    options = pieces.Options(_SECONDS.value, _START.value, _VARIETY.value, _LEVEL_DB.value)
    rooms = Path(_ROOMS.value) if _ROOMS.value else None
    if rooms and not (rooms.is_dir() and audio.find(rooms)):
        raise UserError(f"{rooms}: no such folder of impulse responses, or none in it")
    entries = [
        [*entry._replace(path=None)] for kind in catalogue.values() for entry in kind
    ]
    heard = [[p.name, p.stat().st_size] for p in audio.find(rooms)] if rooms else "None"
    shaping = [sep.__version__, _SEED.value, options, entries, heard]
    identity = hashlib.sha256(json.dumps(shaping).encode()).hexdigest()[:16]
    settings = dataset.Settings(
        Path(_OUT.value), catalogue, rooms, options, _MIXTURE.value, _SEED.value, identity
    )
    found = scores.find(_SCORES.value)
    if found and _SPLIT.value:
        found = [path for path in found if scores.split_of(path) == _SPLIT.value]
        if not found:
            raise UserError(f"--scores: none of them is for the split {_SPLIT.value}")
    wanted = dataset.plan(found, _PIECES.value, _COMPOSED.value, _SEED.value)
    missing = [p for p in wanted if not dataset.is_made(settings, p)]
    dataset.refuse_others(settings.out, wanted)
    dataset.refuse_twins(settings, missing)
    failed = dataset.render_all(settings, missing, _JOBS.value)
    made = [p for p in wanted if dataset.is_made(settings, p)]
    if not made:
        raise UserError(f"{settings.out}: nothing could be rendered")
    rows = dataset.collect(settings.out, made)
    print(dataset.summary(rows))
    print(f"{len(made)} pieces in {settings.out}" + f", {failed} skipped" * bool(failed))
    return 0
