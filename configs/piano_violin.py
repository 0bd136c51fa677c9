"""The bundled model: piano and violin, harmonic on log_magnitude, 0.14 M parameters.

  python train.py --config=configs/piano_violin.py --data=STEMS --workdir=runs/pv

This takes two hours on one core. SI-SDR: 11.2 dB in validation; with the Wiener filter,
10.5 dB on A and 12.2 dB on B-test. A second run of 80 minutes from there made the bundled
model: 11.4, 10.7 and 12.7 dB. docs/model.md describes STEMS and has all commands and
scores.
"""

from ml_collections import ConfigDict

from sep import config


def get_config() -> ConfigDict:
    """Returns the config: long frames to resolve partials, short ones to resolve onsets."""
    settings = config.get_config()
    model = settings.model
    model.representation, model.architecture = "log_magnitude", "harmonic"
    model.log_magnitude.update(n_fft=8192, hop_length=2048, onset_n_fft=2048)
    model.harmonic.update(width=48, depth=4, peaks=1)  # short windows do not resolve peaks
    settings.data.update(batch_size=4, solos=0.3)
    settings.train.update(steps=5800, learning_rate=3e-3, ema_decay=0.998, eval_every=500)
    return settings
