"""Scores of systems over folders of tracks whose sources are known: see `evaluate.py`.

What has been scored is noted in a file a track and system, with what it depended on, so
an evaluation that was interrupted, or that gets one more system, goes on.

Shapes: S source, C channel, T sample.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sep import audio
from sep.audio import Encoding, Format
from sep.errors import UserError
from sep.evaluation.bss_eval import bss_eval
from sep.evaluation.metrics import leakage, si_sdr, usdr
from sep.evaluation.tracks import Place, Track, file_of, read
from sep.model.names import MIXTURE
from sep.runtime.files import remove, replacing
from sep.runtime.progress import progress_bar

REFERENCE = "reference"  # in sounds that are kept: the true sources
METRICS = ("si_sdr", "si_sdri", "usdr", "sdr", "isr", "sir", "sar", "leakage")
WINDOW_SECONDS = 1.0  # of BSS Eval's windows and of pauses, which touch each other
# Another, if a metric or a reference no longer gives the same numbers.
FORMAT = "sep-scores-1"


class System(NamedTuple):
    """Something that makes estimates of a track's sources."""

    name: str
    estimate: Callable[[Track], np.ndarray]  # (S, C, T), in the order of the references
    # What of a place, besides the track itself, estimates depend on; raises UserError.
    identity: Callable[[Place], str]


class Row(NamedTuple):
    """One number: dB of a source of a track by a system; NaN where there is none."""

    test: str
    track: str
    source: str
    system: str
    metric: str  # one of METRICS
    value: float


def evaluate(
    tracks: Sequence[Place], systems: Sequence[System], out: Path, kept: Sequence[Place]
) -> tuple[list[Row], list[str]]:
    """Scores of all systems on all tracks, and what could not be scored, and why.

    OUT/scores gets the notes, OUT/sounds the estimates for the tracks that are `kept`.
    One failure does not stop the rest.
    """
    rows, errors = [], []
    with progress_bar(total=len(tracks) * len(systems), unit="score") as bar:
        for place in tracks:
            bar.set_description(f"{place.test}/{place.name}"[-30:], refresh=False)
            track = None
            for system in systems:
                wanted = place in kept and system.name != MIXTURE  # there is a file of it
                place_of_sounds = sound_folder(out, place, system.name)
                sounds = place_of_sounds if wanted else None
                try:
                    note = _Note(out, place, system)
                    if (found := note.read(sounds)) is None:
                        remove(place_of_sounds)  # they do not go with the new scores
                        track = track or read(place)
                        found = _score(track, system, sounds)
                        note.write(found)
                    rows += found
                except UserError as error:
                    errors.append(f"{place.test}/{place.name}, {system.name}: {error}")
                bar.update()
    return rows, errors


def _score(track: Track, system: System, sounds: Path | None) -> list[Row]:
    estimates_SCT = system.estimate(track)
    if sounds:
        keep(sounds, track.place, estimates_SCT, track.sample_rate)
    return [
        Row(track.place.test, track.place.name, source, system.name, metric, float(value))
        for metric, value_S in scores(track, estimates_SCT).items()
        for source, value in zip(track.place.references, value_S, strict=True)
    ]


def scores(track: Track, estimates_SCT: np.ndarray) -> dict[str, np.ndarray]:
    """By metric, (S,) in dB; see `sep.evaluation.metrics` and `sep.evaluation.bss_eval`.

    BSS Eval's four are medians of the windows, the others of all channels together.
    """
    references, estimates = (
        x_SCT.reshape(len(x_SCT), -1).astype(np.float64)
        for x_SCT in (track.references_SCT, estimates_SCT)
    )
    mixture_CT = track.mixture_CT.astype(np.float64)
    window = round(WINDOW_SECONDS * track.sample_rate)
    si_sdr_S = si_sdr(references, estimates)
    found = {
        "si_sdr": si_sdr_S,
        "si_sdri": si_sdr_S - si_sdr(references, mixture_CT.reshape(1, -1)),
        "usdr": usdr(references, estimates),
        **bss_eval(track.references_SCT, estimates_SCT, window=window).median(),
        # In a pause the channels of a source are silent together.
        "leakage": leakage(
            *(
                x.astype(np.float64).swapaxes(-1, -2).reshape(*x.shape[:-2], -1)
                for x in (track.references_SCT, estimates_SCT, mixture_CT[None])
            ),
            window=window * len(mixture_CT),
        ),
    }
    return {metric: found[metric] for metric in METRICS}


def sound_folder(out: Path, place: Place, system: str) -> Path:
    """Where estimates of a track are kept, to be heard."""
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
    """The file that says what a system scored on a track, and what that depended on."""

    def __init__(self, out: Path, place: Place, system: System):
        self._path = (
            out / "scores" / _file_name(place.test) / place.name
        ) / f"{_file_name(system.name)}.json"
        files = [
            file_of(place.mixture),
            *(file_of(path, "see --sources") for path in place.references.values()),
        ]
        stats = [path.stat() for path in files]
        self._facts = {
            "format": FORMAT,
            "system": system.identity(place),
            "files": [
                [str(p), s.st_size, s.st_mtime_ns]
                for p, s in zip(files, stats, strict=True)
            ],
        }
        self._place, self._system = place, system

    def read(self, sounds: Path | None) -> list[Row] | None:
        """The rows, if all is as it was and the sounds, if wanted, are there."""
        try:
            facts = json.loads(self._path.read_text("utf-8"))
            rows = [Row(*row) for row in facts.pop("rows")]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        sources = self._place.references
        if sounds and not all((sounds / f"{name}.wav").is_file() for name in sources):
            return None
        if facts != self._facts:
            return None
        return [
            row._replace(value=np.nan if row.value is None else float(row.value))
            for row in rows
        ]

    def write(self, rows: list[Row]) -> None:
        told = [list(row[:-1]) + [plain(row.value)] for row in rows]
        with replacing(self._path) as part:
            part.write_text(json.dumps(self._facts | {"rows": told}), "utf-8")


def plain(value: float) -> float | str | None:
    """For JSON, which has no word for what is not finite."""
    if np.isnan(value):
        return None
    return value if np.isfinite(value) else str(value)


def _file_name(name: str) -> str:
    """A name that files may have, different for different names."""
    usable = "".join(c if c.isalnum() or c in "-_.+" else "_" for c in name).lstrip(".")
    if usable == name:
        return name
    return f"{usable[:40]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def heard(
    tracks: Sequence[Place], systems: Sequence[str], rows: Sequence[Row], out: Path
) -> Iterator[tuple[str, list[tuple[str, str, Path, dict[str, float]]]]]:
    """For the listening page: titles, and (source, system, sound file, scores) of lines.

    Of tracks that have scores; of the others a file may be missing, or not fit.
    """
    known = {}
    for row in rows:
        known.setdefault(row[:4], {})[row.metric] = row.value
    scored = {(row.test, row.track) for row in rows}
    for place in tracks:
        if (place.test, place.name) not in scored:
            continue
        lines = [(MIXTURE, MIXTURE, file_of(place.mixture), {})]
        lines += [(s, REFERENCE, file_of(p), {}) for s, p in place.references.items()]
        for system in systems:
            for source in place.references:
                path = sound_folder(out, place, system) / f"{source}.wav"
                found = known.get((place.test, place.name, source, system))
                if found and path.is_file():
                    lines.append((source, system, path, found))
        yield f"{place.test}: {place.name}", lines
