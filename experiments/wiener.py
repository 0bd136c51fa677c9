"""Compares frame lengths and exponents of the Wiener filter.

  python experiments/wiener.py --data=REAL/valid

Separates the tracks of a test set once without the filter, then filters the stems with
each setting. Prints the mean SI-SDR over sources, as in docs/separate.md; `mono` filters
each channel separately.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import numpy as np
from absl import flags

import sep
from sep import audio, cli
from sep.evaluation.metrics import si_sdr
from sep.evaluation.tracks import file_of, folders
from sep.model import wiener
from sep.model.names import DEFAULT_MODEL

_DATA = flags.DEFINE_string("data", None, "Folder of tracks.", required=True)
_MODEL = flags.DEFINE_string("model", DEFAULT_MODEL, "Model that separates them.")

FRAMES = (4096, 8192, 16384)  # samples
EXPONENTS = (1.0, 1.25, 1.5, 2.0)


def main(argv: list[str]) -> None:
    """Prints the table."""
    cli.expect_no_arguments(argv)
    separation = sep.load(_MODEL.value, refine=False)
    tracks = []
    for track in folders(Path(_DATA.value)):
        references = [audio.read(file_of(track / name))[0] for name in separation.names]
        estimates_SCT = separation.to_array(file_of(track / "mixture"))
        tracks.append((np.stack(references), estimates_SCT))

    def score(refine: Callable[[np.ndarray], np.ndarray | jax.Array]) -> float:
        """Mean SI-SDR in dB of refined stems."""
        values = [
            si_sdr(reference_CT.ravel(), np.ravel(estimate_CT))
            for references_SCT, estimates_SCT in tracks
            for reference_CT, estimate_CT in zip(
                references_SCT, refine(estimates_SCT), strict=True
            )
        ]
        return float(np.mean(values))

    print(f"{len(tracks)} tracks; without the filter {score(np.asarray):.2f} dB\n")
    print(f"| n_fft | {' | '.join(f'{e:g}' for e in EXPONENTS)} | mono, {EXPONENTS[1]:g} |")
    print("|---" * (len(EXPONENTS) + 2) + "|")
    for n_fft in FRAMES:
        filters = [partial(wiener.refine, n_fft=n_fft, exponent=e) for e in EXPONENTS]
        compiled = [jax.jit(refine) for refine in filters]
        scores = [score(refine) for refine in compiled]
        scores.append(score(partial(each_channel, compiled[1])))
        print(f"| {n_fft} | {' | '.join(f'{value:.2f}' for value in scores)} |", flush=True)


def each_channel(
    refine: Callable[[np.ndarray], jax.Array], sources_SCT: np.ndarray
) -> np.ndarray:
    """Filters every channel as a mono recording."""
    channels = range(sources_SCT.shape[1])
    return np.concatenate([refine(sources_SCT[:, c : c + 1]) for c in channels], 1)


if __name__ == "__main__":
    cli.launch(main)
