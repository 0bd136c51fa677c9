"""Any pair, with every architecture but harmonic at about 1 million parameters.

  python train.py --config=configs/medium.py --arch=rnn --representation=mel \
      --data=STEMS --workdir=runs/medium --config.train.steps=1579 \
      --config.train.learning_rate=3e-3 --config.data.batch_size=8 --config.data.solos=0.2

With mel bands it has half a million. Without the filter that follows networks: 7.0 dB
SI-SDR on test set A, 7.7 on B-test (10 TFLOP, 12 minutes of one core).
"""

from sep import config
from sep.model import presets


def get_config():
    """The base, medium."""
    return presets.sized(config.get_config(), "medium")
