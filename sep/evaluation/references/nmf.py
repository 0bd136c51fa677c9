"""Supervised NMF: spectra as weighted sums of spectra learned for each source.

Non-negative matrix factorisation of training material gives each source a dictionary of
spectra, its atoms. The frames of a mixture are explained by the atoms of all sources
together, and each source gets the part of its own atoms (Smaragdis et al. 2007). It is a
classic baseline of supervised separation. scikit-learn computes the factorisations.

Shapes: S source, E excerpt, C channel, T sample, N frame, F bin, R atom of a source (rank).
"""

from types import ModuleType
from typing import Any

import numpy as np
from jax import Array

from sep.errors import UserError
from sep.evaluation.references import spectra
from sep.evaluation.references.dictionaries import Dictionaries
from sep.evaluation.references.oracles import shares
from sep.evaluation.references.spectra import Transform

MAX_FREQUENCY = 12000.0  # Hz; bins above it get the mask of the topmost bin below it
# Multiplicative updates for the KL divergence between magnitudes, the usual choice for
# audio. A tolerance of 0 makes the number of iterations, and the result, fixed.
_UPDATES: dict[str, Any] = {"solver": "mu", "beta_loss": "kullback-leibler", "tol": 0}
_LEARNING_ITERATIONS, _EXPLAINING_ITERATIONS = 100, 50


def learn(
    name: str, excerpts_ET: np.ndarray, transform: Transform, rank: int, seed: int
) -> np.ndarray:
    """Learns the dictionary of a source, (R, F).

    Args:
      name: of the source, for the error message.
      excerpts_ET: recordings of it, at the transform's sample rate.
      transform: of the spectra.
      rank: number of atoms, R.
      seed: of the random start.

    Raises:
      UserError: scikit-learn is not installed, or there are fewer frames than atoms.
    """
    bins = 1 + int(min(MAX_FREQUENCY / transform.sample_rate, 0.5) * transform.n_fft)
    magnitude_NF = _magnitudes(excerpts_ET, transform)[:, :bins]
    if len(magnitude_NF) < rank:
        raise UserError(
            f"{name}: {len(magnitude_NF)} frames with sound are too few for {rank} "
            "spectra; add recordings, or learn fewer spectra with --rank"
        )
    model = library().NMF(
        rank, init="random", max_iter=_LEARNING_ITERATIONS, random_state=seed, **_UPDATES
    )
    atoms_RF = model.fit(magnitude_NF).components_
    total_R1 = atoms_RF.sum(1, keepdims=True)
    return atoms_RF / np.where(total_R1 > 0, total_R1, 1)


def nmf(mixture_CT: np.ndarray, dictionaries: Dictionaries, sample_rate: int) -> np.ndarray:
    """Separates a mixture into estimates (S, C, T) that sum to it, channel by channel.

    A source's mask is its share of the explained magnitude of a bin. At another sample
    rate than that of the dictionaries, windows have the same duration, so that bins are
    at the same frequencies.

    Raises:
      UserError: scikit-learn is not installed.
    """

    def split(mixture_CNF: Array) -> Array:
        magnitude_CNF = np.abs(np.asarray(mixture_CNF))
        magnitude_NF = magnitude_CNF.reshape(-1, magnitude_CNF.shape[-1])
        explained_SNF = explain(magnitude_NF, dictionaries.atoms_SRF)
        return shares(explained_SNF.reshape(-1, *magnitude_CNF.shape)) * mixture_CNF

    return spectra.change(mixture_CT, dictionaries.transform.at(sample_rate), split)


def explain(magnitude_NF: np.ndarray, atoms_SRF: np.ndarray) -> np.ndarray:
    """Explains magnitudes as sums of atoms; returns each source's part, (S, N, F)."""
    num_sources, rank, known = atoms_SRF.shape
    bins = min(known, magnitude_NF.shape[1])
    atoms_SRF = atoms_SRF[..., :bins]
    audible_N = magnitude_NF[:, :bins].any(1)
    explained_SNF = np.zeros((num_sources, *magnitude_NF.shape), np.float32)
    if audible_N.any():
        gains_NR, _, _ = library().non_negative_factorization(
            magnitude_NF[audible_N, :bins],
            H=atoms_SRF.reshape(-1, bins),
            n_components=num_sources * rank,
            update_H=False,
            max_iter=_EXPLAINING_ITERATIONS,
            **_UPDATES,
        )
        gains_SNR = np.stack(np.split(gains_NR, num_sources, axis=1))
        explained_SNF[:, audible_N, :bins] = gains_SNR @ atoms_SRF
        explained_SNF[..., bins:] = explained_SNF[..., bins - 1 : bins]
    return explained_SNF


def library() -> ModuleType:
    """Returns scikit-learn's decompositions. Raises UserError if it is not installed."""
    try:
        from sklearn import decomposition  # slow to import
    except ImportError:
        raise UserError("reference nmf needs: pip install '.[references]'") from None
    return decomposition


def _magnitudes(excerpts_ET: np.ndarray, transform: Transform) -> np.ndarray:
    """Magnitudes of the frames of all excerpts that are not silent, (N, F)."""
    magnitude_ENF = np.abs(np.asarray(spectra.stft(excerpts_ET, transform)))
    # Frames across the ends of an excerpt are left out: the cut is a broadband click.
    edge = -(-transform.n_fft // transform.hop_length)
    magnitude_ENF = magnitude_ENF[:, edge:-edge]
    magnitude_NF = magnitude_ENF.reshape(-1, magnitude_ENF.shape[-1])
    return magnitude_NF[magnitude_NF.any(1)]
