"""What a spectrogram's magnitudes lose: true ones of a source, with phases not its own.

  python experiments/phase.py [--track=examples/duet]

Prints SI-SDR in dB of every source of a track for each way back to sound. A mask may do
better with the mixture's phases: not by truer magnitudes, but by smaller ones where the
phases are wrong (psm in docs/references.md).
"""

from pathlib import Path

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
    """Prints a line for each transform and way back."""
    cli.expect_no_arguments(argv)
    print(f"{'n_fft':>6}{'hop':>6}  {'phases':<16}" + "".join(f"{s:>9}" for s in SOURCES))
    waves = {name: read(name) for name in (*SOURCES, "mixture")}
    for n_fft, hop_length in SIZES:
        how = {"window": transforms.hann(n_fft), "hop_length": hop_length}
        phase = np.exp(1j * np.angle(transforms.stft(waves["mixture"], **how)))
        random = np.random.default_rng(0).uniform(-np.pi, np.pi, phase.shape)
        ways = {"the mixture's": phase, "zero": 1.0, "random": np.exp(1j * random)}
        for name, turn in ways.items():
            scores = []
            for source in SOURCES:
                wave_CT = waves[source]
                spectrum_CNF = abs(np.asarray(transforms.stft(wave_CT, **how))) * turn
                spectrum_CNF = spectrum_CNF.astype(np.complex64)
                back_CT = transforms.istft(spectrum_CNF, **how, length=wave_CT.shape[1])
                joined = (
                    x.reshape(-1).astype(float) for x in map(np.array, (wave_CT, back_CT))
                )
                scores.append(float(si_sdr(*joined)))
            shown = "".join(f"{score:>9.1f}" for score in scores)
            print(f"{n_fft:>6}{hop_length:>6}  {name:<16}{shown}")


def read(name: str) -> np.ndarray:
    """A wave (C, T) of the track."""
    return audio.read(file_of(Path(_TRACK.value) / name))[0]


if __name__ == "__main__":
    cli.launch(main)
