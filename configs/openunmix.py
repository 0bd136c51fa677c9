"""Open-Unmix's network: three layers of LSTM on magnitudes, 4096 and 1024, up to 16 kHz.

  python train.py --config=configs/openunmix.py --data=STEMS --workdir=runs/openunmix \
      --config.train.steps=202 --config.data.batch_size=8 --config.data.solos=0.2

Stöter et al. (2019) train one for each source with the error of magnitudes; here one has
all sources, with the base's loss on waves. It has 7.5 M parameters; 10 TFLOP, 4 minutes of
one core, are little for so many: without the filter that follows networks 5.1 dB SI-SDR on
test set A, 5.7 on B-test. docs/model.md has what two hours make of it.
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
