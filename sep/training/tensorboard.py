"""Writes scalars, spectrogram images and sound for TensorBoard (extra `tensorboard`)."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sep.errors import UserError
from sep.model import transforms

_N_FFT, _HOP_LENGTH = 2048, 512
_RANGE_DB = 80.0  # between white and black


def writer_class() -> Any:
    """Returns the class that writes event files, tensorboardX's SummaryWriter.

    Raises:
      UserError: tensorboardX is not installed.
    """
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        cure = "pip install -c constraints.txt -e '.[tensorboard]'"
        raise UserError(
            f"--tensorboard: tensorboardX is not installed; run {cure}"
        ) from None
    return SummaryWriter


class Board:
    """Writes event files.

    TensorBoard hides events after `first_step`, which an interrupted run left.
    """

    def __init__(self, folder: Path, first_step: int):
        self._writer = writer_class()(str(folder), purge_step=first_step + 1)

    def scalars(self, line: dict[str, Any]) -> None:
        """Writes the numbers of a step."""
        for name, value in line.items():
            if name != "step":
                part = "validation" if name.startswith("valid_") else "training"
                self._writer.add_scalar(f"{part}/{name}", value, line["step"])

    def sounds(self, step: int, waves: dict[str, np.ndarray], sample_rate: int) -> None:
        """Writes the sound and the spectrogram of the first channel of each wave (C, T)."""
        for name, wave_CT in waves.items():
            self._writer.add_audio(name, wave_CT[0], step, sample_rate)
            image_FN = spectrogram_image(wave_CT[0])
            self._writer.add_image(name, image_FN, step, dataformats="HW")

    def close(self) -> None:
        """Closes the file."""
        self._writer.close()


def spectrogram_image(wave_T: np.ndarray) -> np.ndarray:
    """Returns a spectrogram as grey values (F, N), uint8, low frequencies at the bottom.

    Black is the level of the loudest bin, or full scale if the wave is silent. White is
    80 dB below that.
    """
    power_NF = np.asarray(_power(jnp.asarray(wave_T, jnp.float32)))
    level_NF = 10 * np.log10(np.maximum(power_NF, 1e-20))
    top = level_NF.max() if power_NF.max() > 1e-20 else 0.0
    shade_NF = np.clip((top - level_NF) / _RANGE_DB, 0, 1)
    return np.round(255 * shade_NF.T[::-1]).astype(np.uint8)


@jax.jit
def _power(wave_T: jax.Array) -> jax.Array:
    window = transforms.hann(_N_FFT)
    spectrum_NF = transforms.stft(wave_T, window=window, hop_length=_HOP_LENGTH)
    return spectrum_NF.real**2 + spectrum_NF.imag**2
