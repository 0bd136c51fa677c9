"""The original study's network on spectrograms: fnn on magnitudes, n_fft 2048, hop 512.

  python examples/study.py --rounds=original_magnitude --data=STEMS \
      --tests=A=TEST_A,B=REAL/test --out=runs/study
  python train.py --config=configs/original_magnitude.py --data=STEMS \
      --workdir=runs/original_magnitude --config.train.steps=412

Every source gets the phase of the mixture, which is wrong for both where both sound.
SI-SDR: 4.5 dB on test set A after these 412 steps (10 TFLOP, 6 minutes of one core;
docs/study.md).
"""

from ml_collections import ConfigDict

from sep import config


def get_config() -> ConfigDict:
    """Returns the base config with a feed-forward network on uncompressed magnitudes."""
    settings = config.get_config()
    model = settings.model
    model.representation, model.architecture = "magnitude", "fnn"
    model.magnitude.update(n_fft=2048, hop_length=512, max_frequency=0.0, compression=1.0)
    model.level_free = False
    model.fnn.update(width=512, depth=2, context=0)
    # As in the rest of the study (configs/study.py).
    settings.data.update(batch_size=8, solos=0.2)
    settings.separation.wiener_seconds = 0.0
    return settings
