"""Renders datasets: plans the pieces, renders those that are missing, lists the result.

Each piece is a folder with a stem of each source and manifest.json.
"""

import csv
import functools
import hashlib
import itertools
import json
import operator
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

import sep
from sep import audio
from sep.data import rooms
from sep.data.folders import SPLITS
from sep.errors import UserError
from sep.rendering import RATE, ROOM_SECONDS, etudes, pieces, scores
from sep.rendering.instruments import Instrument
from sep.rendering.manifests import MANIFEST, check_manifest, read_manifest
from sep.rendering.pieces import PieceOptions, RenderedStem
from sep.runtime import processes
from sep.runtime.files import replacing
from sep.runtime.record import Record

COLUMNS = ("piece", "source", "seed", "score", "instrument", "licence", "seconds", "sha256")
_COMPOSED_PIECES = 100  # of a dataset without scores, if no number is given


class RenderOptions(NamedTuple):
    """Options of a dataset, as every process needs them."""

    out: Path
    catalogue: Mapping[str, Sequence[Instrument]]
    rooms: Path | None  # folder of impulse responses; None: no reverberation
    piece_options: PieceOptions
    mixture: bool  # whether to write the sum of the stems too
    seed: int
    identity: str  # hash of all that shapes the pieces


class PlannedPiece(NamedTuple):
    """One piece of a dataset."""

    number: int
    name: str
    score: Path | None  # None: to be composed


def prepare(
    out: Path,
    catalogue: Mapping[str, Sequence[Instrument]],
    room_folder: Path | None,
    piece_options: PieceOptions,
    *,
    mixture: bool,
    seed: int,
) -> RenderOptions:
    """Returns the options of a dataset, with their hash.

    Raises:
      UserError: there are no impulse responses in `room_folder`.
    """
    room_files: list[list[Any]] | str = "None"
    if room_folder:
        if not (room_folder.is_dir() and (found := audio.find(room_folder))):
            raise UserError(
                f"{room_folder}: no folder with impulse responses; leave --rooms out for "
                "dry stems"
            )
        room_files = [[path.name, path.stat().st_size] for path in found]
    # Without paths: a dataset may be continued where its instruments lie elsewhere.
    entries = [
        [*entry._replace(path=None)] for kind in catalogue.values() for entry in kind
    ]
    shaping = [sep.__version__, seed, piece_options, entries, room_files]
    identity = hashlib.sha256(json.dumps(shaping).encode()).hexdigest()[:16]
    return RenderOptions(
        out, catalogue, room_folder, piece_options, mixture, seed, identity
    )


def find_scores(names: Sequence[str], split: str | None) -> list[Path]:
    """Returns the scores among files and folders, of one split or of all.

    Raises:
      UserError: a path has no scores, or none belongs to the split.
    """
    found = scores.find(names)
    if not found or not split:
        return found
    chosen = [path for path in found if scores.split_of(path) == split]
    if not chosen:
        raise UserError(f"--scores: no score belongs to the split {split}; give others")
    return chosen


def plan(
    found: Sequence[Path], count: int | None, composed: float, seed: int
) -> list[PlannedPiece]:
    """Plans the pieces of a dataset: scores in random order, repeatedly, and compositions.

    Args:
      found: the scores.
      count: number of pieces; None: one for each score.
      composed: share of pieces that are composed in any case.
      seed: seed of the order. A longer dataset begins like a shorter one.
    """
    rng = np.random.default_rng(seed)
    order = [*rng.permutation(len(found))] if found else []
    planned = []
    for number in range(count or len(found) or _COMPOSED_PIECES):
        score = None
        if found and rng.random() >= composed:
            order = order or [*rng.permutation(len(found))]
            score = found[order.pop(0)]
        name = f"{number:05d}-{score.stem[:80] if score else 'composed'}"
        planned.append(PlannedPiece(number, name, score))
    return planned


def record(options: RenderOptions, piece: PlannedPiece) -> Record:
    """The record of a piece: its manifest."""

    def compare(before: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
        check_manifest(before)
        return [] if before["settings"] == asked["settings"] else ["other settings"]

    path = options.out / piece.name / MANIFEST
    return Record(path, {"settings": options.identity}, compare)


def is_made(options: RenderOptions, piece: PlannedPiece) -> bool:
    """Whether a piece is complete.

    Raises:
      UserError: it was rendered with other options.
    """
    made = record(options, piece)
    manifest = made.claim(
        "was rendered with other instruments, seed or settings",
        "choose another --out, or delete it",
        "the manifest of a piece",
    )
    if manifest is None:
        return False
    files = [*manifest["sources"], *["mixture"] * options.mixture]
    return all((made.path.parent / f"{name}.flac").exists() for name in files)


def refuse_other_plan(out: Path, planned: Sequence[PlannedPiece]) -> None:
    """Checks that a folder has no pieces of another plan, such as those of another split.

    Raises:
      UserError: it has a piece with the number, but not the name, of a planned one.
    """
    names = {f"{piece.number:05d}": piece.name for piece in planned}
    for path in sorted(out.glob(f"*/{MANIFEST}")):
        found = path.parent.name
        if names.get(found.partition("-")[0], found) != found:
            raise UserError(
                f"{path.parent}: is of another set (other --scores, --split, --composed "
                "or --pieces); choose another --out, or delete it"
            )


def refuse_duplicates(options: RenderOptions, missing: Sequence[PlannedPiece]) -> None:
    """Checks that no composed piece is also in another split, such as DATA/valid.

    Raises:
      UserError: another split has one of the same seed and number.
    """
    out = options.out.resolve()
    others = [out.with_name(split) for split in SPLITS if split != out.name]
    composed = [piece for piece in missing if not piece.score and out.name in SPLITS]
    for other, piece in itertools.product(others, composed):
        path = other / piece.name / MANIFEST
        if path.exists() and read_manifest(path).get("seed") == options.seed:
            raise UserError(
                f"{path.parent}: is the same composed piece; choose another --seed"
            )


def render_missing(
    options: RenderOptions, planned: Sequence[PlannedPiece], jobs: int
) -> tuple[list[PlannedPiece], int]:
    """Renders the planned pieces that are not complete, in parallel.

    Prints a line for each piece that cannot be rendered.

    Returns:
      The complete pieces, and how many could not be rendered.

    Raises:
      UserError: the folder has pieces of another plan or with other options, another split
        has the same composed pieces, or no piece could be rendered.
    """
    missing = [piece for piece in planned if not is_made(options, piece)]
    refuse_other_plan(options.out, planned)
    refuse_duplicates(options, missing)
    failed = 0
    calls = [(options, piece) for piece in missing]
    for fault in processes.results(
        render_one, calls, jobs, doing="rendering", unit="piece"
    ):
        if fault:
            failed += 1
            tqdm.write(f"skipped: {fault}", file=sys.stderr)
    made = [piece for piece in planned if is_made(options, piece)]
    if not made:
        raise UserError(f"{options.out}: no piece could be rendered; see the lines above")
    return made, failed


def render_one(options: RenderOptions, piece: PlannedPiece) -> str | None:
    """Renders and writes one piece; returns a message if that is not possible."""
    rng = np.random.default_rng([options.seed, piece.number])
    seconds = options.piece_options.seconds
    try:
        parts = scores.read(piece.score) if piece.score else etudes.duet(rng, seconds)
        rooms_RL = rooms_in(options.rooms) if options.rooms else np.zeros((0, 0))
        stems = pieces.render(
            rng, parts, options.catalogue, rooms_RL, options.piece_options
        )
    except UserError as error:
        return f"{piece.name}: {error}"
    except Exception as error:  # one unusual score must not end the whole rendering
        return f"{piece.name}: unexpected {type(error).__name__}: {error}"
    folder = options.out / piece.name
    manifest = {
        "piece": piece.name,
        "seed": options.seed,
        "score": piece.score.name if piece.score else "composed",
        "settings": options.identity,
        "version": sep.__version__,
        "sources": {
            source: _facts(stem, _write(folder, source, stem.wave_CT))
            for source, stem in stems.items()
        },
    }
    if options.mixture:  # the integers of the files sum exactly
        waves = [stem.wave_CT for stem in stems.values()]
        mixture_CT = functools.reduce(operator.add, waves)
        manifest["mixture_sha256"] = _write(folder, "mixture", mixture_CT)
    record(options, piece).write(manifest, indent=None)
    return None


@functools.cache
def rooms_in(folder: Path) -> np.ndarray:
    """Reads the impulse responses of a folder (R, L), once in each process."""
    return rooms.load(folder, RATE, seconds=ROOM_SECONDS)


def _write(folder: Path, name: str, wave_CT: np.ndarray) -> str:
    """Writes FOLDER/NAME.flac, and returns the file's hash."""
    path = folder / f"{name}.flac"
    audio.write(path, wave_CT, RATE)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _facts(stem: RenderedStem, sha256: str) -> dict[str, Any]:
    """Returns the manifest's entry for a stem."""
    return {
        "instrument": stem.instrument.name,
        "licence": stem.instrument.licence,
        "seconds": round(stem.wave_CT.shape[1] / RATE, 3),
        "sha256": sha256,
        "tuning_cents": round(stem.tuning, 2),
        "notes": [  # onset and duration in seconds, MIDI key, velocity
            [round(float(n["onset"]), 4), round(float(n["duration"]), 4)]
            + [int(n["pitch"]), int(n["velocity"])]
            for n in stem.notes
        ],
    }


def collect(out: Path, made: Sequence[PlannedPiece]) -> list[dict[str, Any]]:
    """Writes OUT/manifest.csv, with one row for each stem; returns the rows."""
    rows = []
    for piece in made:
        manifest = read_manifest(out / piece.name / MANIFEST)
        for source, facts in manifest["sources"].items():
            fields = {"source": source, **manifest, **facts}
            rows.append({column: fields[column] for column in COLUMNS})
    with (  # names of scores need not be UTF-8
        replacing(out / "manifest.csv") as part,
        part.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(rows)
    return rows


def summary(rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns a table of pieces and minutes of each instrument."""
    minutes: Counter[tuple[str, str, str]] = Counter()
    count: Counter[tuple[str, str, str]] = Counter()
    for row in rows:
        minutes[row["source"], row["instrument"], row["licence"]] += row["seconds"] / 60
        count[row["source"], row["instrument"], row["licence"]] += 1
    lines = [f"{'source':8} {'instrument':24} {'pieces':>6} {'minutes':>8}  licence"]
    for key, total in sorted(minutes.items()):
        source, name, licence = key
        lines.append(f"{source:8} {name:24} {count[key]:6} {total:8.1f}  {licence}")
    return "\n".join(lines)
