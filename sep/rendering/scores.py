"""MusicXML and MIDI to the notes of a melody and of a piano.

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
from pathlib import Path

import numpy as np

from sep.errors import UserError
from sep.rendering.performance import note_array

SUFFIXES = (".mxl", ".musicxml", ".xml", ".mid", ".midi")
# No score of theirs is ever trained on: test sets are theirs.
HELD_OUT = ("Schubert", "Schumann", "Fauré", "Brahms")
CLARA = re.compile(r"\bclara\b|\bc\. ?schumann\b|\bschumann, ?c\.")  # is not held out
_VALID_EVERY = 30  # of the other scores one is for validation


def find(names: list[str]) -> list[Path]:
    """Files as they are, folders as the scores in them.

    Raises:
      UserError: a name leads nowhere, or to no score.
    """
    found = []
    for path in map(Path, names):
        if not path.exists():
            raise UserError(f"{path}: no such score or folder of scores")
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        scores = [p for p in inside if p.suffix.lower() in SUFFIXES]
        if not scores:
            raise UserError(f"{path}: no scores here; known are {' '.join(SUFFIXES)}")
        found += scores
    return found


def split_of(path: Path) -> str:
    """The split that a score belongs to, by its composer, else by its file's name.

    Where it names no composer, its file's and its folder's name may.
    """
    if is_held_out(composer(path) or f"{path.parent.name} {path.stem}".replace("_", " ")):
        return "test"
    return "train" if zlib.crc32(os.fsencode(path.name)) % _VALID_EVERY else "valid"


def is_held_out(name: str) -> bool:
    """Whether it is of `HELD_OUT`, in whatever way it is written."""
    found = words(name)
    theirs = {last for last in HELD_OUT if words(last) <= found}
    if CLARA.search(html.unescape(name).casefold()):
        theirs.discard("Schumann")
    return bool(theirs)


def words(name: str) -> set[str]:
    """Those of a name, whatever its case, without accents."""
    plain = unicodedata.normalize("NFKD", html.unescape(name)).casefold()
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return set(re.findall(r"\w+", plain))


def composer(path: Path) -> str:
    """As a MusicXML file names them near its beginning; '' if it does not."""
    try:
        if path.suffix.lower() == ".mxl":
            with zipfile.ZipFile(path) as archive:
                inside = [n for n in archive.namelist() if not n.startswith("META-INF")]
                scores = [n for n in inside if n.lower().endswith((".xml", ".musicxml"))]
                with archive.open(scores[0]) as file:
                    head = file.read(8192)
        else:
            with path.open("rb") as file:
                head = file.read(8192)
    except (OSError, EOFError, IndexError, RuntimeError, zipfile.BadZipFile, zlib.error):
        return ""  # what is wrong with it shows when it is read
    wide = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = head.decode("utf-16" if wide else "utf-8", errors="replace")
    found = re.search(r"""<creator\s[^>]*type=["']composer["'][^>]*>(.*?)<""", text)
    return found[1] if found else ""


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The melody's and the piano's notes.

    Raises:
      UserError: the file is no score, or has no melody with piano.
    """
    try:
        with warnings.catch_warnings(action="ignore"):
            import partitura  # slow, and itself not free of warnings

            parts = partitura.load_score(str(path)).parts
            options = {"include_staff": True, "include_grace_notes": True}
            tables = [part.note_array(**options) for part in parts]
    except Exception as error:  # whatever a parser says of a spoilt file
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{path}: cannot be read as a score ({reason})") from None
    seconds_of = tempo_map(parts)
    named = any(is_called_piano(part) for part in parts)
    pianos, melodies = [], []
    for part, table in zip(parts, tables, strict=True):
        if is_called_piano(part) if named else has_chords(table):
            pianos += rows(table, seconds_of)
        elif len(table):  # its second voice is a variant, or another singer
            first_voice = table[table["voice"] == table["voice"].min()]
            melodies.append(rows(first_voice, seconds_of))
    if not pianos or not melodies:
        raise UserError(f"{path}: no playable melody with piano in this score")
    melody, piano = note_array(max(melodies, key=len)), note_array(pianos)
    # Both hands may write the same key: strike it once.
    _, once = np.unique(piano[["onset", "pitch"]], return_index=True)
    piano = piano[once]
    first = min(melody["onset"][0], piano["onset"][0])
    for notes in (melody, piano):
        notes["onset"] -= first
    return melody, piano


def is_called_piano(part) -> bool:
    """By its name, in the languages that scores are in."""
    return (part.part_name or "").lower().startswith(("pian", "klav", "fortep"))


def has_chords(table: np.ndarray) -> bool:
    """Chords or two staves: a piano, where no part is called one."""
    if not len(table):
        return False
    return len(table) > 1.3 * len(np.unique(table["onset_div"])) or max(table["staff"]) > 1


def tempo_map(parts):
    """A function from quarters to seconds: the score's metronome marks, or 90."""
    import partitura

    tempos = {
        float(part.quarter_map(mark.start.t)): mark.bpm
        for part in parts
        for mark in part.iter_all(partitura.score.Tempo)
    }
    begin, bpm = np.array(sorted(tempos.items()) or [(0, 90)]).T
    quarters = np.r_[-1e3, begin[1:], 1e5]
    seconds = np.r_[0, np.cumsum(np.diff(quarters) * 60 / bpm)]
    return lambda quarter: np.interp(quarter, quarters, seconds)


def rows(table: np.ndarray, seconds_of) -> list[tuple[float, float, int]]:
    """(onset, duration, pitch) of each note."""
    onset = seconds_of(table["onset_quarter"])
    end = seconds_of(table["onset_quarter"] + table["duration_quarter"])
    duration = np.maximum(end - onset, 0.07)  # grace notes have none
    return [*zip(onset, duration, table["pitch"], strict=True)]


def cut(parts, start: float, seconds: float) -> list[np.ndarray]:
    """The notes that begin in the window, moved to its beginning."""
    kept = [p[(p["onset"] >= start) & (p["onset"] < start + seconds)] for p in parts]
    for notes in kept:
        notes["onset"] -= start
    return kept


def busy_start(rng, parts, seconds: float) -> float:
    """A random place, of four the one where the part that rests more rests least."""
    onsets = parts[0]["onset"]
    starts = rng.choice(onsets[onsets <= max(onsets[-1] - seconds, onsets[0])], 4)
    sounding = [min(p["duration"].sum() for p in cut(parts, s, seconds)) for s in starts]
    return starts[np.argmax(sounding)] - 0.1
