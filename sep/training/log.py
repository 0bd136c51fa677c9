"""Output of a training run: progress bar, JSON lines of every step, TensorBoard."""

import contextlib
import json
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sep.errors import UserError
from sep.runtime.files import replacing
from sep.runtime.progress import progress_bar

if TYPE_CHECKING:
    from sep.training.tensorboard import Board

METRICS = "metrics.jsonl"  # file in a workdir: one line of JSON a step
BOARD = "tensorboard"  # folder in a workdir: TensorBoard's event files
_TIMED = 5  # steps whose speed is printed, after the first one, which compiles


class Progress:
    """The bar, the log and TensorBoard of the steps after `first_step`.

    Of several processes only one shows progress; in the others, methods do nothing.
    """

    def __init__(
        self,
        workdir: Path,
        first_step: int,
        steps: int,
        *,
        enabled: bool,
        board: "Board | None",
    ):
        self._log = Log(workdir / METRICS, first_step) if enabled else None
        self._scores = self._log.values("valid_si_sdr") if self._log else []
        self._board = board if enabled else None
        self._bar = progress_bar(
            total=steps, initial=first_step, unit="step", disable=not enabled
        )
        self._first, self._steps = first_step + 1, steps
        self._began = time.monotonic()

    def print(self, text: str) -> None:
        """Prints a line above the bar."""
        if self._log:
            self._bar.write(text)

    def has_stalled(self, patience: int) -> bool:
        """Whether the last `patience` validations brought no better score; 0: never."""
        if not (patience and self._scores):
            return False
        best = self._scores.index(max(self._scores))
        return len(self._scores) - 1 - best >= patience

    def step(self, line: dict[str, Any], batch_seconds: float) -> None:
        """Logs a step and advances the bar.

        Args:
          line: numbers of the step by name.
          batch_seconds: length of the sound in a batch.

        Raises:
          UserError: the log cannot be written.
        """
        if not self._log:
            return
        self._log.write(line)
        if line["skipped"]:
            self.print(f"step {line['step']} skipped: no finite gradient")
        if self._board:
            self._board.scalars(line)
        if "valid_si_sdr" in line:
            score, gain = line["valid_si_sdr"], line["valid_si_sdri"]
            self._scores.append(score)
            self._bar.set_postfix_str(f"validation SI-SDR {score:.2f} dB ({gain:+.2f})")
        done = line["step"] - self._first
        if not done:
            self._began = time.monotonic()
        elif done == _TIMED:
            step_seconds = (time.monotonic() - self._began) / done
            left = self._steps - line["step"]
            self.print(throughput(step_seconds, batch_seconds, left))
        self._bar.set_description(f"loss {line['loss']:7.3f}", refresh=False)
        self._bar.update()

    def close(self) -> None:
        """Closes the bar and the files."""
        self._bar.close()
        for part in (self._log, self._board):
            if part:
                part.close()


def throughput(step_seconds: float, batch_seconds: float, steps: int) -> str:
    """Returns one line with the throughput and the time that `steps` more steps take."""
    hours, minutes = divmod(round(step_seconds * steps / 60), 60)
    return (
        f"{step_seconds:.2f} s a step, {batch_seconds / step_seconds:.1f} hours of audio "
        f"an hour; {steps} more steps take {hours} h {minutes:02} min without validation"
    )


class Log:
    """A file of JSON lines, one for each step.

    Lines after `step` are removed when the file is opened. They were left by a crash; the
    resumed run writes them again.
    """

    def __init__(self, path: Path, step: int):
        self._lines = lines_until(path, step)
        if path.exists():
            with replacing(path) as part:
                part.write_text("".join(f"{json.dumps(line)}\n" for line in self._lines))
        self._file = path.open("a")

    def write(self, line: dict[str, Any]) -> None:
        """Appends the numbers of a step; those that are not finite become null.

        Raises:
          UserError: the file cannot be written, for example on a full disk.
        """
        plain = {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in line.items()
        }
        try:
            print(json.dumps(plain), file=self._file, flush=True)
        except OSError as error:
            with contextlib.suppress(OSError):  # it tries to write the rest
                self._file.close()
            raise UserError(
                f"{self._file.name}: cannot be written ({error.strerror}); free some space "
                "and repeat the command to resume from the last checkpoint"
            ) from None

    def values(self, name: str) -> list[float]:
        """Returns the values of this name in the lines that were kept."""
        return [line[name] for line in self._lines if line.get(name) is not None]

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def lines_until(path: Path, step: int) -> list[dict[str, Any]]:
    """Returns the lines of a log up to a step; a line that is incomplete is left out."""
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
