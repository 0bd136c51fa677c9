"""Scores of systems on tracks with known sources: see `evaluate.py`.

A note for each track and system holds the scores and what they depend on. An evaluation
that was interrupted, or that has one more system or metric, computes only what is missing.

Shapes: S source, C channel, T sample.
"""

import functools
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sep import audio
from sep.audio import Encoding, Format
from sep.errors import UserError
from sep.evaluation.metrics import METRICS, Signals, measure
from sep.evaluation.tracks import Place, Track, file_of, read
from sep.model.names import MIXTURE
from sep.runtime.files import remove
from sep.runtime.progress import progress_bar
from sep.runtime.record import Record

REFERENCE = "reference"  # name of the true sources on the listening page
WINDOW_SECONDS = 1.0  # of the windows of BSS Eval and of leakage, which touch each other
# Format of notes. The first one has no versions of metrics; all of its metrics had 1.
FORMAT = "sep-scores-2"
_FIRST_FORMAT = "sep-scores-1"

TrackScores = dict[str, dict[str, float]]  # of one system, by metric and source


class System(NamedTuple):
    """Something that makes estimates of a track's sources.

    Attributes:
      name: unique among the systems of an evaluation.
      estimate: maps a track to its estimates (S, C, T), in the order of the references.
      identity: maps a place to a text that names all that the estimates depend on, apart
        from the track itself. It raises UserError if a file is missing.
    """

    name: str
    estimate: Callable[[Track], np.ndarray]
    identity: Callable[[Place], str]


class Row(NamedTuple):
    """Value of one metric for a source of a track by a system; NaN where there is none."""

    test: str
    track: str
    source: str
    system: str
    metric: str  # a name in METRICS
    value: float


def evaluate(
    tracks: Sequence[Place], systems: Sequence[System], out: Path, kept: Sequence[Place]
) -> tuple[list[Row], list[str]]:
    """Scores all systems on all tracks; a failure does not stop the rest.

    Writes notes to OUT/scores, and the estimates of the tracks in `kept` to OUT/sounds.

    Returns:
      The rows, and a message for each track and system without scores.
    """
    rows: list[Row] = []
    errors = []
    with progress_bar(total=len(tracks) * len(systems), unit="score") as bar:
        for place in tracks:
            bar.set_description(f"{place.test}/{place.name}"[-30:], refresh=False)
            load = functools.cache(functools.partial(read, place))
            for system in systems:
                # The mixture is a file already.
                keeps = place in kept and system.name != MIXTURE
                try:
                    found = _scored(place, load, system, out, keeps)
                    rows += _rows(place, system, found)
                except UserError as error:
                    errors.append(f"{place.test}/{place.name}, {system.name}: {error}")
                bar.update()
    return rows, errors


def _scored(
    place: Place, load: Callable[[], Track], system: System, out: Path, keeps: bool
) -> TrackScores:
    """All metrics of a track and system, from its note as far as it has them.

    Args:
      place: the track.
      load: reads the track into memory.
      system: makes the estimates, if a metric is missing.
      out: folder of the evaluation.
      keeps: whether the estimates have to be in OUT/sounds afterwards.
    """
    note = _Note(out, place, system)
    sounds = sound_folder(out, place, system.name)
    known = note.read()
    has_sounds = all((sounds / f"{name}.wav").is_file() for name in place.references)
    if known is None or (keeps and not has_sounds):
        remove(sounds)  # they do not belong to the new scores
        known, has_sounds = {}, False
    if missing := [name for name in METRICS if name not in known]:
        track = load()
        estimates_SCT = system.estimate(track)
        if keeps and not has_sounds:
            keep(sounds, place, estimates_SCT, track.sample_rate)
        for name, value_S in scores(track, estimates_SCT, missing).items():
            by_source = zip(place.references, value_S, strict=True)
            known[name] = {source: float(value) for source, value in by_source}
        note.write(known)
    return known


def _rows(place: Place, system: System, found: TrackScores) -> list[Row]:
    return [
        Row(place.test, place.name, source, system.name, metric, found[metric][source])
        for metric in METRICS
        for source in place.references
    ]


def scores(
    track: Track, estimates_SCT: np.ndarray, metrics: Iterable[str] | None = None
) -> dict[str, np.ndarray]:
    """Values of metrics by name, (S,) each; by default of all `METRICS`."""
    window = round(WINDOW_SECONDS * track.sample_rate)
    signals = Signals(track.references_SCT, estimates_SCT, track.mixture_CT, window)
    return measure(signals, METRICS if metrics is None else metrics)


def sound_folder(out: Path, place: Place, system: str) -> Path:
    """Folder of a system's estimates of a track, for the listening page."""
    return out / "sounds" / _file_name(place.test) / place.name / _file_name(system)


def keep(folder: Path, place: Place, estimates_SCT: np.ndarray, rate: int) -> None:
    """Writes estimates as FOLDER/<source>.wav."""
    paths = [folder / f"{source}.wav" for source in place.references]
    _, channels, length = estimates_SCT.shape
    encoding = Encoding("wav", "FLOAT")
    with audio.writers(paths, Format(rate, channels), length, encoding) as files:
        for file, estimate_CT in zip(files, estimates_SCT, strict=True):
            file.write(estimate_CT.T)


class _Note:
    """File with the scores of a system on a track, and with what they depend on."""

    def __init__(self, out: Path, place: Place, system: System):
        folder = out / "scores" / _file_name(place.test) / place.name
        files = [
            file_of(place.mixture),
            *(file_of(path, "see --sources") for path in place.references.values()),
        ]
        stats = [path.stat() for path in files]
        asked = {
            "system": system.identity(place),
            "files": [
                [str(p), s.st_size, s.st_mtime_ns]
                for p, s in zip(files, stats, strict=True)
            ],
        }
        self._record = Record(folder / f"{_file_name(system.name)}.json", asked)
        self._place, self._system = place, system

    def read(self) -> TrackScores | None:
        """Scores of the metrics that still have the version in the note.

        Returns:
          None if there is no note, or if what the scores depend on has changed.
        """
        note = self._record.matching()
        try:
            if note is None:
                return None
            found: TrackScores = {}
            for row in (Row(*row) for row in note["rows"]):
                value = np.nan if row.value is None else float(row.value)
                found.setdefault(row.metric, {})[row.source] = value
            versions = _versions(note, found)
        except (ValueError, KeyError, TypeError):  # the note is damaged
            return None
        return {
            name: values
            for name, values in found.items()
            if name in METRICS
            and versions.get(name) == METRICS[name].version
            and values.keys() == self._place.references.keys()
        }

    def write(self, found: TrackScores) -> None:
        """Writes the note, whole or not at all."""
        rows = _rows(self._place, self._system, found)
        note = {
            "format": FORMAT,
            "metrics": {name: metric.version for name, metric in METRICS.items()},
            "rows": [[*row[:-1], json_number(row.value)] for row in rows],
        }
        self._record.write(note, indent=None)


def _versions(note: dict[str, Any], found: TrackScores) -> dict[str, int]:
    """Versions of the metrics in a note; raises ValueError for an unknown format."""
    if note["format"] == _FIRST_FORMAT:
        return dict.fromkeys(found, 1)
    if note["format"] == FORMAT:
        return dict(note["metrics"])
    raise ValueError(f"unknown format {note['format']}")


def json_number(value: float) -> float | str | None:
    """A number for JSON: NaN is None, and an infinity is text ("inf", "-inf")."""
    if np.isnan(value):
        return None
    return value if np.isfinite(value) else str(value)


def _file_name(name: str) -> str:
    """A valid file name; different names get different ones."""
    usable = "".join(c if c.isalnum() or c in "-_.+" else "_" for c in name).lstrip(".")
    if usable == name:
        return name
    return f"{usable[:40]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


class Sound(NamedTuple):
    """A sound file of the listening page, and its scores by metric."""

    source: str
    system: str
    path: Path
    scores: dict[str, float]


def page_sounds(
    tracks: Sequence[Place], systems: Sequence[str], rows: Sequence[Row], out: Path
) -> Iterator[tuple[str, list[Sound]]]:
    """Yields a title and the sounds of each track, for the listening page.

    Tracks without any scores are left out: their files may be missing, or not fit.
    """
    known: dict[tuple[str, ...], dict[str, float]] = {}
    for row in rows:
        known.setdefault(row[:4], {})[row.metric] = row.value
    scored = {(row.test, row.track) for row in rows}
    for place in tracks:
        if (place.test, place.name) not in scored:
            continue
        sounds = [Sound(MIXTURE, MIXTURE, file_of(place.mixture), {})]
        sounds += [Sound(s, REFERENCE, file_of(p), {}) for s, p in place.references.items()]
        for system in systems:
            for source in place.references:
                path = sound_folder(out, place, system) / f"{source}.wav"
                found = known.get((place.test, place.name, source, system))
                if found and path.is_file():
                    sounds.append(Sound(source, system, path, found))
        yield f"{place.test}: {place.name}", sounds
