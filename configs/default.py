"""The base config unchanged: lstm on magnitude. All other configs are based on it.

  python train.py --config=configs/default.py --data=STEMS --workdir=runs/default \
      --config.train.steps=280 --config.data.batch_size=8 --config.data.solos=0.2

SI-SDR without the Wiener filter: 6.0 dB on test set A, 7.2 dB on B-test (10 TFLOP, 5
minutes of one core).
"""

from sep.config import get_config

__all__ = ["get_config"]
