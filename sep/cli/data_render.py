"""Renders training material: plays scores on sampled or computed instruments.

  python -m sep.data render --instruments=INSTRUMENTS.toml --out=DATA/train --pieces=200

Each piece becomes a folder OUT/<piece>/ with piano.flac, violin.flac (44.1 kHz stereo, in
time with each other) and manifest.json: seed, score, instruments, licences, hashes, and the
notes as played. Instruments, place in the score, timing, dynamics, bowing, vibrato, pedal
and tuning are drawn for each piece, from the seed and the piece's number. The same command
makes the same files, and continues where an interrupted one stopped.

Scores are MusicXML or MIDI with a melody and a piano; without any, pieces are composed. Use
another --seed for DATA/valid: a seed determines the composed pieces.
"""

import os
from pathlib import Path

from absl import flags

from sep import cli
from sep.data.folders import SPLITS
from sep.errors import UserError
from sep.rendering import ROOM_SECONDS

_OUT = flags.DEFINE_string("out", None, "Folder to write to.", required=True)
_INSTRUMENTS = flags.DEFINE_string(
    "instruments", None, "Catalogue of instruments; see configs/instruments.", required=True
)
_ROOT = flags.DEFINE_string(
    "instruments_root",
    None,
    "Folder that paths in the catalogue are relative to; default: the catalogue's folder.",
)
_SCORES = flags.DEFINE_list(
    "scores", [], "Scores, or folders of them; default: every piece is composed."
)
_SPLIT = flags.DEFINE_enum(
    "split",
    None,
    SPLITS,
    "Use only the scores of one split: test has those by held-out composers (Schubert,"
    " Robert Schumann, Fauré, Brahms); train and valid divide the others by name.",
)
_COMPOSED = flags.DEFINE_float(
    "composed", 0.3, "Share of pieces that are composed although there are scores.", 0, 1
)
_ROOMS = flags.DEFINE_string(
    "rooms",
    None,
    f"Folder of impulse responses, cut to {ROOM_SECONDS:g} s; default: dry stems.",
)
_PIECES = flags.DEFINE_integer(
    "pieces", None, "Number of pieces; default: one for each score, or 100."
)
_SECONDS = flags.DEFINE_float("seconds", 40, "Longest piece, in seconds.")
_START = flags.DEFINE_float(
    "start", None, "Second of the score at which pieces begin; default: random.", 0
)
_VARIETY = flags.DEFINE_float(
    "variety",
    0.6,
    "Share of pieces transposed and arranged: the violin an octave up, in double stops or"
    " fast figures. 0: all as written.",
    0,
    1,
)
_LEVEL_DB = flags.DEFINE_float(
    "level_db", 3, "Each stem is louder or softer by up to this many dB."
)
_MIXTURE = flags.DEFINE_boolean(
    "mixture", False, "Also write the sum of the stems, as a test set needs."
)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of all random choices.", lower_bound=0)
_JOBS = flags.DEFINE_integer(
    "jobs", os.cpu_count() or 1, "Number of processes that render."
)


def run() -> None:
    """Runs the command, as `python -m sep.data` calls it."""
    cli.launch(main)


def main(argv: list[str]) -> None:
    """Renders the pieces that are missing, and prints a summary of all."""
    cli.expect_no_arguments(argv)
    if _PIECES.value is not None and _PIECES.value < 1 or _JOBS.value < 1:
        raise UserError("--pieces and --jobs must be at least 1")
    if not 1 <= _SECONDS.value <= 3600:
        raise UserError("--seconds must be from 1 to 3600")

    # Slow imports, after the flags have been checked.
    from sep.rendering import dataset, instruments, pieces

    listed = Path(_INSTRUMENTS.value)
    options = dataset.prepare(
        Path(_OUT.value),
        instruments.catalogue(listed, Path(_ROOT.value or listed.parent)),
        Path(_ROOMS.value) if _ROOMS.value else None,
        pieces.PieceOptions(_SECONDS.value, _START.value, _VARIETY.value, _LEVEL_DB.value),
        mixture=_MIXTURE.value,
        seed=_SEED.value,
    )
    found = dataset.find_scores(_SCORES.value, _SPLIT.value)
    planned = dataset.plan(found, _PIECES.value, _COMPOSED.value, _SEED.value)
    made, failed = dataset.render_missing(options, planned, _JOBS.value)
    print(dataset.summary(dataset.collect(options.out, made)))
    print(f"{len(made)} pieces in {options.out}" + f", {failed} skipped" * bool(failed))
