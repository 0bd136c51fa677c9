"""The config of the study: every pair in size small, at 22.05 kHz and one channel.

  python study.py --config=configs/study.py --data=STEMS --tests=A=TEST_A,B=REAL/test \
      --out=runs/study --tflop=2.5

`make study` uses it in several rounds. docs/study.md has the results and times.
"""

from ml_collections import ConfigDict

from sep import config
from sep.model import presets


def get_config() -> ConfigDict:
    """Returns the small base config at half the sample rate, with halved frame lengths."""
    settings = presets.sized(config.get_config(), "small")
    model = settings.model
    model.sample_rate = 22050
    for name in ("magnitude", "log_magnitude", "complex", "mel"):
        model[name].update(n_fft=2048, hop_length=512, max_frequency=0.0)
    model.mdct.update(frame_length=1024, max_frequency=0.0)
    model.learned.update(frame_length=512, hop_length=256, filters=512)
    model.level_free = False  # was added later; docs/study.md has its effect
    settings.separation.wiener_seconds = 0.0  # networks are compared without the filter
    # Budgets are short: more steps are better than larger batches.
    settings.data.batch_size = 8
    settings.data.solos = 0.2
    return settings
