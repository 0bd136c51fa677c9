"""The commands: flags and wiring only. Sound and networks live elsewhere."""

import sys
from collections.abc import Callable

from absl import app, flags, logging

from sep.errors import UserError


def launch(main: Callable[[list[str]], int | None], guide: str) -> None:
    """Runs a command; an error that its user can cure is one line, and status 1.

    `guide` opens its --help.
    """

    def guarded(argv: list[str]) -> int:
        try:
            return main(argv) or 0
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)
            return 130

    # absl shows the docstring and the flags of the main module; the commands are others.
    sys.modules["__main__"].__doc__ = guide.replace("%", "%%")
    flags.FLAGS.set_default("verbosity", logging.WARNING)
    app.run(guarded)
