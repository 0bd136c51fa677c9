"""Three sizes of every architecture: about 0.3, 1 and 4 million parameters."""

from ml_collections import ConfigDict

from sep.errors import UserError
from sep.model.architectures import ARCHITECTURES

MILLIONS = {"small": 0.3, "medium": 1.0, "large": 4.0}  # approximate number of parameters


def sized(config: ConfigDict, size: str) -> ConfigDict:
    """Sets all architectures of a config to a size, in place, and returns the config.

    Raises:
      UserError: the size is unknown; the message lists all.
    """
    if size not in MILLIONS:
        raise UserError(f"unknown size {size!r}; known: {', '.join(MILLIONS)}")
    for name, entry in ARCHITECTURES.items():
        config.model[name].update(entry.settings_class().SIZES[size])
    return config
