"""What can be evaluated: a trained model, another tool's stems, a reference.

Shapes: S source, C channel, T sample.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sep import audio
from sep.errors import UserError
from sep.evaluation import references
from sep.evaluation.score import System
from sep.evaluation.tracks import Place, Track, describe, file_of
from sep.model.names import output_names
from sep.model.release import load_model, locate_model
from sep.separation import manifest
from sep.separation.inference import Separation

UNEVEN_SECONDS = 0.1  # by which another tool's stems may be longer or shorter
SHIFT_SECONDS = 0.5  # within which stems are looked for that come early or late


def outputs_of_model(model: str) -> tuple[str, ...]:
    """What a model separates. Raises UserError if there is no such model."""
    return output_names(load_model(model).config["model"])


def of_model(name: str, model: str, sources: Sequence[str]) -> System:
    """A bundled model, release file or workdir.

    Raises:
      UserError: there is none, or it does not know the sources.
    """
    separation = Separation(load_model(model))
    if missing := set(sources) - set(separation.names):
        raise UserError(f"{model}: knows no {', '.join(sorted(missing))}; see --sources")
    identity = f"{manifest.FORMAT} {manifest.sha256(locate_model(model))}"

    def estimate(track: Track) -> np.ndarray:
        stems = separation(track.mixture_CT.T, track.sample_rate)
        return np.stack([stems[source].T for source in sources])

    return System(name, estimate, lambda place: identity)


def of_reference(name: str, sources: Sequence[str], settings) -> System:
    """One of `references.REFERENCES`. Raises UserError as `references.build`."""
    reference = references.build(name, sources, settings)
    learned = manifest.sha256(settings.nmf) if name == "nmf" else None
    identity = json.dumps([name, settings.transform, learned])

    def estimate(track: Track) -> np.ndarray:
        return reference(track.mixture_CT, track.references_SCT, track.sample_rate)

    return System(name, estimate, lambda place: identity)


def of_folder(name: str, folder: Path, sources: Sequence[str]) -> System:
    """Stems that another tool has made: FOLDER/<track>/<source>.*.

    With several test sets FOLDER/<set>/<track>/<source>.* goes before.

    Raises:
      UserError: there is no such folder.
    """
    if not os.path.isdir(folder):  # the method raises where it may not look
        raise UserError(f"{folder}: no such folder; --estimates needs NAME=DIR")

    def files(place: Place) -> list[Path]:
        inside = folder / place.test / place.name
        track = inside if os.path.isdir(inside) else folder / place.name
        return [file_of(track / source) for source in sources]

    def identity(place: Place) -> str:
        stats = [(str(path), path.stat()) for path in files(place)]
        return json.dumps([[path, s.st_size, s.st_mtime_ns] for path, s in stats])

    def estimate(track: Track) -> np.ndarray:
        estimates = [_fitted(path, track) for path in files(track.place)]
        estimates_SCT = np.stack(estimates)
        if late := shift(track.references_SCT, estimates_SCT, track.sample_rate):
            raise UserError(
                f"{files(track.place)[0].parent}: these stems come {abs(late)} samples "
                f"{'late' if late > 0 else 'early'}; make up for it before they are scored"
            )
        return estimates_SCT

    return System(name, estimate, identity)


def _fitted(path: Path, track: Track) -> np.ndarray:
    """A stem (C, T) at the track's rate, cut or filled with silence at its end.

    Raises:
      UserError: it has other channels, or another length by more than `UNEVEN_SECONDS`.
    """
    estimate_CT, _ = audio.read(path, track.sample_rate)
    channels, length = track.mixture_CT.shape
    uneven = abs(estimate_CT.shape[1] - length)
    if len(estimate_CT) != channels or uneven > UNEVEN_SECONDS * track.sample_rate:
        raise UserError(
            f"{path}: {describe(estimate_CT, track.sample_rate)} do not fit the track's "
            f"{describe(track.mixture_CT, track.sample_rate)}"
        )
    missing = max(0, length - estimate_CT.shape[1])
    return np.pad(estimate_CT[:, :length], [(0, 0), (0, missing)])


def shift(references_SCT: np.ndarray, estimates_SCT: np.ndarray, sample_rate: int) -> int:
    """By how many samples estimates are late, if it is plain that they are; else 0.

    Plain is: moved by so much they correlate with their references, with 0.5 or more, and
    better by a tenth than where they are.
    """
    length = references_SCT.shape[-1]
    reach = min(length - 1, round(SHIFT_SECONDS * sample_rate))
    size = length + reach
    references, estimates = (
        np.fft.rfft(x_SCT.reshape(-1, length), size)
        for x_SCT in (references_SCT, estimates_SCT)
    )
    correlation = np.fft.irfft((references.conj() * estimates).sum(0), size)
    around = np.roll(correlation, reach)[: 2 * reach + 1]
    power = np.sqrt((references_SCT**2).sum() * (estimates_SCT**2).sum())
    best = int(around.argmax())
    plain = around[best] > max(0.5 * power, 1.1 * around[reach])
    return best - reach if plain else 0
