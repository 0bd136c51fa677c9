"""Any pair, with every architecture but harmonic at about 4 million parameters.

  python train.py --config=configs/large.py --arch=lstm --representation=magnitude \
      --data=STEMS --workdir=runs/large --config.train.steps=368 \
      --config.data.batch_size=8 --config.data.solos=0.2

Without the filter that follows networks: 6.4 dB SI-SDR on test set A, 7.5 on B-test (10
TFLOP, 6 minutes of one core).
"""

from sep import config
from sep.model import presets


def get_config():
    """The base, large."""
    return presets.sized(config.get_config(), "large")
