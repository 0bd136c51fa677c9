"""What a run tells: a bar, a line of JSON a step, and TensorBoard for who wants it."""

import time
from pathlib import Path

from sep.bars import progress_bar
from sep.logs import Log

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
