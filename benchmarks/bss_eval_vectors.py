"""Freezes what the reference tools say of the cases that test_bss_eval.py scores.

  make bench-env
  .venv-bench/bin/python benchmarks/bss_eval_vectors.py

writes tests/evaluation/bss_eval_vectors.json: for each case of bss_eval_cases.py, beside
it, the scores of museval (v4), of mir_eval where there is one window, of fast_bss_eval
where there is also one channel, and the condition number of the normal equations' matrix.
"""

import importlib.util
import json
import sys
import warnings
from pathlib import Path

import numpy as np
from scipy.linalg import toeplitz

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests/evaluation")]

from bss_eval_cases import cases  # noqa: E402

from sep import audio  # noqa: E402
from sep.runtime.files import replacing  # noqa: E402

NAMES = ("sdr", "isr", "sir", "sar")
VECTORS = ROOT / "tests" / "evaluation" / "bss_eval_vectors.json"


def museval_metrics():
    """Museval's functions, without what it opens files with (that asks for ffmpeg)."""
    package = importlib.util.find_spec("museval")
    if package is None:
        raise ModuleNotFoundError(name="museval")
    place = Path(package.origin).with_name("metrics.py")
    spec = importlib.util.spec_from_file_location("museval_metrics", place)
    module = importlib.util.module_from_spec(spec)
    np.linalg.linalg = np.linalg  # a name that NumPy 2 has dropped
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """All cases."""
    import fast_bss_eval
    import mir_eval

    solve_as_numpy_1_did()
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
                warnings.simplefilter("ignore")  # it will be gone from mir_eval some day
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


def solve_as_numpy_1_did() -> None:
    """For fast_bss_eval, which solves for vectors (..., N) with matrices (..., N, N)."""
    solve = np.linalg.solve

    def with_vectors(matrix, wanted):
        if matrix.ndim == wanted.ndim + 1:
            return solve(matrix, wanted[..., None])[..., 0]
        return solve(matrix, wanted)

    np.linalg.solve = with_vectors


def condition(references_SCT: np.ndarray, taps: int = 512) -> float:
    """Of the products of all pairs of references, delayed by up to `taps` - 1 samples."""
    waves_IT = references_SCT.reshape(-1, references_SCT.shape[-1])
    spectra = np.fft.rfft(waves_IT, 2 * waves_IT.shape[1])
    blocks = []
    for one in spectra:
        products = np.fft.irfft(one.conj() * spectra)
        blocks.append(
            [toeplitz(x[:taps], np.concatenate([x[:1], x[:-taps:-1]])) for x in products]
        )
    return float(np.linalg.cond(np.block(blocks)))


def rounded(values) -> list:
    """To 1e-5 dB; nothing is a number in JSON that is not finite."""
    whole = np.round(np.asarray(values, np.float64), 5)
    return np.where(np.isfinite(whole), whole, None).tolist()


if __name__ == "__main__":
    main()
