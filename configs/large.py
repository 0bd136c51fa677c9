"""Any pair, with every architecture at about 4 million parameters.

  python train.py --config=configs/large.py --arch=bandsplit --representation=complex \
      --data=STEMS --workdir=runs/large

Not trained yet.
"""

from sep import config, presets


def get_config():
    """The base, large."""
    return presets.sized(config.get_config(), "large")
