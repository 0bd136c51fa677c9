"""Reporters print the progress and results of separate.py.

`REPORTERS` has one per output mode: text for people, JSON for scripts, or only errors.
"""

import json
import math
import sys
import time
from typing import Self

from sep import audio
from sep.cli import one_line
from sep.errors import UserError
from sep.runtime.progress import progress_bar
from sep.separation.jobs import DONE, FAILED, SKIPPED, Outcome
from sep.separation.recordings import Task

_BAR = (
    "{desc}: {percentage:3.0f}% |{bar}| {n:.0f}/{total:.0f} s{postfix} [{remaining} left]"
)


class Reporter:
    """Prints errors only. Base class of the other reporters.

    A reporter is a context, within which `progress` and `add` may be called. The summary is
    printed when the context ends without an exception.

    Attributes:
      outcomes: the outcomes that were added.
    """

    def __init__(self, tasks: list[Task], excerpt: audio.Excerpt) -> None:
        """Makes a reporter.

        Args:
          tasks: all recordings of the run.
          excerpt: the part of each recording that is separated.
        """
        self._tasks, self._excerpt = tasks, excerpt
        self._start = time.monotonic()
        self.outcomes: list[Outcome] = []
        self._out = sys.stdout  # engines may redirect sys.stdout later

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.print_summary()

    @property
    def exit_status(self) -> int:
        """0 if all recordings were separated or skipped, else 1."""
        succeeded = sum(outcome.status != FAILED for outcome in self.outcomes)
        return int(succeeded < len(self._tasks))

    def progress(self, number: int, seconds: float) -> None:
        """Reports how many seconds of a recording are separated. Threads may call it."""

    def add(self, number: int, outcome: Outcome) -> None:
        """Reports the outcome of a recording."""
        self.outcomes.append(outcome)
        if outcome.status == FAILED:
            self.print_error(outcome)

    def print_error(self, outcome: Outcome) -> None:
        """Prints why a recording failed."""
        print(f"error: {one_line(outcome.error)}", file=sys.stderr)

    def print_summary(self) -> None:
        """Prints the totals of the run."""

    def counts(self) -> dict[str, float]:
        """Returns the number of recordings by status, seconds of sound and elapsed time."""
        statuses = [outcome.status for outcome in self.outcomes]
        return {
            "recordings": len(self._tasks),
            **{status: statuses.count(status) for status in (DONE, SKIPPED, FAILED)},
            "seconds": round(sum(outcome.seconds for outcome in self.outcomes), 3),
            "took": round(time.monotonic() - self._start, 3),
        }


class JsonReporter(Reporter):
    """Prints a line of JSON for each recording and a summary, all to standard output."""

    def add(self, number: int, outcome: Outcome) -> None:
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

    def print_summary(self) -> None:
        self._print(json.dumps({"summary": self.counts()}))

    def _print(self, text: str) -> None:
        print(text, file=self._out, flush=True)


class TextReporter(Reporter):
    """Prints a line for each recording. On a terminal it shows a bar over all sound."""

    def __init__(self, tasks: list[Task], excerpt: audio.Excerpt) -> None:
        super().__init__(tasks, excerpt)
        self._bar = progress_bar(total=0.0, bar_format=_BAR, leave=False, disable=None)
        # Only the bar needs durations, and reading them delays the start.
        self._seconds = [0.0 if self._bar.disable else self._duration(t) for t in tasks]
        self._bar.total = sum(self._seconds)
        self._separated = [0.0] * len(tasks)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._bar.close()
        super().__exit__(kind)

    def _duration(self, task: Task) -> float:
        """Returns the seconds that will be separated; 0 if the file cannot be read."""
        try:
            header = audio.header(task.recording)
        except UserError:  # is reported when the recording's turn comes
            return 0.0
        rate = header.format.sample_rate
        first, end = self._excerpt.samples(rate)
        return max(0.0, min(header.length, end) - first) / rate

    def progress(self, number: int, seconds: float) -> None:
        if self._bar.disable:
            return
        with self._bar.get_lock():  # called by the threads of several recordings
            name = one_line(self._tasks[number].recording.name)
            self._bar.set_description_str(name, refresh=False)
            self._advance(number, min(seconds, self._seconds[number]))

    def _advance(self, number: int, seconds: float) -> None:
        """Moves the bar to `seconds` of a recording, and updates the speed."""
        step = seconds - self._separated[number]
        self._separated[number] = seconds
        speed = (self._bar.n + step) / (time.monotonic() - self._start)
        self._bar.set_postfix_str(f"{speed:.1f}x", refresh=False)
        self._bar.update(step)

    def add(self, number: int, outcome: Outcome) -> None:
        if not self._bar.disable and outcome.status == DONE:
            self._advance(number, self._seconds[number])
        elif not self._bar.disable:  # sound that was not separated is no measure of speed
            self._bar.total -= self._seconds[number] - self._separated[number]
            self._bar.refresh()
        super().add(number, outcome)
        if outcome.status != FAILED:
            self._bar.write(one_line(_describe(outcome)), self._out)

    def print_error(self, outcome: Outcome) -> None:
        self._bar.write(f"error: {one_line(outcome.error)}", file=sys.stderr)

    def print_summary(self) -> None:
        if len(self._tasks) < 2:
            return
        totals = self.counts()
        speed = totals["seconds"] / max(totals["took"], 1e-3)
        print(
            f"{totals['recordings']} recordings: {totals[DONE]} separated, "
            f"{totals[SKIPPED]} skipped, {totals[FAILED]} failed; "
            f"{totals['seconds']:.0f} s of sound in {totals['took']:.0f} s ({speed:.1f}x)",
            file=self._out,
        )
        failed = [outcome for outcome in self.outcomes if outcome.status == FAILED]
        if failed:
            count = f"{len(failed)} of {len(self._tasks)}"
            print(f"error: {count} recordings could not be separated:", file=sys.stderr)
        for outcome in failed:
            print(f"  {one_line(outcome.error)}", file=sys.stderr)


def _describe(outcome: Outcome) -> str:
    """Returns the line of a recording that was separated or skipped."""
    recording, folder = outcome.task
    if outcome.status == SKIPPED:
        return f"{recording}: skipped, its outputs in {folder} are complete"
    quieter = ""
    if outcome.gain < 1:
        decibels = -20 * math.log10(outcome.gain)
        quieter = f" ({decibels:.2f} dB quieter, to prevent clipping)"
    return f"{recording} -> {folder}{quieter}"


REPORTERS = {"text": TextReporter, "quiet": Reporter, "json": JsonReporter}
