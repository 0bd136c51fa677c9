"""The base config: every setting of Sep, named once. Experiments build on it.

Change a setting in a file under configs/ or on the command line:
``--config.train.steps=100``. The `model` part travels with every trained model.
"""

import json

from ml_collections import ConfigDict

_SPECTROGRAM = {
    "n_fft": 4096,
    "hop_length": 1024,
    "max_frequency": 12000.0,
    "onset_n_fft": 0,
    "dft": "fft",
}


def get_config() -> ConfigDict:
    """A fresh, locked copy of all settings and their values."""
    config = ConfigDict(
        {
            "seed": 0,
            "model": {
                "sources": ("piano", "violin"),  # folder names of the stems
                "residual": False,  # one more output for all that is no named source
                "sample_rate": 44100,  # Hz; recordings at other rates are converted
                "representation": "magnitude",  # one of those below
                "architecture": "lstm",  # one of those below
                "level_free": True,  # networks that say masks see all frames equally loud
                "stereo": False,  # those on spectrograms also see how channels differ
                # Representations. Lengths are in samples. max_frequency is in Hz, 0: all
                # bins. compression is an exponent on magnitudes. dft is "fft", or "matrix"
                # where products outpace FFTs (TPU). onset_n_fft adds features of windows so
                # short; 0: none.
                "waveform": {"frame_length": 1024, "hop_length": 512},
                "magnitude": {**_SPECTROGRAM, "compression": 0.3},
                "log_magnitude": {**_SPECTROGRAM, "floor_db": -100.0},
                "complex": {**_SPECTROGRAM, "compression": 0.3, "with_magnitude": True},
                "mel": {**_SPECTROGRAM, "bands": 160, "compression": 0.3},
                "mdct": {
                    "frame_length": 2048,
                    "max_frequency": 12000.0,
                    "compression": 0.3,
                },
                "learned": {
                    "frame_length": 1024,
                    "hop_length": 512,
                    "filters": 512,
                    "compression": 0.3,
                },
                # Architectures. width and depth size them; dropout is a share.
                "fnn": {"width": 512, "depth": 2, "context": 0},
                "cnn": {"width": 12, "depth": 4},
                "rnn": {
                    "width": 176,
                    "depth": 3,
                    "dropout": 0.0,
                    "kind": "mingru",  # or "gru", "simple"
                },
                "lstm": {"width": 512, "depth": 2, "dropout": 0.0},
                "openunmix": {"width": 512, "depth": 3, "dropout": 0.4},
                "tcn": {"width": 144, "depth": 6, "dropout": 0.0, "dilations": 6},
                "bandsplit": {
                    "width": 96,
                    "depth": 4,
                    "heads": 2,  # of attention; they divide width
                    "finest": 4,  # bins of the lowest bands
                    "fine": 12,  # bands after which bands are twice as wide
                    "along_time": "attention",  # or "lstm", "mingru"
                },
                "harmonic": {
                    "width": 48,
                    "depth": 3,
                    "peaks": 3,  # of so many kinds of features
                    "dropout": 0.0,  # of whole blocks
                },
            },
            "data": {
                "channels": 1,  # of mixtures, 1 or 2
                "crop_seconds": 3.0,
                "batch_size": 16,
                "workers": 1,  # threads that read ahead of training; 0: none, it waits
                "cache": "",  # folder for decoded stems; default: ~/.cache/sep/stems
                "strict": False,  # refuse recordings that cannot be read, or skip them
                "missing_is_silence": False,  # a source that a track has no file of
                "aligned": 0.5,  # share of examples from one track, if there are tracks
                "solos": 0.0,  # share from recordings of no track alone; the rest: any
                "room_seconds": 1.0,  # kept of the impulse responses in DATA/rooms
                # Augmentation, drawn anew for every source of every example; 0 is off.
                # Chances, and shares, are from 0 to 1.
                "gain_db": 6.0,  # each source within +- this
                "level_db": 12.0,  # the mixture within +- this of the reference level
                "polarity": 0.5,  # chance that a source is turned upside down
                "absent": 0.05,  # chance that a source is silent
                "equaliser_db": 6.0,  # deviation of a random smooth frequency response
                "band_limit": 0.1,  # chance of a low-pass, as lossy codecs leave it,
                "band_limit_hz": 5000.0,  # at this frequency or above
                "room": 0.0,  # chance of reverberation; docs/data.md says why not more
                "shared": 0.5,  # chance that one band limit, and one room, is for all
                "swap": 0.5,  # chance that left and right change places
                "pan": 0.5,  # to the left or right by up to this share
                "width": 0.5,  # what left and right differ in, within +- this share
                "diffuse": 0.0,  # echoes in which they differ, up to this share of the rest
                "mono": 0.0,  # chance that left and right are the same
                "noise": 0.3,  # chance of noise in the residual, if the model has one,
                "noise_db": -30.0,  # at most so loud, against the reference level
                "clip": 0.1,  # chance that the mixture is clipped softly,
                "clip_db": 6.0,  # at most so far under its peak
                # What makes other instruments of one, for each source by its name.
                # `other` is for all sources that are not named.
                "timbre": {
                    name: {
                        "pitch_semitones": 1.0,  # by playing slower or faster
                        "formant_semitones": 0.0,  # the body larger or smaller
                        "body_db": 0.0,  # deviation of random resonances
                        "tilt_db": 0.0,  # an octave, brighter or darker
                        "detune_cents": 0.0,  # of a second string
                    }
                    for name in ("piano", "violin", "other")
                },
            },
            "train": {
                "steps": 2000,
                "init_from": "",  # a model to begin with, as --model of separate.py
                "accumulate": 1,  # parts of a batch, one after another: less memory
                "rematerialise": False,  # compute twice what gradients need: less memory
                "compute_dtype": "float32",  # of the network; or "bfloat16", less exact
                "loss": "snr",
                "learning_rate": 1e-3,
                "warmup_steps": 100,
                "clip_norm": 5.0,
                "weight_decay": 0.0,  # of kernels, times the learning rate, every step
                "ema_decay": 0.995,
                "max_skipped": 10,  # steps in a row without a finite gradient end the run
                "patience": 0,  # validations without a better score that end it; 0: none
                "eval_every": 250,  # steps between validations, each with a checkpoint
                "eval_crops": 32,
                "eval_seconds": 6.0,
                "checkpoint_seconds": 120.0,  # and a checkpoint at least this often
            },
            "separation": {
                "chunk_seconds": 10.0,
                "overlap": 0.1,  # share of a chunk that fades into its neighbours
                "batch_size": 4,  # chunks of one channel in hand at once
                # Estimates are refined by a Wiener filter over all channels
                # (sep/model/wiener.py) in frames about so long; 0: they are not.
                "wiener_seconds": 0.19,
                "wiener_exponent": 1.25,  # 2: as sure as the estimates; less: less sure
            },
        }
    )
    return config.lock()


def plain(settings: ConfigDict) -> dict:
    """Settings as plain JSON types. A flag gives several sources as one text: a,b."""
    listed = json.loads(settings.to_json())
    names = ",".join(listed["model"]["sources"]).split(",")
    listed["model"]["sources"] = [name.strip() for name in names if name.strip()]
    return listed
