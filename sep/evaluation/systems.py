"""Systems that can be evaluated: trained models, stems of other tools, references.

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
from sep.evaluation.references import ReferenceOptions
from sep.evaluation.score import System
from sep.evaluation.tracks import Place, Track, describe, file_of
from sep.model.release import load_model, locate_model
from sep.runtime import record
from sep.separation import manifest
from sep.separation.inference import Separation

UNEVEN_SECONDS = 0.1  # by which stems of other tools may be longer or shorter
SHIFT_SECONDS = 0.5  # largest shift for which stems are checked


def outputs_of_model(model: str) -> tuple[str, ...]:
    """Names of a model's outputs. Raises UserError if there is no such model."""
    return load_model(model).settings.outputs


def of_model(name: str, model: str, sources: Sequence[str]) -> System:
    """A system that runs a bundled model, release file or workdir.

    Raises:
      UserError: there is no such model, or it lacks an output for one of the sources.
    """
    loaded = load_model(model)
    if missing := set(sources) - set(loaded.settings.outputs):
        raise UserError(
            f"{model}: has no output for {', '.join(sorted(missing))}; see --sources"
        )
    separation = Separation(loaded)
    identity = f"{manifest.FORMAT} {record.sha256(locate_model(model))}"

    def estimate(track: Track) -> np.ndarray:
        stems = separation(track.mixture_CT.T, track.sample_rate)
        return np.stack([stems[source].T for source in sources])

    return System(name, estimate, lambda place: identity)


def of_reference(name: str, sources: Sequence[str], options: ReferenceOptions) -> System:
    """A system that runs one of `references.REFERENCES`.

    If the estimates of a reference change with the same options, it needs another
    identity here, so that its old scores are not used.

    Raises:
      UserError: as `references.build`.
    """
    reference = references.build(name, sources, options)
    learned = record.sha256(options.nmf) if name == "nmf" and options.nmf else None
    identity = json.dumps([name, options.transform, learned])

    def estimate(track: Track) -> np.ndarray:
        return reference(track.mixture_CT, track.references_SCT, track.sample_rate)

    return System(name, estimate, lambda place: identity)


def of_folder(name: str, folder: Path, sources: Sequence[str]) -> System:
    """A system that reads the stems of another tool: FOLDER/<track>/<source>.*.

    FOLDER/<set>/<track>/<source>.* takes precedence, for sets that share track names.

    Raises:
      UserError: there is no such folder.
    """
    if not os.path.isdir(folder):  # Path.is_dir raises PermissionError
        raise UserError(f"{folder}: no such folder; --estimates needs NAME=DIR")

    def files(place: Place) -> list[Path]:
        inside = folder / place.test / place.name
        track = inside if os.path.isdir(inside) else folder / place.name
        return [file_of(track / source) for source in sources]

    def identity(place: Place) -> str:
        stats = [(str(path), path.stat()) for path in files(place)]
        return json.dumps([[path, s.st_size, s.st_mtime_ns] for path, s in stats])

    def estimate(track: Track) -> np.ndarray:
        estimates_SCT = np.stack([_fitted(path, track) for path in files(track.place)])
        if late := shift(track.references_SCT, estimates_SCT, track.sample_rate):
            raise UserError(
                f"{files(track.place)[0].parent}: these stems are {abs(late)} samples "
                f"{'late' if late > 0 else 'early'}; shift them back and try again"
            )
        return estimates_SCT

    return System(name, estimate, identity)


def _fitted(path: Path, track: Track) -> np.ndarray:
    """Reads a stem at its track's sample rate, cut or zero-padded to its length, (C, T).

    Raises:
      UserError: its number of channels differs from the track's, or its length does by
        more than `UNEVEN_SECONDS`.
    """
    estimate_CT, _ = audio.read(path, track.sample_rate)
    channels, length = track.mixture_CT.shape
    uneven = abs(estimate_CT.shape[1] - length)
    if len(estimate_CT) != channels or uneven > UNEVEN_SECONDS * track.sample_rate:
        raise UserError(
            f"{path}: {describe(estimate_CT, track.sample_rate)} do not fit the track's "
            f"{describe(track.mixture_CT, track.sample_rate)}; export it again"
        )
    missing = max(0, length - estimate_CT.shape[1])
    return np.pad(estimate_CT[:, :length], [(0, 0), (0, missing)])


def shift(references_SCT: np.ndarray, estimates_SCT: np.ndarray, sample_rate: int) -> int:
    """Number of samples by which estimates are late, negative if they are early.

    0 unless the shift is evident: after it, the correlation with the references is at
    least 0.5, and at least a tenth higher than before.
    """
    length = references_SCT.shape[-1]
    reach = min(length - 1, round(SHIFT_SECONDS * sample_rate))
    size = length + reach
    references, estimates = (
        np.fft.rfft(x_SCT.reshape(-1, length), size)
        for x_SCT in (references_SCT, estimates_SCT)
    )
    correlation = np.fft.irfft((references.conj() * estimates).sum(0), size)
    near = np.roll(correlation, reach)[: 2 * reach + 1]  # lags from -reach to reach
    power = np.sqrt((references_SCT**2).sum() * (estimates_SCT**2).sum())
    best = int(near.argmax())
    evident = near[best] > max(0.5 * power, 1.1 * near[reach])
    return best - reach if evident else 0
