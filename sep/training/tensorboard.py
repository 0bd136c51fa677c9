"""TensorBoard: scalars, spectrogram pictures and sound of a run (extra `tensorboard`)."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from sep.errors import UserError
from sep.model import transforms

_N_FFT, _HOP_LENGTH = 2048, 512
_RANGE_DB = 80.0  # from white to black


def writer_class():
    """What writes event files.

    Raises:
      UserError: it is not installed.
    """
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        cure = "pip install -c constraints.txt -e '.[tensorboard]'"
        raise UserError(f"--tensorboard needs more packages: {cure}") from None
    return SummaryWriter


class Board:
    """Writes event files; what comes after `first_step`, of a run cut short, is hidden."""

    def __init__(self, folder: Path, first_step: int):
        self._writer = writer_class()(str(folder), purge_step=first_step + 1)

    def scalars(self, line: dict) -> None:
        """The numbers of a step."""
        for name, value in line.items():
            if name != "step":
                part = "validation" if name.startswith("valid_") else "training"
                self._writer.add_scalar(f"{part}/{name}", value, line["step"])

    def sounds(self, step: int, waves: dict[str, np.ndarray], sample_rate: int) -> None:
        """Sources (C, T) by name: the first channel, heard and seen."""
        for name, wave_CT in waves.items():
            self._writer.add_audio(name, wave_CT[0], step, sample_rate)
            self._writer.add_image(name, picture(wave_CT[0]), step, dataformats="HW")

    def close(self) -> None:
        """Closes the file."""
        self._writer.close()


def picture(wave_T: np.ndarray) -> np.ndarray:
    """A spectrogram as grey values (F, N), uint8: low frequencies below, loud is black.

    Black is the loudest bin, or full scale for silence; white lies 80 dB below.
    """
    power_NF = np.asarray(_power(jnp.asarray(wave_T, jnp.float32)))
    level_NF = 10 * np.log10(np.maximum(power_NF, 1e-20))
    top = level_NF.max() if power_NF.max() > 1e-20 else 0.0
    shade_NF = np.clip((top - level_NF) / _RANGE_DB, 0, 1)
    return np.round(255 * shade_NF.T[::-1]).astype(np.uint8)


@jax.jit
def _power(wave_T):
    window = transforms.hann(_N_FFT)
    spectrum_NF = transforms.stft(wave_T, window=window, hop_length=_HOP_LENGTH)
    return spectrum_NF.real**2 + spectrum_NF.imag**2
