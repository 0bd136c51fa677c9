"""Functions that the notebooks share: the example's sound, tables, players and plots.

Shapes: T sample, N frame, F bin.
"""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from IPython.display import Audio, Markdown
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib_inline.backend_inline import set_matplotlib_formats
from numpy.typing import ArrayLike

import sep
from sep import audio
from sep.errors import UserError
from sep.model import transforms

ROOT = Path(sep.__file__).parents[1]  # of the clone that was installed with pip -e
RATE = 44100  # Hz, of the example
NAMES = ("mixture", "piano", "violin")

# As JPEG a spectrogram has a fifth of the size.
set_matplotlib_formats("jpeg", pil_kwargs={"quality": 75})
pyplot.rcParams.update({"figure.dpi": 72, "figure.constrained_layout.use": True})


def duet(start: float, end: float) -> dict[str, np.ndarray]:
    """Reads the example from `start` to `end` in seconds.

    Returns:
      Mono waves (T,), float32, by name.

    Raises:
      UserError: Sep is installed without the project's folder, which has the example.
    """
    folder = ROOT / "examples" / "duet"
    if not folder.is_dir():
        raise UserError(
            f"{folder}: is missing; get the whole project, and in its folder run "
            "pip install -e '.[notebooks]'"
        )
    part = slice(round(start * RATE), round(end * RATE))
    waves = {name: audio.read(folder / f"{name}.flac")[0] for name in NAMES}
    return {name: wave_CT[:, part].mean(0) for name, wave_CT in waves.items()}


def table(header: Sequence[str], rows: Sequence[Sequence[str | float]]) -> Markdown:
    """Table of text and decibels. Values above 100 depend on rounding and are not shown."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return Markdown("\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines))


def _cell(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return "> 100" if value > 100 else f"{value:.1f}"


class Players:
    """Players of sounds, all at the same gain; without HTML only the names are shown."""

    def __init__(self, waves: Mapping[str, np.ndarray], rate: int = RATE) -> None:
        """Takes mono waves (T,) by name."""
        self._waves, self._rate = waves, rate

    def __repr__(self) -> str:
        return f"Sound ({', '.join(self._waves)}): run the notebook to hear it."

    def _repr_html_(self) -> str:
        peak = max(np.abs(wave).max() for wave in self._waves.values())
        return "".join(
            f"<figure style='display: inline-block'><figcaption>{escape(name)}</figcaption>"
            f"{self._player(np.asarray(wave) / peak)}</figure>"
            for name, wave in self._waves.items()
        )

    def _player(self, wave: np.ndarray) -> str:
        return Audio(wave, rate=self._rate, normalize=False)._repr_html_()


def image(axes: Axes, matrix_NF: ArrayLike, title: str, **options: Any) -> None:
    """Draws a matrix with frames to the right and bins upwards, without ticks.

    Args:
      axes: to draw on.
      matrix_NF: the matrix.
      title: of the axes.
      **options: of `Axes.imshow`.
    """
    axes.imshow(np.asarray(matrix_NF).T, origin="lower", aspect="auto", **options)
    axes.set(title=title, xticks=[], yticks=[])


def spectrogram(
    axes: Axes, wave_T: np.ndarray, title: str, highest: float = 5000.0
) -> None:
    """Draws levels of a wave up to `highest` Hz, over a range of 70 dB."""
    n_fft, hop = 4096, 1024
    window = transforms.hann(n_fft)
    spectrum_NF = transforms.stft(jnp.asarray(wave_T), window=window, hop_length=hop)
    bins = round(highest / RATE * n_fft)
    level_NF = 20 * np.log10(np.abs(spectrum_NF[:, :bins]) / (n_fft / 4) + 1e-9)
    extent = (0, len(wave_T) / RATE, 0, highest / 1000)
    axes.imshow(
        level_NF.T,
        origin="lower",
        aspect="auto",
        extent=extent,
        cmap="magma",
        vmin=-100,
        vmax=-30,
    )
    axes.set(title=title, xlabel="s", ylabel="kHz")
