"""The base's LSTM with complex masks, which can mend phases, where magnitudes cannot.

  python train.py --config=configs/lstm_complex.py --data=STEMS --workdir=runs/lstm_complex

Twice as many numbers go in and out as with magnitudes; 7.7 M parameters. Not trained yet.
"""

from sep import config


def get_config():
    """The base on complex spectrograms."""
    settings = config.get_config()
    settings.model.representation = "complex"
    return settings
