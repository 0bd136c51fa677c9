"""Bands that listen along time with an LSTM and to each other by attention; complex masks.

  python train.py --config=configs/bandsplit_lstm.py --data=STEMS --workdir=runs/bandsplit

Of BSRNN's kind (Luo & Yu 2023). Not trained yet.
"""

from sep import config


def get_config():
    """The base, with recurrent band-splitting on complex spectrograms."""
    settings = config.get_config()
    model = settings.model
    model.representation, model.architecture = "complex", "bandsplit"
    model.bandsplit.update(along_time="lstm", width=64, depth=4)
    return settings
