"""Reads MusicXML and MIDI scores: the notes of a melody and of a piano.

A score is a melody with piano: a song (the violin takes the voice line), a sonata.
"""

import codecs
import html
import os
import re
import unicodedata
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sep.errors import UserError
from sep.rendering.performance import note_array

SUFFIXES = (".mxl", ".musicxml", ".xml", ".mid", ".midi")
HELD_OUT = ("Schubert", "Schumann", "Fauré", "Brahms")  # composers of test sets only
CLARA = re.compile(r"\bclara\b|\bc\. ?schumann\b|\bschumann, ?c\.")  # is not held out
_VALID_EVERY = 30  # of the other scores, one in so many is for validation
_NO_TEMPO = 90  # quarters a minute, where a score has no metronome mark


def find(names: Sequence[str]) -> list[Path]:
    """Returns files as they are, and for each folder the scores below it.

    Raises:
      UserError: a path does not exist, or contains no score.
    """
    found: list[Path] = []
    for path in map(Path, names):
        if not path.exists():
            raise UserError(f"{path}: no such score or folder of scores")
        candidates = sorted(path.rglob("*")) if path.is_dir() else [path]
        scores = [p for p in candidates if p.suffix.lower() in SUFFIXES]
        if not scores:
            raise UserError(f"{path}: no scores here; known are {' '.join(SUFFIXES)}")
        found += scores
    return found


def split_of(path: Path) -> str:
    """Returns the split of a score: test if its composer is held out.

    Where the file names no composer, its name and its folder's name are searched for one.
    Other scores are divided between train and valid by the file's name.
    """
    if is_held_out(composer(path) or f"{path.parent.name} {path.stem}".replace("_", " ")):
        return "test"
    return "train" if zlib.crc32(os.fsencode(path.name)) % _VALID_EVERY else "valid"


def is_held_out(name: str) -> bool:
    """Whether a name contains one of `HELD_OUT`, in any spelling."""
    found = words(name)
    composers = {last for last in HELD_OUT if words(last) <= found}
    if CLARA.search(html.unescape(name).casefold()):
        composers.discard("Schumann")
    return bool(composers)


def words(name: str) -> set[str]:
    """Returns the words of a name, case-folded and without accents."""
    plain = unicodedata.normalize("NFKD", html.unescape(name)).casefold()
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return set(re.findall(r"\w+", plain))


def composer(path: Path) -> str:
    """Returns the composer that a MusicXML file names near its beginning, or ""."""
    try:
        if path.suffix.lower() == ".mxl":
            with zipfile.ZipFile(path) as archive:
                names = [n for n in archive.namelist() if not n.startswith("META-INF")]
                scores = [n for n in names if n.lower().endswith((".xml", ".musicxml"))]
                with archive.open(scores[0]) as file:
                    head = file.read(8192)
        else:
            with path.open("rb") as file:
                head = file.read(8192)
    except (OSError, EOFError, IndexError, RuntimeError, zipfile.BadZipFile, zlib.error):
        return ""  # `read` will report the fault
    is_utf16 = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = head.decode("utf-16" if is_utf16 else "utf-8", errors="replace")
    found = re.search(r"""<creator\s[^>]*type=["']composer["'][^>]*>(.*?)<""", text)
    return found[1] if found else ""


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Reads the notes of the melody and of the piano; the first begins at 0.

    Raises:
      UserError: the file is not a score, or has no melody with piano.
    """
    parts, tables = _load(path)
    to_seconds = tempo_map(parts)
    is_named = any(is_called_piano(part) for part in parts)
    pianos, melodies = [], []
    for part, table in zip(parts, tables, strict=True):
        if is_called_piano(part) if is_named else has_chords(table):
            pianos += rows(table, to_seconds)
        elif len(table):  # a second voice is a variant, or another singer
            first_voice = table[table["voice"] == table["voice"].min()]
            melodies.append(rows(first_voice, to_seconds))
    if not pianos or not melodies:
        raise UserError(f"{path}: no playable melody with piano in this score")
    melody, piano = note_array(max(melodies, key=len)), note_array(pianos)
    # Both hands may have the same key at once: strike it once.
    _, once = np.unique(piano[["onset", "pitch"]], return_index=True)
    piano = piano[once]
    first = min(melody["onset"][0], piano["onset"][0])
    for notes in (melody, piano):
        notes["onset"] -= first
    return melody, piano


def _load(path: Path) -> tuple[list[Any], list[np.ndarray]]:
    """Reads a score's parts, and partitura's table of notes of each.

    Raises:
      UserError: the file is not a score, or partitura is not installed.
    """
    try:
        with warnings.catch_warnings(action="ignore"):
            import partitura  # takes a second to import, and raises warnings

            parts = partitura.load_score(str(path)).parts
            options = {"include_staff": True, "include_grace_notes": True}
            return parts, [part.note_array(**options) for part in parts]
    except ImportError as error:
        raise UserError(
            f"{path}: reading scores needs {error.name}: pip install '.[render]'"
        ) from None
    except Exception as error:  # parsers raise many kinds for a corrupt file
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{path}: cannot be read as a score ({reason})") from None


def is_called_piano(part: Any) -> bool:
    """Whether a part's name is that of a piano, in the languages of scores."""
    return (part.part_name or "").lower().startswith(("pian", "klav", "fortep"))


def has_chords(table: np.ndarray) -> bool:
    """Whether a part has chords or two staves: a piano, where no part is named one."""
    if not len(table):
        return False
    return len(table) > 1.3 * len(np.unique(table["onset_div"])) or max(table["staff"]) > 1


def tempo_map(parts: Sequence[Any]) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function from quarters to seconds, by the score's metronome marks."""
    import partitura

    tempos = {
        float(part.quarter_map(mark.start.t)): mark.bpm
        for part in parts
        for mark in part.iter_all(partitura.score.Tempo)
    }
    begin, bpm = np.array(sorted(tempos.items()) or [(0, _NO_TEMPO)]).T
    quarters = np.r_[-1e3, begin[1:], 1e5]
    seconds = np.r_[0, np.cumsum(np.diff(quarters) * 60 / bpm)]
    return lambda quarter: np.interp(quarter, quarters, seconds)


def rows(
    table: np.ndarray, to_seconds: Callable[[np.ndarray], np.ndarray]
) -> list[tuple[float, float, int]]:
    """Returns (onset, duration, pitch) of each note, in seconds."""
    onset = to_seconds(table["onset_quarter"])
    end = to_seconds(table["onset_quarter"] + table["duration_quarter"])
    duration = np.maximum(end - onset, 0.07)  # grace notes have none
    return [*zip(onset, duration, table["pitch"], strict=True)]


def cut(parts: Sequence[np.ndarray], start: float, seconds: float) -> list[np.ndarray]:
    """Returns the notes that begin in a window, with onsets from its beginning."""
    kept = [p[(p["onset"] >= start) & (p["onset"] < start + seconds)] for p in parts]
    for notes in kept:
        notes["onset"] -= start
    return kept


def busy_start(
    rng: np.random.Generator, parts: Sequence[np.ndarray], seconds: float
) -> float:
    """Draws four places, and returns the one where the quieter part plays the most."""
    onsets = parts[0]["onset"]
    starts = rng.choice(onsets[onsets <= max(onsets[-1] - seconds, onsets[0])], 4)
    sounding = [min(p["duration"].sum() for p in cut(parts, s, seconds)) for s in starts]
    return starts[np.argmax(sounding)] - 0.1
