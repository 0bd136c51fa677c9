"""What the notebooks share: the example's sound, and how things are shown.

Shapes: T sample, N frame, F bin.
"""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from IPython.display import Audio, Markdown
from matplotlib import pyplot
from matplotlib_inline.backend_inline import set_matplotlib_formats

import sep
from sep import audio
from sep.errors import UserError
from sep.model import transforms

ROOT = Path(sep.__file__).parents[1]  # of the clone that pip install -e has made known
RATE = 44100  # Hz, of the example
NAMES = ("mixture", "piano", "violin")

# A spectrogram is like a photograph: a fifth of the size as JPEG.
set_matplotlib_formats("jpeg", pil_kwargs={"quality": 75})
pyplot.rcParams.update({"figure.dpi": 72, "figure.constrained_layout.use": True})


def duet(start: float, end: float) -> dict[str, np.ndarray]:
    """The example from `start` to `end` in seconds, mixed to mono: (T,) float32 by name.

    Raises:
      UserError: Sep is installed without its folder, so there is no example.
    """
    folder = ROOT / "examples" / "duet"
    if not folder.is_dir():
        raise UserError(
            f"{folder}: not there; get the whole project, and in its folder "
            "pip install -e '.[notebooks]'"
        )
    part = slice(round(start * RATE), round(end * RATE))
    waves = {name: audio.read(folder / f"{name}.flac")[0] for name in NAMES}
    return {name: wave_CT[:, part].mean(0) for name, wave_CT in waves.items()}


def table(header: Sequence[str], rows: Sequence[Sequence]) -> Markdown:
    """A table of text and numbers, as decibels: above 100 they tell of rounding alone."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return Markdown("\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines))


def _cell(value) -> str:
    if isinstance(value, str):
        return value
    return "> 100" if value > 100 else f"{value:.1f}"


class Players:
    """Sounds to play, all at one gain; where they cannot be, their names."""

    def __init__(self, waves: Mapping[str, np.ndarray], rate: int = RATE):
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


def image(axes, matrix_NF, title: str, **how) -> None:
    """A matrix with frames to the right and bins upwards, without numbers at its sides."""
    axes.imshow(np.asarray(matrix_NF).T, origin="lower", aspect="auto", **how)
    axes.set(title=title, xticks=[], yticks=[])


def spectrogram(axes, wave_T: np.ndarray, title: str, highest: float = 5000.0) -> None:
    """Levels of a wave up to `highest` Hz, over 70 dB: seconds rightwards, kHz upwards."""
    n_fft, hop = 4096, 1024
    window = transforms.hann(n_fft)
    spectrum_NF = transforms.stft(jnp.asarray(wave_T), window=window, hop_length=hop)
    bins = round(highest / RATE * n_fft)
    level_NF = 20 * np.log10(np.abs(spectrum_NF[:, :bins]) / (n_fft / 4) + 1e-9)
    extent = (0, len(wave_T) / RATE, 0, highest / 1000)
    how = {"origin": "lower", "aspect": "auto", "extent": extent, "cmap": "magma"}
    axes.imshow(level_NF.T, vmin=-100, vmax=-30, **how)
    axes.set(title=title, xlabel="s", ylabel="kHz")
