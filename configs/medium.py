"""Any pair, with about 1 million parameters in every architecture except harmonic.

  python train.py --config=configs/medium.py --arch=rnn --representation=mel \
      --data=STEMS --workdir=runs/medium --config.train.steps=1579 \
      --config.train.learning_rate=3e-3 --config.data.batch_size=8 --config.data.solos=0.2

With mel bands it has half a million. SI-SDR without the Wiener filter: 7.0 dB on test set
A, 7.7 dB on B-test (10 TFLOP, 12 minutes of one core).
"""

from ml_collections import ConfigDict

from sep import config
from sep.model import presets


def get_config() -> ConfigDict:
    """Returns the base config in size medium."""
    return presets.sized(config.get_config(), "medium")
