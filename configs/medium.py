"""Any pair, with every architecture at about 1 million parameters.

  python train.py --config=configs/medium.py --arch=rnn --representation=mel \
      --data=STEMS --workdir=runs/medium

Not trained yet.
"""

from sep import config, presets


def get_config():
    """The base, medium."""
    return presets.sized(config.get_config(), "medium")
