"""Band splitting: an LSTM along time, attention between bands; complex masks.

  python train.py --config=configs/bandsplit_lstm.py --data=STEMS \
      --workdir=runs/bandsplit --config.train.steps=97 --config.data.batch_size=8 \
      --config.data.solos=0.2

Similar to BSRNN (Luo & Yu 2023), and as expensive. After these 97 steps (10 TFLOP, 7
minutes of one core) it has 4.2 dB SI-SDR on test set A and 3.8 dB on B-test, without the
Wiener filter after the network. It needs hours, or an accelerator.
"""

from ml_collections import ConfigDict

from sep import config


def get_config() -> ConfigDict:
    """Returns the base config with recurrent band splitting on complex spectrograms."""
    settings = config.get_config()
    model = settings.model
    model.representation, model.architecture = "complex", "bandsplit"
    model.bandsplit.update(along_time="lstm", width=64, depth=4)
    return settings
