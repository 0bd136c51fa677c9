"""TensorBoard: spectrogram images, and an installation without it."""

import sys

import numpy as np
import pytest
from builders import RATE

from sep.errors import UserError
from sep.training.tensorboard import spectrogram_image, writer_class


def test_a_missing_tensorboard_is_an_error_of_one_line(monkeypatch):
    assert writer_class().__name__ == "SummaryWriter"
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(UserError, match=r"tensorboardX is not installed; run pip install"):
        writer_class()


def test_images_have_high_tones_above_low_ones():
    time = np.arange(RATE) / RATE
    low, high = (spectrogram_image(np.sin(2 * np.pi * f * time)) for f in (500, 5000))
    assert low.dtype == np.uint8
    assert low.shape == high.shape
    middle = low.shape[1] // 2
    for shades, frequency in ((low, 500), (high, 5000)):
        row = low.shape[0] - 1 - shades[:, middle].argmin()  # 0 is black, and loud
        assert row * RATE / 2048 == pytest.approx(frequency, abs=RATE / 2048)
    assert (spectrogram_image(np.zeros(RATE)) == 0).sum() == 0
