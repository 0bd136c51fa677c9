"""A rendered dataset: which pieces it has, which are made, and what they hold.

Every piece is a folder with a stem of each source and manifest.json.
"""

import csv
import functools
import hashlib
import itertools
import json
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

import sep
from sep import audio
from sep.data.folders import SPLITS
from sep.errors import UserError
from sep.rendering.manifests import MANIFEST, read_manifest
from sep.runtime import processes
from sep.runtime.files import replacing

COLUMNS = ("piece", "source", "seed", "score", "instrument", "licence", "seconds", "sha256")
ROOM_SECONDS = 2.0  # kept of an impulse response  # kept of an impulse response


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


def render_all(settings: Settings, wanted: list[Piece], jobs: int) -> int:
    """Renders in parallel; tells of those that cannot be, and how many they were."""
    failed = 0
    calls = [(settings, piece) for piece in wanted]
    for trouble in processes.results(
        render_one, calls, jobs, doing="rendering", unit="piece"
    ):
        if trouble:
            failed += 1
            tqdm.write(f"skipped: {trouble}", file=sys.stderr)
    return failed


def render_one(settings: Settings, piece: Piece) -> str | None:
    """Renders and writes one piece; says why if it cannot be."""
    from sep.rendering import RATE, etudes, pieces, scores

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
    from sep.rendering import RATE

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
