"""The log of a run: one line of JSON a step, as if the run had never been interrupted."""

import contextlib
import json
import math
from pathlib import Path

from sep.errors import UserError
from sep.files import replacing


class Log:
    """Appends lines to a file from which what comes after `step` has been cut.

    A line too many is one that a crash left: the run will write it again.
    """

    def __init__(self, path: Path, step: int):
        self._lines = lines_until(path, step)
        if path.exists():
            with replacing(path) as part:
                part.write_text("".join(f"{json.dumps(line)}\n" for line in self._lines))
        self._file = path.open("a")

    def write(self, line: dict) -> None:
        """A step's numbers; those that are not finite become null, as JSON has none.

        Raises:
          UserError: the disk is full, or gone.
        """
        plain = {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in line.items()
        }
        try:
            print(json.dumps(plain), file=self._file, flush=True)
        except OSError as error:
            with contextlib.suppress(OSError):  # it would try to write once more
                self._file.close()
            raise UserError(
                f"{self._file.name}: cannot be written ({error.strerror}); make room, and "
                "the same command goes on from the last checkpoint"
            ) from None

    def values(self, name: str) -> list[float]:
        """What the kept lines have under this name, where they have it."""
        return [line[name] for line in self._lines if line.get(name) is not None]

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def lines_until(path: Path, step: int) -> list[dict]:
    """The lines of a log up to a step; half a line, written as the power went, is none."""
    if not path.exists():
        return []
    lines = []
    for text in path.read_text().splitlines():
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            continue
        if line["step"] <= step:
            lines.append(line)
    return lines
