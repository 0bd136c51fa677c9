"""Where Sep keeps what it can make again: deleting it costs only time."""

import os
from pathlib import Path


def cache_folder(name: str) -> Path:
    """$XDG_CACHE_HOME/sep/NAME, or ~/.cache/sep/NAME."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "sep" / name
