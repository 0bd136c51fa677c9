"""Fixtures of the rendering tests: commands run in this process, and instruments."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from absl import flags

RATE = 44100


@pytest.fixture(scope="module")
def command():
    """A function that runs a command of sep.data here: command("map", *arguments).

    A process for each call would take a second. Afterwards the flags are removed: other
    commands have flags of the same names.
    """
    registered, loaded = set(flags.FLAGS), set(sys.modules)

    def run(name, *arguments):
        module = importlib.import_module(f"sep.cli.data_{name}")
        flags.FLAGS.unparse_flags()
        return module.main(flags.FLAGS([name, *map(str, arguments)]))

    yield run
    flags.FLAGS.unparse_flags()
    for name in set(flags.FLAGS) - registered:
        delattr(flags.FLAGS, name)
    for name in set(sys.modules) - loaded:
        if name.startswith("sep.cli.data_"):
            del sys.modules[name]


@pytest.fixture(scope="module")
def orchestra(tmp_path_factory) -> Path:
    """A catalogue with two small sampled instruments and the computed one.

    sampled.toml beside it has only the sampled ones.
    """
    folder = tmp_path_factory.mktemp("orchestra")
    time_T = np.arange(2 * RATE) / RATE
    for name, decay in (("keys", 2.0), ("strings", 0.0)):
        regions = []
        for key in (36, 60, 84):
            hertz = 440 * 2 ** ((key - 69) / 12)
            wave_T = sum(np.sin(2 * np.pi * n * hertz * time_T) / n for n in range(1, 6))
            wave_T *= 0.2 * np.exp(-decay * time_T)
            soundfile.write(folder / f"{name}{key}.wav", wave_T, RATE)
            regions.append(
                f"<region> sample={name}{key}.wav pitch_keycenter={key}"
                f" lokey={key - 12} hikey={key + 11}"
            )
        (folder / f"{name}.sfz").write_text("\n".join(regions))
    sampled = (
        '[[piano]]\nname = "keys"\npath = "keys.sfz"\nlicence = "CC0"\n'
        '[[violin]]\nname = "strings"\npath = "strings.sfz"\nlicence = "CC0"\n'
    )
    (folder / "sampled.toml").write_text(sampled)
    bowed = '[[violin]]\nname = "bowed"\nmodel = "bowed_string"\nlicence = "none needed"\n'
    (folder / "all.toml").write_text(sampled + bowed)
    return folder / "all.toml"
