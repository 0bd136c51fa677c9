"""Supervised NMF: spectra as sums of few that a source's recordings are made of.

Non-negative matrix factorisation of training material gives each source a dictionary of
spectra, its atoms. A mixture's frames are explained by the atoms of all sources together,
and each source gets what its own explain (Smaragdis et al. 2007). The classic of supervised
separation: what a trained separator has to beat. scikit-learn factorises.

Shapes: S source, E excerpt, C channel, T sample, N frame, F bin, R rank: atoms of a source.
"""

import numpy as np
from jax import Array

from sep.errors import UserError
from sep.evaluation.references import spectra
from sep.evaluation.references.dictionaries import Dictionaries
from sep.evaluation.references.oracles import shares
from sep.evaluation.references.spectra import Transform

MAX_FREQUENCY = 12000.0  # Hz; what is above is shared as the topmost bin is
# Of multiplicative updates. KL divergence between magnitudes, as audio is mostly
# factorised; a tolerance of 0 makes the number of iterations, and the result, fixed.
_UPDATES = {"solver": "mu", "beta_loss": "kullback-leibler", "tol": 0}
_LEARNING, _EXPLAINING = 100, 50  # iterations


def learn(
    name: str, excerpts_ET: np.ndarray, transform: Transform, rank: int, seed: int
) -> np.ndarray:
    """The dictionary (R, F) of the source of that name, from excerpts at one rate.

    Raises:
      UserError: scikit-learn is not installed, or there is too little sound.
    """
    bins = 1 + int(min(MAX_FREQUENCY / transform.sample_rate, 0.5) * transform.n_fft)
    magnitude_NF = _magnitudes(excerpts_ET, transform)[:, :bins]
    if len(magnitude_NF) < rank:
        raise UserError(
            f"{name}: {len(magnitude_NF)} frames with sound do not make {rank} spectra; "
            "give it more, or longer, recordings, or learn fewer with --rank"
        )
    model = library().NMF(
        rank, init="random", max_iter=_LEARNING, random_state=seed, **_UPDATES
    )
    atoms_RF = model.fit(magnitude_NF).components_
    total_R1 = atoms_RF.sum(1, keepdims=True)
    return atoms_RF / np.where(total_R1 > 0, total_R1, 1)


def nmf(mixture_CT: np.ndarray, dictionaries: Dictionaries, sample_rate: int) -> np.ndarray:
    """Estimates (S, C, T) that sum to the mixture; its channels are explained one by one.

    A mask is the source's share of the magnitude that explains a bin. At another sample
    rate than the dictionaries' windows last as long, so that bins are at the same Hz.

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
    """What of magnitudes the atoms of each source make up: (S, N, F)."""
    num_sources, rank, known = atoms_SRF.shape
    bins = min(known, magnitude_NF.shape[1])
    atoms_SRF = atoms_SRF[..., :bins]
    heard_N = magnitude_NF[:, :bins].any(1)
    explained_SNF = np.zeros((num_sources, *magnitude_NF.shape), np.float32)
    if heard_N.any():
        gains_NR, _, _ = library().non_negative_factorization(
            magnitude_NF[heard_N, :bins],
            H=atoms_SRF.reshape(-1, bins),
            n_components=num_sources * rank,
            update_H=False,
            max_iter=_EXPLAINING,
            **_UPDATES,
        )
        gains_SNR = np.stack(np.split(gains_NR, num_sources, axis=1))
        explained_SNF[:, heard_N, :bins] = gains_SNR @ atoms_SRF
        explained_SNF[..., bins:] = explained_SNF[..., bins - 1 : bins]
    return explained_SNF


def library():
    """scikit-learn's factorisations; UserError if it is not installed."""
    try:
        from sklearn import decomposition  # slow to import
    except ImportError:
        raise UserError("reference nmf needs: pip install '.[references]'") from None
    return decomposition


def _magnitudes(excerpts_ET: np.ndarray, transform: Transform) -> np.ndarray:
    """Of the frames of all excerpts that are not silent: (N, F)."""
    magnitude_ENF = np.abs(np.asarray(spectra.stft(excerpts_ET, transform)))
    # Without frames that hang over an end: the cut would sound in all their bins.
    hanging = -(-transform.n_fft // transform.hop_length)
    magnitude_ENF = magnitude_ENF[:, hanging:-hanging]
    magnitude_NF = magnitude_ENF.reshape(-1, magnitude_ENF.shape[-1])
    return magnitude_NF[magnitude_NF.any(1)]
