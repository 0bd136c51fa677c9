"""Open-Unmix's network: three layers of LSTM on magnitudes, 4096 and 1024, up to 16 kHz.

  python train.py --config=configs/openunmix.py --data=STEMS --workdir=runs/openunmix

Stöter et al. (2019) train one for each source with the error of magnitudes; here one has
all sources, with the base's loss on waves. About 7.5 M parameters. Not scored yet.
"""

from sep import config


def get_config():
    """The base, with Open-Unmix's network and its sizes."""
    settings = config.get_config()
    model = settings.model
    model.representation, model.architecture = "magnitude", "openunmix"
    model.level_free = False
    model.magnitude.update(n_fft=4096, hop_length=1024, max_frequency=16000.0)
    return settings
