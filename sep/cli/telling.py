"""What separate.py says while it works: to people, to scripts, or only what is wrong."""

import json
import math
import sys
import time

from sep import audio
from sep.cli import one_line
from sep.errors import UserError
from sep.runtime.progress import progress_bar
from sep.separation.jobs import DONE, FAILED, SKIPPED, Outcome
from sep.separation.recordings import Task

_BAR = (
    "{desc}: {percentage:3.0f}% |{bar}| {n:.0f}/{total:.0f} s{postfix} [{remaining} left]"
)


class Quiet:
    """Says what went wrong, and nothing else. The others add to it.

    Attributes:
      outcomes: so far.
    """

    def __init__(self, tasks: list[Task], excerpt: audio.Excerpt):
        self._tasks, self._excerpt = tasks, excerpt
        self._began, self.outcomes = time.monotonic(), []
        self._out = sys.stdout  # engines may lend that name to others

    def __enter__(self):
        return self

    def __exit__(self, kind, *_) -> None:
        if kind is None:
            self.summary()

    @property
    def status(self) -> int:
        """For the shell: 0 only if all went well."""
        well = sum(outcome.status != FAILED for outcome in self.outcomes)
        return int(well < len(self._tasks))

    def heard(self, number: int, seconds: float) -> None:
        """So much of a recording is done."""

    def done(self, number: int, outcome: Outcome) -> None:
        """A recording is done, or will not be."""
        self.outcomes.append(outcome)
        if outcome.status == FAILED:
            self.complain(outcome)

    def complain(self, outcome: Outcome) -> None:
        """Says why a recording failed."""
        print(f"error: {one_line(outcome.error)}", file=sys.stderr)

    def summary(self) -> None:
        """The last word."""

    def counts(self) -> dict[str, float]:
        """Of recordings by what became of them, and seconds of sound and of the clock."""
        statuses = [outcome.status for outcome in self.outcomes]
        return {
            "recordings": len(self._tasks),
            **{status: statuses.count(status) for status in (DONE, SKIPPED, FAILED)},
            "seconds": round(sum(outcome.seconds for outcome in self.outcomes), 3),
            "took": round(time.monotonic() - self._began, 3),
        }


class Json(Quiet):
    """Says it in lines of JSON, on standard output."""

    def done(self, number: int, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        line = {
            "recording": str(outcome.task.recording),
            "status": outcome.status,
            "error": outcome.error,
            "folder": str(outcome.task.folder),
            "outputs": list(map(str, outcome.outputs)),
            "seconds": round(outcome.seconds, 3),
            "took": round(outcome.took, 3),
            "gain_db": round(20 * math.log10(outcome.gain), 4),
        }
        self._print(json.dumps(line))

    def summary(self) -> None:
        self._print(json.dumps({"summary": self.counts()}))

    def _print(self, text: str) -> None:
        print(text, file=self._out, flush=True)


class Text(Quiet):
    """Says it to people: a bar over all of the sound, a line for each recording."""

    def __init__(self, tasks: list[Task], excerpt: audio.Excerpt):
        super().__init__(tasks, excerpt)
        self._bar = progress_bar(total=0.0, bar_format=_BAR, leave=False, disable=None)
        # To know how long all will take; nobody waits for that who sees no bar.
        self._lengths = [0.0 if self._bar.disable else self._length(t) for t in tasks]
        self._bar.total = sum(self._lengths)
        self._at = [0.0] * len(tasks)

    def __exit__(self, kind, *_) -> None:
        self._bar.close()
        super().__exit__(kind)

    def _length(self, task: Task) -> float:
        try:
            found = audio.header(task.recording)
        except UserError:  # it will be told when its turn comes
            return 0.0
        rate = found.format.sample_rate
        first, end = self._excerpt.samples(rate)
        return max(0.0, min(found.length, end) - first) / rate

    def heard(self, number: int, seconds: float) -> None:
        if self._bar.disable:
            return
        with self._bar.get_lock():  # called by the threads of several recordings
            name = one_line(self._tasks[number].recording.name)
            self._bar.set_description_str(name, refresh=False)
            self._move(number, min(seconds, self._lengths[number]))

    def _move(self, number: int, seconds: float) -> None:
        step, self._at[number] = seconds - self._at[number], seconds
        speed = (self._bar.n + step) / (time.monotonic() - self._began)
        self._bar.set_postfix_str(f"{speed:.1f}x", refresh=False)
        self._bar.update(step)

    def done(self, number: int, outcome: Outcome) -> None:
        if not self._bar.disable and outcome.status == DONE:
            self._move(number, self._lengths[number])
        elif not self._bar.disable:  # what was not separated is no measure of speed
            self._bar.total -= self._lengths[number] - self._at[number]
            self._bar.refresh()
        super().done(number, outcome)
        if outcome.status != FAILED:
            self._bar.write(one_line(_line(outcome)), self._out)

    def complain(self, outcome: Outcome) -> None:
        self._bar.write(f"error: {one_line(outcome.error)}", file=sys.stderr)

    def summary(self) -> None:
        if len(self._tasks) < 2:
            return
        found = self.counts()
        print(
            f"{found['recordings']} recordings: {found[DONE]} separated, {found[SKIPPED]} "
            f"skipped, {found[FAILED]} failed; {found['seconds']:.0f} s of sound in "
            f"{found['took']:.0f} s ({found['seconds'] / max(found['took'], 1e-3):.1f}x)",
            file=self._out,
        )
        failed = [outcome for outcome in self.outcomes if outcome.status == FAILED]
        if failed:
            count = f"{len(failed)} of {len(self._tasks)}"
            print(f"error: {count} recordings could not be separated:", file=sys.stderr)
        for outcome in failed:
            print(f"  {one_line(outcome.error)}", file=sys.stderr)


def _line(outcome: Outcome) -> str:
    recording, folder = outcome.task
    if outcome.status == SKIPPED:
        return f"{recording}: finished already in {folder}"
    softer = ""
    if outcome.gain < 1:
        softer = f" ({-20 * math.log10(outcome.gain):.2f} dB softer, so that none clips)"
    return f"{recording} -> {folder}{softer}"


MODES = {"text": Text, "quiet": Quiet, "json": Json}
