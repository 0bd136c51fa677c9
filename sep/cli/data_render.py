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

import csv
import functools
import hashlib
import itertools
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from absl import flags
from tqdm import tqdm

import sep
from sep import audio, cli, processes
from sep.data.folders import SPLITS
from sep.data.rendering.manifests import MANIFEST, read_manifest
from sep.errors import UserError
from sep.files import replacing

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
ROOM_SECONDS = 2.0  # kept of an impulse response
_ROOMS = flags.DEFINE_string(
    "rooms", None, f"Folder of impulse responses, cut to {ROOM_SECONDS:g} s; none: dry."
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

COLUMNS = ("piece", "source", "seed", "score", "instrument", "licence", "seconds", "sha256")


class Settings(NamedTuple):
    """What every process needs to know."""

    out: Path
    catalogue: dict
    rooms: Path | None
    options: tuple
    mixture: bool
    seed: int
    identity: str  # of all that shapes the pieces


class Piece(NamedTuple):
    """One piece to make."""

    number: int
    name: str
    score: Path | None  # None: to be composed


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
        from sep.data.rendering import instruments, pieces, scores
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
    settings = Settings(
        Path(_OUT.value), catalogue, rooms, options, _MIXTURE.value, _SEED.value, identity
    )
    found = scores.find(_SCORES.value)
    if found and _SPLIT.value:
        found = [path for path in found if scores.split_of(path) == _SPLIT.value]
        if not found:
            raise UserError(f"--scores: none of them is for the split {_SPLIT.value}")
    wanted = plan(found, _PIECES.value, _COMPOSED.value, _SEED.value)
    missing = [p for p in wanted if not is_made(settings, p)]
    refuse_others(settings.out, wanted)
    refuse_twins(settings, missing)
    failed = render_all(settings, missing)
    made = [p for p in wanted if is_made(settings, p)]
    if not made:
        raise UserError(f"{settings.out}: nothing could be rendered")
    rows = collect(settings.out, made)
    print(summary(rows))
    print(f"{len(made)} pieces in {settings.out}" + f", {failed} skipped" * bool(failed))
    return 0


def plan(found: list[Path], count: int | None, composed: float, seed: int) -> list[Piece]:
    """The pieces of a set: scores in random order, again and again, some composed."""
    rng = np.random.default_rng(seed)
    order, wanted = iter(()), []
    if found:  # one permutation after another, so that a longer set begins like a shorter
        order = (found[i] for _ in itertools.count() for i in rng.permutation(len(found)))
        order = itertools.chain([next(order)], order)
    for number in range(count or len(found) or 100):
        score = next(order) if found and rng.random() >= composed else None
        name = f"{number:05d}-{score.stem[:80] if score else 'composed'}"
        wanted.append(Piece(number, name, score))
    return wanted


def is_made(settings: Settings, piece: Piece) -> bool:
    """Whether a piece is there whole.

    Raises:
      UserError: it was rendered in another way.
    """
    path = settings.out / piece.name / MANIFEST
    if not path.exists():
        return False
    manifest = read_manifest(path)
    if manifest["settings"] != settings.identity:
        raise UserError(
            f"{path.parent}: was rendered with other instruments, seed or settings; "
            "choose another --out, or delete it"
        )
    files = [*manifest["sources"], *["mixture"] * settings.mixture]
    return all((path.parent / f"{name}.flac").exists() for name in files)


def refuse_others(out: Path, wanted: list[Piece]) -> None:
    """Lest a folder have pieces of two sets: of two splits, say.

    Raises:
      UserError: it has a piece whose number is that of another one in the plan.
    """
    names = {f"{piece.number:05d}": piece.name for piece in wanted}
    for path in sorted(out.glob(f"*/{MANIFEST}")):
        found = path.parent.name
        if names.get(found.partition("-")[0], found) != found:
            raise UserError(
                f"{path.parent}: is of another set (other --scores, --split, --composed "
                "or --pieces); choose another --out, or delete it"
            )


def refuse_twins(settings: Settings, missing: list[Piece]) -> None:
    """Lest two splits of DATA, DATA/train and DATA/valid, have the same composed pieces.

    Raises:
      UserError: the other has one of the same seed and number.
    """
    out = settings.out.resolve()
    others = [out.with_name(split) for split in SPLITS if split != out.name]
    composed = [piece for piece in missing if not piece.score and out.name in SPLITS]
    for other, piece in itertools.product(others, composed):
        path = other / piece.name / MANIFEST
        if path.exists() and read_manifest(path).get("seed") == settings.seed:
            raise UserError(
                f"{path.parent}: is the same composed piece; choose another --seed"
            )


def render_all(settings: Settings, wanted: list[Piece]) -> int:
    """Renders in parallel; tells of those that cannot be, and how many they were."""
    failed = 0
    calls = [(settings, piece) for piece in wanted]
    for trouble in processes.results(
        render_one, calls, _JOBS.value, doing="rendering", unit="piece"
    ):
        if trouble:
            failed += 1
            tqdm.write(f"skipped: {trouble}", file=sys.stderr)
    return failed


def render_one(settings: Settings, piece: Piece) -> str | None:
    """Renders and writes one piece; says why if it cannot be."""
    from sep.data.rendering import RATE, etudes, pieces, scores

    rng = np.random.default_rng([settings.seed, piece.number])
    seconds = settings.options.seconds
    try:
        parts = scores.read(piece.score) if piece.score else etudes.duet(rng, seconds)
        rooms_RL = rooms_in(settings.rooms) if settings.rooms else ()
        stems = pieces.render(rng, parts, settings.catalogue, rooms_RL, settings.options)
    except UserError as error:
        return f"{piece.name}: {error}"
    except Exception as error:  # a strange score must not end a night's rendering
        return f"{piece.name}: unexpected {type(error).__name__}: {error}"
    folder = settings.out / piece.name
    facts = {}
    for source, stem in stems.items():
        path = folder / f"{source}.flac"
        audio.write(path, stem.wave_CT, RATE)
        facts[source] = {
            "instrument": stem.instrument.name,
            "licence": stem.instrument.licence,
            "seconds": round(stem.wave_CT.shape[1] / RATE, 3),
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "tuning_cents": round(stem.tuning, 2),
            "notes": [  # onset and duration in seconds, MIDI key, velocity
                [round(float(n["onset"]), 4), round(float(n["duration"]), 4)]
                + [int(n["pitch"]), int(n["velocity"])]
                for n in stem.notes
            ],
        }
    mixture = {}
    if settings.mixture:  # the files sum exactly
        path = folder / "mixture.flac"
        audio.write(path, sum(stem.wave_CT for stem in stems.values()), RATE)
        mixture = {"mixture_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    manifest = {
        "piece": piece.name,
        "seed": settings.seed,
        "score": piece.score.name if piece.score else "composed",
        "settings": settings.identity,
        "version": sep.__version__,
        "sources": facts,
    } | mixture
    with replacing(folder / MANIFEST) as part:
        part.write_text(json.dumps(manifest) + "\n")
    return None


@functools.cache
def rooms_in(folder: Path) -> np.ndarray:
    """Their impulse responses (R, L), read once a process."""
    from sep.data import rooms
    from sep.data.rendering import RATE

    return rooms.load(folder, RATE, seconds=ROOM_SECONDS)


def collect(out: Path, made: list[Piece]) -> list[dict]:
    """One row for each stem, also written to OUT/manifest.csv."""
    rows = []
    for piece in made:
        manifest = read_manifest(out / piece.name / MANIFEST)
        for source, facts in manifest["sources"].items():
            known = {"source": source, **manifest, **facts}
            rows.append({column: known[column] for column in COLUMNS})
    with (  # names of scores need not be UTF-8
        replacing(out / "manifest.csv") as part,
        part.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(rows)
    return rows


def summary(rows: list[dict]) -> str:
    """What was rendered, instrument by instrument."""
    minutes, count = Counter(), Counter()
    for row in rows:
        minutes[row["source"], row["instrument"], row["licence"]] += row["seconds"] / 60
        count[row["source"], row["instrument"], row["licence"]] += 1
    lines = [f"{'source':8} {'instrument':24} {'pieces':>6} {'minutes':>8}  licence"]
    for (source, name, licence), total in sorted(minutes.items()):
        pieces_of = count[source, name, licence]
        lines.append(f"{source:8} {name:24} {pieces_of:6} {total:8.1f}  {licence}")
    return "\n".join(lines)
