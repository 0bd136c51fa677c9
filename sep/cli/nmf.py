"""Learns the dictionaries of supervised NMF, a reference that evaluations can show.

  python -m sep.cli.nmf --data=my-stems --out=dictionaries.safetensors

DATA/train/ holds recordings of single instruments, as for train.py. Of each source so many
seconds are drawn at random, where there is sound, and its spectra learned from them: less
than a minute with the values given here. The same command learns the same spectra.
"""

from pathlib import Path

from absl import flags

from sep import cli
from sep.errors import UserError

_DATA = flags.DEFINE_string("data", None, "Folder with train/.", required=True)
_OUT = flags.DEFINE_string("out", None, "File to write.", required=True)
_SOURCES = flags.DEFINE_list("sources", ["piano", "violin"], "Names of their folders.")
_SECONDS = flags.DEFINE_integer("seconds", 120, "Sound drawn of each source.", 1)
_RANK = flags.DEFINE_integer("rank", 64, "Spectra learned of each source.", 1)
_SEED = flags.DEFINE_integer("seed", 0, "Another seed, other excerpts and start.", 0)
_CACHE = flags.DEFINE_string(
    "cache", "", "Folder for decoded stems; default: ~/.cache/sep/stems."
)


def run() -> None:
    """The command."""
    cli.launch(main)


def main(argv: list[str]) -> None:
    """What the command does once its flags are parsed."""
    cli.expect_no_arguments(argv)
    if len(set(_SOURCES.value)) < max(len(_SOURCES.value), 1):
        raise UserError("--sources wants different names, as in piano,violin")

    # Slow imports, after the flags have been checked.
    import numpy as np

    import sep
    from sep.data import stems
    from sep.evaluation.references import dictionaries, nmf
    from sep.evaluation.references.spectra import Transform
    from sep.runtime.progress import progress_bar

    nmf.library()
    transform = Transform()
    found = stems.load(
        Path(_DATA.value) / "train",
        _SOURCES.value,
        transform.sample_rate,
        _CACHE.value,
        strict=False,
        missing_is_silence=True,
    )
    atoms = {}
    for source in progress_bar(_SOURCES.value, "learning", unit="source"):
        excerpts_ET = stems.excerpts(
            found.solos[source],
            count=_SECONDS.value,
            length=transform.sample_rate,
            rng=np.random.default_rng(_SEED.value),
        )
        atoms[source] = nmf.learn(source, excerpts_ET, transform, _RANK.value, _SEED.value)
    learned = dictionaries.Dictionaries(
        tuple(atoms), transform, np.stack(list(atoms.values()))
    )
    facts = {
        "version": sep.__version__,
        "seconds": str(_SECONDS.value),
        "seed": str(_SEED.value),
    }
    dictionaries.save(Path(_OUT.value), learned, facts)
    print(f"{_OUT.value}: {_RANK.value} spectra each of {', '.join(_SOURCES.value)}")


if __name__ == "__main__":
    run()
