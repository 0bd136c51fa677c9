"""Three sizes of every architecture, to compare them at: about 0.3, 1 and 4 M parameters.

Counted with the base config's magnitudes, two sources; the other representations have
other numbers of bins, and with those come other numbers of parameters. `harmonic`, all of
whose semitones share their weights, is sized by its work: parameters are few.
"""

from ml_collections import ConfigDict

from sep.errors import UserError

# Millions of parameters, about, and what sets each architecture to them.
MILLIONS = {"small": 0.3, "medium": 1.0, "large": 4.0}
SIZES = {
    "small": {
        "fnn": {"width": 88, "depth": 2},
        "cnn": {"width": 6, "depth": 4},
        "rnn": {"width": 72, "depth": 3},
        "lstm": {"width": 72, "depth": 2},
        "openunmix": {"width": 72, "depth": 2},
        "tcn": {"width": 64, "depth": 6},
        "bandsplit": {"width": 60, "depth": 2},
        "harmonic": {"width": 24, "depth": 2},
    },
    "medium": {
        "fnn": {"width": 276, "depth": 2},
        "cnn": {"width": 11, "depth": 4},
        "rnn": {"width": 176, "depth": 3},
        "lstm": {"width": 176, "depth": 2},
        "openunmix": {"width": 176, "depth": 2},
        "tcn": {"width": 144, "depth": 6},
        "bandsplit": {"width": 104, "depth": 5},
        "harmonic": {"width": 48, "depth": 3},
    },
    "large": {
        "fnn": {"width": 928, "depth": 2},
        "cnn": {"width": 21, "depth": 4},
        "rnn": {"width": 432, "depth": 3},
        "lstm": {"width": 432, "depth": 2},
        "openunmix": {"width": 432, "depth": 2},
        "tcn": {"width": 280, "depth": 9},
        "bandsplit": {"width": 208, "depth": 6},
        "harmonic": {"width": 96, "depth": 4},
    },
}


def sized(config: ConfigDict, size: str) -> ConfigDict:
    """The same config, changed: all architectures have this size.

    Raises:
      UserError: there is no such size; the message lists all.
    """
    if size not in SIZES:
        raise UserError(f"unknown size {size!r}; known: {', '.join(SIZES)}")
    for architecture, settings in SIZES[size].items():
        config.model[architecture].update(settings)
    return config
