"""Any pair, with every architecture but harmonic at about 0.3 million parameters.

  python train.py --config=configs/small.py --arch=tcn --representation=mel \
      --data=STEMS --workdir=runs/small

docs/study.md has scores and times of this size at 22.05 kHz: of all pairs, but not of
openunmix, and of harmonic on four representations only.
"""

from sep import config
from sep.model import presets


def get_config():
    """The base, small."""
    return presets.sized(config.get_config(), "small")
