"""The original study's network on waveforms: fnn, frames of 1024 samples, crossfaded.

  python examples/study.py --rounds=original_waveform --data=STEMS \
      --tests=A=TEST_A,B=REAL/test --out=runs/study
  python train.py --config=configs/original_waveform.py --data=STEMS \
      --workdir=runs/original_waveform --config.train.steps=429

Its known fault is that each source is audible in the other's stem: 3.2 dB SI-SDR and 5.6 dB
SIR on test set A after these 429 steps (10 TFLOP, 7 minutes of one core; docs/study.md).
"""

from ml_collections import ConfigDict

from sep import config


def get_config() -> ConfigDict:
    """Returns the base config with a feed-forward network on overlapping frames."""
    settings = config.get_config()
    model = settings.model
    model.representation, model.architecture = "waveform", "fnn"
    model.waveform.update(frame_length=1024, hop_length=512)
    model.level_free = False
    model.fnn.update(width=512, depth=2, context=0)
    # As in the rest of the study (configs/study.py).
    settings.data.update(batch_size=8, solos=0.2)
    settings.separation.wiener_seconds = 0.0
    return settings
