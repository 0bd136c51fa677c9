"""Sep separates a recording into its instruments.

A separator is ``synthesise(estimate(analyse(mixture)))``: a representation on both
ends, an architecture in the middle. `docs/design.md` has the layout.

    separator = sep.load()  # the bundled model, or another
    stems = separator(wave, sample_rate)  # {"piano": ..., "violin": ...}
"""

__version__ = "0.1.0"


def __getattr__(name: str):
    """`load`, which brings JAX with it: only who asks for it waits for that."""
    if name == "load":
        from sep.separation.inference import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
