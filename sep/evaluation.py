"""Scores of a model over a folder of tracks: see `evaluate.py`."""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from sep import audio
from sep.checkpoints import Model
from sep.errors import UserError
from sep.inference import Separation
from sep.metrics import si_sdr, usdr
from sep.separator import RESIDUAL

COLUMNS = ("track", "source", "system", "si_sdr", "si_sdri", "usdr")
MIXTURE = "mixture"  # a file of every track, and the system that leaves it as it is


def evaluate(model: Model, name: str, folder: Path) -> tuple[list[dict], list[str]]:
    """Rows (see `COLUMNS`) for the mixture and the model, and what was left out, and why.

    A track that cannot be scored does not stop the others. Where a source is silent
    there is nothing to score: its row has NaN, and means leave it out.

    Raises:
      UserError: the folder has no tracks, or none can be scored.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; --data needs TEST/<track>/mixture.*")
    separation = Separation(model)
    folders = sorted(p for p in folder.iterdir() if p.is_dir() and p.name[0] != ".")
    tracks = [path for path in folders if audio.find(path)]
    if not tracks:
        raise UserError(f"{folder}: no tracks; it needs TEST/<track>/mixture.*")
    rows, errors = [], []
    for track in tqdm(tracks, "evaluating", unit="track"):
        try:
            rows += score_track(separation, name, track)
        except UserError as error:
            errors.append(str(error))
    if not rows:
        raise UserError("; ".join(errors))
    return rows, errors


def score_track(separation: Separation, name: str, track: Path) -> list[dict]:
    """Rows for one track. Raises UserError if its files are missing or do not fit."""
    mixture_path = file_of(track, MIXTURE)
    mixture_CT, rate = audio.read(mixture_path)
    references = {}
    for source in separation.names:
        if source == RESIDUAL:
            continue  # no stem of it need exist
        path = file_of(track, source)
        reference_CT, its_rate = audio.read(path)
        if its_rate != rate or reference_CT.shape != mixture_CT.shape:
            raise UserError(
                f"{path}: {_describe(reference_CT, its_rate)} does not fit its mixture's "
                f"{_describe(mixture_CT, rate)}"
            )
        references[source] = reference_CT
    estimates_SCT = separation.to_array(mixture_path)
    rows = []
    for source, reference_CT in references.items():
        estimate_CT = estimates_SCT[separation.names.index(source)]
        # Channels are joined: the scores are of all of them together.
        reference, mixture, estimate = (
            wave.reshape(-1).astype(np.float64)
            for wave in (reference_CT, mixture_CT, estimate_CT)
        )
        before = float(si_sdr(reference, mixture))
        for system, wave in ((MIXTURE, mixture), (name, estimate)):
            value = float(si_sdr(reference, wave))
            scores = (value, value - before, float(usdr(reference, wave)))
            rows.append(
                dict(zip(COLUMNS, (track.name, source, system, *scores), strict=True))
            )
    return rows


def file_of(track: Path, stem: str) -> Path:
    """The sound file of this name in a track's folder, whatever its format."""
    found = [path for path in audio.find(track) if path.parent == track]
    found = [path for path in found if path.stem == stem]
    if len(found) != 1:
        what = "missing" if not found else f"there {len(found)} times"
        raise UserError(f"{track / stem}.*: this file of the track is {what}")
    return found[0]


def _describe(wave_CT: np.ndarray, rate: int) -> str:
    return f"{wave_CT.shape[0]} channels of {wave_CT.shape[1]} samples at {rate} Hz"


def table(rows: list[dict]) -> str:
    """The mean over tracks of each source and system, as text."""
    lines = [
        f"{'source':<12}{'system':<24}{'tracks':>6}{'SI-SDR':>9}{'SI-SDRi':>9}{'uSDR':>8}"
    ]
    groups = dict.fromkeys((row["source"], row["system"]) for row in rows)
    for source, system in groups:
        chosen = [r for r in rows if (r["source"], r["system"]) == (source, system)]
        chosen = [row for row in chosen if not np.isnan(row["si_sdr"])]
        means = [
            np.mean([row[column] for row in chosen]) if chosen else np.nan
            for column in COLUMNS[3:]
        ]
        lines.append(
            f"{source:<12}{system[-23:]:<24}{len(chosen):>6}"
            f"{means[0]:>9.2f}{means[1]:>9.2f}{means[2]:>8.2f}"
        )
    return "\n".join(lines)
