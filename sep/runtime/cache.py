"""Where Sep keeps what it can make again: deleting it costs only time."""

import os
from pathlib import Path


def cache_folder(name: str) -> Path:
    """$XDG_CACHE_HOME/sep/NAME, or ~/.cache/sep/NAME."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "sep" / name


def remember_compilations() -> None:
    """Has JAX, which is not imported yet, keep what it compiles for the next start.

    Who sets these variables is not overruled.
    """
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache_folder("jax")))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
