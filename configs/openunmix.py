"""Open-Unmix's network: three LSTM layers on magnitudes, n_fft 4096, hop 1024, to 16 kHz.

  python train.py --config=configs/openunmix.py --data=STEMS --workdir=runs/openunmix \
      --config.train.steps=202 --config.data.batch_size=8 --config.data.solos=0.2

Stöter et al. (2019) train one network for each source, on the error of magnitudes. Here one
network estimates all sources, with the base config's loss on waves. It has 7.5 M
parameters, for which 10 TFLOP (4 minutes of one core) are little. SI-SDR after that,
without the Wiener filter: 5.1 dB on test set A, 5.7 dB on B-test. docs/model.md has scores
after two hours.
"""

from ml_collections import ConfigDict

from sep import config


def get_config() -> ConfigDict:
    """Returns the base config with Open-Unmix's network and its sizes."""
    settings = config.get_config()
    model = settings.model
    model.representation, model.architecture = "magnitude", "openunmix"
    model.level_free = False
    model.magnitude.update(n_fft=4096, hop_length=1024, max_frequency=16000.0)
    return settings
