"""Any pair, with about 4 million parameters in every architecture except harmonic.

  python train.py --config=configs/large.py --arch=lstm --representation=magnitude \
      --data=STEMS --workdir=runs/large --config.train.steps=368 \
      --config.data.batch_size=8 --config.data.solos=0.2

SI-SDR without the Wiener filter: 6.4 dB on test set A, 7.5 dB on B-test (10 TFLOP, 6
minutes of one core).
"""

from ml_collections import ConfigDict

from sep import config
from sep.model import presets


def get_config() -> ConfigDict:
    """Returns the base config in size large."""
    return presets.sized(config.get_config(), "large")
