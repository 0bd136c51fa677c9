"""The bundled model: piano and violin, lstm on magnitude, 5.4 M parameters.

  python train.py --config=configs/duet.py --data=STEMS --workdir=runs/duet

STEMS is made as docs/model.md says; the scores are there too.
"""

from sep import config


def get_config():
    """The base, for longer."""
    settings = config.get_config()
    settings.train.steps = 2500
    settings.train.ema_decay = 0.998
    return settings
