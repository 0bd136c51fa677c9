"""Sep separates a recording into its instruments.

A separator is ``synthesise(estimate(analyse(mixture)))``: a representation before and
after, an architecture in between. `docs/design.md` describes the layout of the package.

    separator = sep.load()  # the bundled model, or another
    stems = separator(wave, sample_rate)  # {"piano": ..., "violin": ...}
"""

from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Imports `load` when it is first used, because it imports JAX, which is slow."""
    if name == "load":
        from sep.separation.inference import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
