"""Linear recurrences, parallel in time, on magnitudes: rnn of kind mingru.

  python train.py --config=configs/mingru.py --data=STEMS --workdir=runs/mingru

As large as the bundled model, for a comparison with its LSTM. Not trained yet.
"""

from sep import config


def get_config():
    """The base, with residual blocks of minGRUs."""
    settings = config.get_config()
    model = settings.model
    model.representation, model.architecture = "magnitude", "rnn"
    model.rnn.update(kind="mingru", width=512, depth=3)
    return settings
