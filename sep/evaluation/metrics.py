"""Metrics of estimates: `METRICS`, from which scores, tables, plots and pages follow.

A new metric is one function from `Signals` to a value for each source, and one entry of
`METRICS`. `si_sdr`, `usdr` and `leakage` also serve alone, on arrays of NumPy (in their
precision) and of JAX. BSS Eval's ratios are in `sep.evaluation.bss_eval`.

Shapes: S source, C channel, T sample, of one channel or of all joined, X sample of all
channels joined, M window.
"""

import dataclasses
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Literal, NamedTuple, TypeVar

import numpy as np
from jax import Array

from sep.evaluation.bss_eval import bss_eval

# Fraction of a source's mean energy under which a window of it counts as a rest.
_REST = 1e-6

Wave = TypeVar("Wave", np.ndarray, Array)


def si_sdr(reference_T: Wave, estimate_T: Wave) -> Wave:
    """Scale-invariant signal-to-distortion ratio (Le Roux et al. 2019).

    Means are not removed.

    Args:
      reference_T: true sources, (..., T).
      estimate_T: estimates, (..., T).

    Returns:
      Decibels, (...,). NaN for a reference without energy; otherwise -inf for a silent
      estimate.
    """
    xp = reference_T.__array_namespace__()
    with np.errstate(divide="ignore", invalid="ignore"):
        energy = (reference_T**2).sum(-1)
        scale = (reference_T * estimate_T).sum(-1) / energy
        target_T = scale[..., None] * reference_T
        target = (target_T**2).sum(-1)
        distortion = ((estimate_T - target_T) ** 2).sum(-1)
        # Both are zero for an estimate that has nothing of the source in it.
        ratio = xp.where(target > 0, target / distortion, target)
        return 10 * xp.log10(ratio)


def usdr(reference_T: Wave, estimate_T: Wave) -> Wave:
    """Signal-to-error ratio over the whole signal.

    The "utterance" or "global" SDR of the music demixing challenges (Mitsufuji et al.
    2022), without their small constants.

    Args:
      reference_T: true sources, (..., T).
      estimate_T: estimates, (..., T).

    Returns:
      Decibels, (...,). NaN for a reference without energy; otherwise 0 for a silent
      estimate.
    """
    xp = reference_T.__array_namespace__()
    with np.errstate(divide="ignore", invalid="ignore"):
        energy = (reference_T**2).sum(-1)
        error = ((reference_T - estimate_T) ** 2).sum(-1)
        return 10 * xp.log10(xp.where(energy > 0, energy / error, xp.nan))


def leakage(reference_T: Wave, estimate_T: Wave, mixture_T: Wave, *, window: int) -> Wave:
    """Energy of an estimate while its source rests, relative to that of the mixture.

    A source rests in the windows where its energy is at least 60 dB under its mean. After
    the "predicted energy at silence" of Schulze-Forster et al. 2019, but relative, so that
    it does not depend on the level.

    Args:
      reference_T: true sources, (..., T).
      estimate_T: estimates, (..., T).
      mixture_T: their mixture, (..., T).
      window: samples of a window. Windows touch; samples at the end that do not fill one
        are not counted.

    Returns:
      Decibels, (...,). 0: the estimate has all of the other sources; -inf: nothing. NaN if
      the source never rests, if the others rest with it, or if no window is filled.
    """
    xp = reference_T.__array_namespace__()

    if reference_T.shape[-1] < window:
        return xp.full(reference_T.shape[:-1], xp.nan)

    def energies(wave_T: Wave) -> Wave:
        whole = wave_T.shape[-1] // window * window
        return (wave_T[..., :whole] ** 2).reshape(*wave_T.shape[:-1], -1, window).sum(-1)

    reference_M, estimate_M, mixture_M = map(energies, (reference_T, estimate_T, mixture_T))
    rests_M = reference_M <= _REST * reference_M.mean(-1, keepdims=True)
    leaked, total = (xp.where(rests_M, x_M, 0).sum(-1) for x_M in (estimate_M, mixture_M))
    with np.errstate(divide="ignore", invalid="ignore"):
        return 10 * xp.log10(xp.where(total > 0, leaked / total, xp.nan))


@dataclasses.dataclass(frozen=True, eq=False)
class Signals:
    """Signals of one track as metrics take them; what several of them need is cached.

    Attributes:
      references_SCT: true sources.
      estimates_SCT: estimates of them.
      mixture_CT: the track's mixture.
      window: samples of the windows of BSS Eval and of leakage.
    """

    references_SCT: np.ndarray
    estimates_SCT: np.ndarray
    mixture_CT: np.ndarray
    window: int

    @cached_property
    def references_SX(self) -> np.ndarray:
        """References in float64, channels joined."""
        return _joined(self.references_SCT)

    @cached_property
    def estimates_SX(self) -> np.ndarray:
        """Estimates in float64, channels joined."""
        return _joined(self.estimates_SCT)

    @cached_property
    def si_sdr_S(self) -> np.ndarray:
        """SI-SDR in dB."""
        return si_sdr(self.references_SX, self.estimates_SX)

    @cached_property
    def bss_eval_medians(self) -> dict[str, np.ndarray]:
        """Medians over windows of BSS Eval's SDR, ISR, SIR and SAR, (S,) in dB."""
        return bss_eval(
            self.references_SCT, self.estimates_SCT, window=self.window
        ).median()


def _joined(wave_SCT: np.ndarray) -> np.ndarray:
    return wave_SCT.reshape(len(wave_SCT), -1).astype(np.float64)


def _interleaved(wave_SCT: np.ndarray) -> np.ndarray:
    """Waves in float64 with a sample of every channel in turn, (S, X)."""
    wave_STC = wave_SCT.astype(np.float64).swapaxes(-1, -2)
    return wave_STC.reshape(len(wave_STC), -1)


def _si_sdr(signals: Signals) -> np.ndarray:
    return signals.si_sdr_S


def _si_sdri(signals: Signals) -> np.ndarray:
    """SI-SDR minus that of the mixture taken as the estimate."""
    mixture_SX = _joined(signals.mixture_CT[None])
    return signals.si_sdr_S - si_sdr(signals.references_SX, mixture_SX)


def _usdr(signals: Signals) -> np.ndarray:
    return usdr(signals.references_SX, signals.estimates_SX)


def _leakage(signals: Signals) -> np.ndarray:
    """Leakage; a source rests where all of its channels do."""
    return leakage(
        _interleaved(signals.references_SCT),
        _interleaved(signals.estimates_SCT),
        _interleaved(signals.mixture_CT[None]),
        window=signals.window * len(signals.mixture_CT),
    )


class Metric(NamedTuple):
    """A metric: how it is computed, summarised and shown.

    Attributes:
      label: name in tables, plots and pages.
      function: maps `Signals` to a value for each source, (S,); NaN where there is none.
      statistic: of tracks' values, in tables: medians for the ratios of energies of parts,
        as in the campaigns of the field, means for the others.
      unit: of the values. Plots print it; columns of tables are in dB unless the label
        has another unit.
      version: a higher one if the same signals no longer have the same values; an
        evaluation that is resumed then computes the metric again.
      in_overview: whether it is a column of the table of all test sets.
      on_page: whether an evaluation's listening page shows it.
      in_study: whether it is a column of a study's table.
      in_study_differences: whether it is a column of a study's table of differences.
      with_interval: whether tables of scores print its interval, which takes space.
    """

    label: str
    function: Callable[[Signals], np.ndarray]
    statistic: Literal["mean", "median"] = "mean"
    unit: str = "dB"
    version: int = 1
    in_overview: bool = False
    on_page: bool = False
    in_study: bool = False
    in_study_differences: bool = False
    with_interval: bool = False

    @property
    def axis_label(self) -> str:
        """Label with the unit."""
        return f"{self.label} ({self.unit})" if self.unit else self.label


# In the order of rows and columns.
METRICS = {
    "si_sdr": Metric(
        "SI-SDR",
        _si_sdr,
        in_overview=True,
        on_page=True,
        in_study=True,
        in_study_differences=True,
        with_interval=True,
    ),
    "si_sdri": Metric("SI-SDRi", _si_sdri, in_study=True),
    "usdr": Metric("uSDR", _usdr),
    "sdr": Metric("SDR", lambda s: s.bss_eval_medians["sdr"], "median", on_page=True),
    "isr": Metric("ISR", lambda s: s.bss_eval_medians["isr"], "median"),
    "sir": Metric(
        "SIR",
        lambda s: s.bss_eval_medians["sir"],
        "median",
        in_overview=True,
        on_page=True,
        in_study=True,
        in_study_differences=True,
    ),
    "sar": Metric(
        "SAR", lambda s: s.bss_eval_medians["sar"], "median", in_overview=True, on_page=True
    ),
    "leakage": Metric("leakage", _leakage, "median"),
}
MAIN = "si_sdr"  # ranks systems; box plots and differences from a base are of it


def label(name: str) -> str:
    """Label of a metric; the name itself if it is not in `METRICS`."""
    return METRICS[name].label if name in METRICS else name


def measure(signals: Signals, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Values of metrics by name, (S,) each."""
    return {name: METRICS[name].function(signals) for name in names}
