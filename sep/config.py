"""The base config: every setting of Sep, named once. Experiments build on it.

Change a setting in a file under configs/ or on the command line:
``--config.train.steps=100``. The `model` part travels with every trained model.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """A fresh, locked copy of all settings and their values."""
    config = ConfigDict(
        {
            "seed": 0,
            "model": {
                "sources": ("piano", "violin"),  # folder names of the stems
                "residual": False,  # one more output for all that is no named source
                "sample_rate": 44100,  # Hz; recordings at other rates are converted
                "representation": "magnitude",  # one of the three below
                "architecture": "lstm",  # one of the two below
                # Representations. hop_length is in samples, max_frequency in Hz.
                "waveform": {"frame_length": 1024, "hop_length": 512},
                "magnitude": {
                    "n_fft": 4096,
                    "hop_length": 1024,
                    "max_frequency": 12000.0,  # 0: all bins
                    "compression": 0.3,  # exponent on magnitudes
                },
                "complex": {
                    "n_fft": 4096,
                    "hop_length": 1024,
                    "max_frequency": 12000.0,
                    "compression": 0.3,
                },
                # Architectures.
                "fnn": {"hidden": 512, "context": 0},
                "lstm": {"hidden": 256, "layers": 2, "dropout": 0.0},
            },
            "data": {
                "crop_seconds": 3.0,
                "batch_size": 16,
                "workers": 1,  # threads that read crops ahead of training
                "cache": "",  # folder for decoded stems; default: ~/.cache/sep/stems
                # Augmentation, drawn anew for every source of every example.
                "gain_db": 6.0,  # each source within +- this
                "level_db": 12.0,  # the mixture within +- this of the reference level
                "equaliser_db": 6.0,  # deviation of a random smooth frequency response
                "speed": 0.06,  # played faster or slower by up to this share
                "absent": 0.05,  # chance that a source is silent
            },
            "train": {
                "steps": 2000,
                "loss": "snr",
                "learning_rate": 1e-3,
                "warmup_steps": 100,
                "clip_norm": 5.0,
                "ema_decay": 0.995,
                "eval_every": 250,  # steps between validations, each with a checkpoint
                "eval_crops": 32,
                "eval_seconds": 6.0,
                "checkpoint_seconds": 120.0,  # and a checkpoint at least this often
            },
            "separation": {
                "chunk_seconds": 10.0,
                "overlap": 0.1,  # share of a chunk that fades into its neighbours
                "batch_size": 4,  # chunks of one channel that are separated together
            },
        }
    )
    return config.lock()
