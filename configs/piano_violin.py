"""The bundled model: piano and violin, harmonic on long magnitudes, 0.1 M parameters.

  python train.py --config=configs/piano_violin.py --data=STEMS --workdir=runs/piano-violin
"""

from sep import config


def get_config():
    """Frames of 186 ms, in which partials lie apart; weights that all pitches share."""
    settings = config.get_config()
    settings.model.architecture = "harmonic"
    settings.model.harmonic.update(width=48, depth=4)
    settings.model.magnitude.update(n_fft=8192, hop_length=2048)
    settings.data.update(batch_size=4, solos=0.3)
    settings.train.update(steps=3000, learning_rate=3e-3, ema_decay=0.998)
    return settings
