"""Plots spectrograms of the violins of a catalogue, side by side, on the same notes.

  python examples/violins.py --instruments=configs/instruments/large.toml \
      --instruments_root=ROOT --out=violins.jpg

A computed violin appears several times, with other random parameters each time.
"""

from pathlib import Path

import matplotlib
import numpy as np
from absl import flags
from matplotlib.axes import Axes

from sep import cli
from sep.model.transforms import stft
from sep.rendering import RATE, instruments, performance, samplers
from sep.rendering.instruments import Instrument

_INSTRUMENTS = flags.DEFINE_string("instruments", None, "Catalogue.", required=True)
_ROOT = flags.DEFINE_string(
    "instruments_root",
    None,
    "Folder that its paths are relative to; default: the catalogue's.",
)
_OUT = flags.DEFINE_string("out", None, "Picture to write.", required=True)
_COUNT = flags.DEFINE_integer("count", 10, "Number of violins.", lower_bound=1)
_DRAWS = flags.DEFINE_integer("draws", 4, "Number of times a computed violin appears.")

# Onset and duration in seconds, MIDI key; G3 to E6: open and stopped strings, a slur, short
# notes.
TUNE = [(0.1, 1.2, 55), (1.4, 0.9, 64), (2.3, 0.9, 71), (3.3, 0.3, 76), (3.7, 0.3, 79)]
TUNE += [(4.1, 0.3, 83), (4.5, 1.4, 88)]
SECONDS = 6.0
N_FFT, HOP = 2048, 512


def main(argv: list[str]) -> None:
    """Renders the notes on every violin and draws the figure."""
    cli.expect_no_arguments(argv)
    violins = chosen_violins()
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        *(2, -(-len(violins) // 2)),
        figsize=(15, 6.5),
        sharex=True,
        sharey=True,
        squeeze=False,
    )
    for number, (axis, violin) in enumerate(zip(axes.flat, violins, strict=False)):
        draw(axis, violin, number)
    for axis in axes[:, 0]:
        axis.set_ylabel("kHz")
    for axis in axes[-1]:
        axis.set_xlabel("s")
    figure.tight_layout()
    figure.savefig(_OUT.value, dpi=80)


def chosen_violins() -> list[Instrument]:
    """Violins of the catalogue in the order of the figure, computed ones last."""
    listed = Path(_INSTRUMENTS.value)
    root = Path(_ROOT.value or listed.parent)
    violins = instruments.catalogue(listed, root)["violin"]
    sampled = [violin for violin in violins if not violin.model]
    sampled = sampled[: max(0, _COUNT.value - _DRAWS.value)]
    computed = [v for v in violins if v.model for _ in range(_DRAWS.value)]
    return (sampled + computed)[: _COUNT.value]


def draw(axis: Axes, violin: Instrument, seed: int) -> None:
    """Renders the notes on a violin and draws their spectrogram."""
    rng = np.random.default_rng(7)  # the same performance on all violins
    played = performance.at_violin(rng, performance.note_array(TUNE), SECONDS, 0.0)
    rng = np.random.default_rng(seed)
    wave_T = samplers.play(violin, rng, played, SECONDS).mean(1)
    window = np.hanning(N_FFT).astype(np.float32)
    spectrum_NF = np.abs(stft(wave_T, window=window, hop_length=HOP))
    level_NF = 20 * np.log10(spectrum_NF / spectrum_NF.max() + 1e-5)
    axis.imshow(
        level_NF.T,
        origin="lower",
        aspect="auto",
        vmin=-75,
        vmax=0,
        cmap="magma",
        extent=(0, SECONDS, 0, RATE / 2000),
    )
    axis.set_title(violin.name, fontsize=10)
    axis.set_ylim(0, 10)


if __name__ == "__main__":
    cli.launch(main)
