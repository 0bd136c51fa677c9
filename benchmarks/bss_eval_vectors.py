"""Stores the scores of reference tools for the cases of test_bss_eval.py.

  make bench-env
  .venv-bench/bin/python benchmarks/bss_eval_vectors.py

Writes tests/evaluation/bss_eval_vectors.json. For each case of bss_eval_cases.py it has the
scores of museval (v4), those of mir_eval if the case has one window, those of fast_bss_eval
if it also has one channel, and the condition number of the matrix of the normal equations.
"""

import importlib.util
import json
import sys
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import toeplitz

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests/evaluation")]

from bss_eval_cases import cases  # noqa: E402

from sep import audio  # noqa: E402
from sep.runtime.files import replacing  # noqa: E402

NAMES = ("sdr", "isr", "sir", "sar")
VECTORS = ROOT / "tests" / "evaluation" / "bss_eval_vectors.json"


def museval_metrics() -> ModuleType:
    """Imports museval.metrics alone; the whole package needs ffmpeg to open files.

    Raises:
      ModuleNotFoundError: museval is not installed.
    """
    package = importlib.util.find_spec("museval")
    if package is None:
        raise ModuleNotFoundError(name="museval")
    place = Path(package.origin).with_name("metrics.py")
    spec = importlib.util.spec_from_file_location("museval_metrics", place)
    module = importlib.util.module_from_spec(spec)
    np.linalg.linalg = np.linalg  # museval uses a name that NumPy 2 has removed
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Scores all cases and writes the file."""
    import fast_bss_eval
    import mir_eval

    restore_numpy_1_solve()
    museval = museval_metrics()
    duet = {
        name: audio.read(ROOT / "examples" / "duet" / f"{name}.flac")[0]
        for name in ("piano", "violin")
    }
    vectors = {}
    for name, case in cases(duet).items():
        references_STC, estimates_STC = (
            x.swapaxes(1, 2) for x in (case.references_SCT, case.estimates_SCT)
        )
        *scores, _ = museval.bss_eval(
            references_STC, estimates_STC, window=case.window, hop=case.hop
        )
        found = {"condition": condition(case.references_SCT)}
        found["museval"] = dict(zip(NAMES, map(rounded, scores), strict=True))
        if case.window == case.references_SCT.shape[-1]:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # mir_eval has deprecated this function
                *whole, _ = mir_eval.separation.bss_eval_images(
                    references_STC, estimates_STC, compute_permutation=False
                )
            found["mir_eval"] = dict(zip(NAMES, map(rounded, whole), strict=True))
            if case.references_SCT.shape[1] == 1:
                _, sir, sar = fast_bss_eval.bss_eval_sources(
                    case.references_SCT[:, 0],
                    case.estimates_SCT[:, 0],
                    compute_permutation=False,
                )
                found["fast_bss_eval"] = {"sir": rounded(sir), "sar": rounded(sar)}
        vectors[name] = found
        print(f"{name}: condition {found['condition']:.0e}")
    with replacing(VECTORS) as part:
        part.write_text(json.dumps(vectors, indent=1) + "\n")


def restore_numpy_1_solve() -> None:
    """Gives np.linalg.solve the semantics of NumPy 1, which fast_bss_eval needs.

    It solves for vectors (..., N) with matrices (..., N, N).
    """
    solve = np.linalg.solve

    def with_vectors(matrix: np.ndarray, right_side: np.ndarray) -> np.ndarray:
        if matrix.ndim == right_side.ndim + 1:
            return solve(matrix, right_side[..., None])[..., 0]
        return solve(matrix, right_side)

    np.linalg.solve = with_vectors


def condition(references_SCT: np.ndarray, taps: int = 512) -> float:
    """Condition number of the matrix of the normal equations.

    The matrix has the products of all pairs of references (S, C, T), delayed by up to
    `taps` - 1 samples.
    """
    waves_IT = references_SCT.reshape(-1, references_SCT.shape[-1])
    spectra = np.fft.rfft(waves_IT, 2 * waves_IT.shape[1])
    blocks = []
    for one in spectra:
        products = np.fft.irfft(one.conj() * spectra)
        blocks.append(
            [toeplitz(x[:taps], np.concatenate([x[:1], x[:-taps:-1]])) for x in products]
        )
    return float(np.linalg.cond(np.block(blocks)))


def rounded(values: ArrayLike) -> list:
    """Values as nested lists, rounded to 1e-5 dB; None where they are not finite."""
    values = np.round(np.asarray(values, np.float64), 5)
    return np.where(np.isfinite(values), values, None).tolist()


if __name__ == "__main__":
    main()
