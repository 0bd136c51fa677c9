"""Makes a release file of a training run's best model, for distribution.

  python -m sep.cli.release --workdir=RUN --out=piano-violin.safetensors \
      --licence="CC BY 4.0" --note="training data"

The file is half as large as RUN/model.safetensors, since its numbers have 16 bits.
"""

from pathlib import Path

from absl import flags

from sep import cli

_WORKDIR = flags.DEFINE_string("workdir", None, "Training workdir.", required=True)
_OUT = flags.DEFINE_string("out", None, "Release file to write.", required=True)
_LICENCE = flags.DEFINE_string("licence", None, "Licence of the weights.", required=True)
_NOTE = flags.DEFINE_string("note", "", "Note for users, for example the training data.")


def run() -> None:
    """Runs the command."""
    cli.launch(main)


def main(argv: list[str]) -> None:
    """Writes the file, once flags are parsed."""
    cli.expect_no_arguments(argv)
    import numpy as np

    from sep.model.release import load_model, save_model

    model = load_model(_WORKDIR.value)
    facts = model.metadata | {"licence": _LICENCE.value, "note": _NOTE.value}
    out = Path(_OUT.value)
    save_model(out, model._replace(metadata=facts), np.float16)
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB, {facts}")


if __name__ == "__main__":
    run()
