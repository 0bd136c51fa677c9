"""What a run tells: a bar, a line of JSON a step, and TensorBoard for who wants it."""

import contextlib
import json
import math
import time
from pathlib import Path

from sep.errors import UserError
from sep.runtime.files import replacing
from sep.runtime.progress import progress_bar

METRICS = "metrics.jsonl"  # in a workdir: one line of JSON a step
BOARD = "tensorboard"  # in a workdir: what TensorBoard reads
_TIMED = 5  # steps after which a run says how fast it is; the first one compiles


class Progress:
    """Tells of the steps after `first_step`. Of many processes, all but one are mute."""

    def __init__(self, workdir: Path, first_step: int, steps: int, *, mute: bool, board):
        self._log = None if mute else Log(workdir / METRICS, first_step)
        self._scores = [] if mute else self._log.values("valid_si_sdr")
        self._board = None if mute else board
        self._bar = progress_bar(total=steps, initial=first_step, unit="step", disable=mute)
        self._mute, self._first, self._began = mute, first_step + 1, time.monotonic()

    def say(self, text: str) -> None:
        """A line above the bar."""
        if not self._mute:
            self._bar.write(text)

    def stale(self, patience: int) -> bool:
        """Whether so many validations brought no better score; 0 is without end."""
        if not (patience and self._scores):
            return False
        best = self._scores.index(max(self._scores))
        return len(self._scores) - 1 - best >= patience

    def step(self, line: dict, batch_seconds: float) -> None:
        """Notes a step and moves on; `batch_seconds` of sound were in it."""
        if self._mute:
            return
        self._log.write(line)
        if line["skipped"]:
            self.say(f"step {line['step']} skipped: no finite gradient")
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
            took = (time.monotonic() - self._began) / done
            self.say(speed(took, batch_seconds, self._bar.total - line["step"]))
        self._bar.set_description(f"loss {line['loss']:7.3f}", refresh=False)
        self._bar.update()

    def close(self) -> None:
        """Closes bar and files."""
        self._bar.close()
        for part in (self._log, self._board):
            if part:
                part.close()


def speed(step_seconds: float, batch_seconds: float, steps: int) -> str:
    """What is to be expected of the steps to come."""
    hours, minutes = divmod(round(step_seconds * steps / 60), 60)
    return (
        f"{step_seconds:.2f} s a step: {batch_seconds / step_seconds:.1f} hours of audio "
        f"an hour; {steps} more steps in {hours} h {minutes:02} min, validation aside"
    )


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
