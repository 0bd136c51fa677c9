"""Learns the dictionaries of supervised NMF, a reference of evaluate.py.

  python -m sep.cli.nmf --data=my-stems --out=dictionaries.safetensors

DATA/train/ has recordings of single instruments, as for train.py. For each source, excerpts
with sound are drawn at random, and spectra are learned from them. With the default values
that takes less than a minute. The same command learns the same spectra.
"""

from pathlib import Path

from absl import flags

from sep import cli
from sep.errors import UserError

_DATA = flags.DEFINE_string("data", None, "Folder with train/.", required=True)
_OUT = flags.DEFINE_string("out", None, "File to write.", required=True)
_SOURCES = flags.DEFINE_list("sources", ["piano", "violin"], "Names of their folders.")
_SECONDS = flags.DEFINE_integer("seconds", 120, "Seconds of sound of each source.", 1)
_RANK = flags.DEFINE_integer("rank", 64, "Spectra learned for each source.", 1)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the excerpts and of the random start.", 0)
_CACHE = flags.DEFINE_string(
    "cache", "", "Folder for decoded stems; default: ~/.cache/sep/stems."
)


def run() -> None:
    """The command."""
    cli.launch(main)


def main(argv: list[str]) -> None:
    """Runs the command with parsed flags."""
    cli.expect_no_arguments(argv)
    if len(set(_SOURCES.value)) < max(len(_SOURCES.value), 1):
        raise UserError("--sources needs different names, as in piano,violin")

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
