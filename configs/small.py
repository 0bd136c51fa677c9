"""Any pair, with about 0.3 million parameters in every architecture except harmonic.

  python train.py --config=configs/small.py --arch=tcn --representation=mel \
      --data=STEMS --workdir=runs/small

docs/study.md has scores and times of this size at 22.05 kHz, for all pairs except those of
openunmix, and for harmonic on four representations only.
"""

from ml_collections import ConfigDict

from sep import config
from sep.model import presets


def get_config() -> ConfigDict:
    """Returns the base config in size small."""
    return presets.sized(config.get_config(), "small")
