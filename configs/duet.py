"""The bundled model: piano and violin, openunmix on magnitude, 5.4 M parameters.

  python train.py --config=configs/duet.py --data=STEMS --workdir=runs/duet

70 minutes on two cores; validation SI-SDR 11.7 dB, real duets 8.8 dB. docs/model.md says
how STEMS is made, and has all scores.
"""

from sep import config


def get_config():
    """The base, for longer, with the augmentation that there was when it was trained."""
    settings = config.get_config()
    settings.model.architecture = "openunmix"
    settings.model.level_free = False
    settings.model.openunmix.update(depth=2, dropout=0.0)
    data = settings.data
    data.aligned = data.room = data.band_limit = data.clip = 0.0
    for timbre in data.timbre.values():
        for name in timbre:
            timbre[name] = 1.0 if name == "pitch_semitones" else 0.0
    settings.train.steps = 2500
    settings.train.ema_decay = 0.998
    return settings
