"""Measures the loss of inverting the true magnitudes of a source with other phases.

  python experiments/phase.py [--track=examples/duet]

Prints the SI-SDR in dB of every source of a track for each transform and each choice of
phases. With the mixture's phases a mask can score higher than the true magnitudes do, by
smaller magnitudes where the phases are wrong (psm in docs/references.md).
"""

from pathlib import Path

import jax
import numpy as np
from absl import flags

from sep import audio, cli
from sep.evaluation.metrics import si_sdr
from sep.evaluation.tracks import file_of
from sep.model import transforms

ROOT = Path(__file__).parent.parent
_TRACK = flags.DEFINE_string(
    "track", str(ROOT / "examples" / "duet"), "Folder with piano, violin, mixture."
)

SOURCES = ("piano", "violin")
SIZES = ((1024, 256), (2048, 512), (4096, 1024))  # n_fft, hop_length


def main(argv: list[str]) -> None:
    """Prints a line for each transform and choice of phases."""
    cli.expect_no_arguments(argv)
    print(f"{'n_fft':>6}{'hop':>6}  {'phases':<16}" + "".join(f"{s:>9}" for s in SOURCES))
    waves = {name: read(name) for name in (*SOURCES, "mixture")}
    for n_fft, hop_length in SIZES:
        spectrum_CNF = np.asarray(stft(waves["mixture"], n_fft, hop_length))
        random_CNF = np.random.default_rng(0).uniform(-np.pi, np.pi, spectrum_CNF.shape)
        phases = {
            "the mixture's": np.exp(1j * np.angle(spectrum_CNF)),
            "zero": 1.0,
            "random": np.exp(1j * random_CNF),
        }
        for name, phase_CNF in phases.items():
            scores = [
                score(waves[source], phase_CNF, n_fft, hop_length) for source in SOURCES
            ]
            shown = "".join(f"{value:>9.1f}" for value in scores)
            print(f"{n_fft:>6}{hop_length:>6}  {name:<16}{shown}")


def stft(wave_CT: np.ndarray, n_fft: int, hop_length: int) -> jax.Array:
    """Spectrum (C, N, F) under a Hann window."""
    return transforms.stft(wave_CT, window=transforms.hann(n_fft), hop_length=hop_length)


def score(
    wave_CT: np.ndarray, phase_CNF: np.ndarray | float, n_fft: int, hop_length: int
) -> float:
    """SI-SDR in dB of the inverse of a wave's magnitudes times unit phasors."""
    spectrum_CNF = np.abs(np.asarray(stft(wave_CT, n_fft, hop_length))) * phase_CNF
    estimate_CT = transforms.istft(
        spectrum_CNF.astype(np.complex64),
        window=transforms.hann(n_fft),
        hop_length=hop_length,
        length=wave_CT.shape[1],
    )
    joined = (np.array(x).reshape(-1).astype(float) for x in (wave_CT, estimate_CT))
    return float(si_sdr(*joined))


def read(name: str) -> np.ndarray:
    """Reads a wave (C, T) of the track."""
    return audio.read(file_of(Path(_TRACK.value) / name))[0]


if __name__ == "__main__":
    cli.launch(main)
