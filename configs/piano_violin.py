"""The bundled model: piano and violin, harmonic on log_magnitude, 0.13 M parameters.

  python train.py --config=configs/piano_violin.py --data=STEMS --workdir=runs/pv

35 minutes on one core; validation SI-SDR 10.5 dB, with the filter 9.7 dB on A and 11.3 dB
on B-test. docs/model.md says how STEMS is made, and has all scores.
"""

from sep import config


def get_config():
    """Frames of 186 ms, in which partials lie apart; weights that all pitches share."""
    settings = config.get_config()
    model = settings.model
    model.representation, model.architecture = "log_magnitude", "harmonic"
    model.log_magnitude.update(n_fft=8192, hop_length=2048)
    model.harmonic.update(width=48, depth=4)
    settings.data.update(batch_size=4, solos=0.3)
    settings.train.update(steps=3600, learning_rate=3e-3, ema_decay=0.998)
    return settings
