"""One recording from end to end: read it, separate it, write what was asked for.

The same function serves on one machine and on many (`sep.separation.engines`).

Shapes: S source, O output, C channel, T sample.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sep import audio
from sep.errors import UserError
from sep.model.names import DEFAULT_MODEL
from sep.model.release import load_model, locate_model
from sep.separation import manifest
from sep.separation.inference import MAX_CHANNELS, load
from sep.separation.outputs import Output, plan_outputs
from sep.separation.recordings import Task

DONE, SKIPPED, FAILED = "done", "skipped", "failed"


class Request(NamedTuple):
    """What is asked for of every recording.

    Attributes:
      model: see `sep.model.release.locate_model`.
      overlap, shifts, refine: see `sep.separation.inference.load`.
      stems, minus, gains: see `sep.separation.outputs.plan_outputs`.
      container, subtype: see `sep.audio.choose`.
      excerpt: that is separated as if it were all.
      page: whether to write a page to listen to them.
      skip_existing: leave what is finished already.
    """

    model: str = DEFAULT_MODEL
    overlap: float | None = None
    shifts: int = 1
    refine: bool = True
    stems: tuple[str, ...] = ()
    minus: tuple[str, ...] = ()
    gains: dict[str, float] = {}  # never changed
    container: str = "wav"
    subtype: str = audio.encodings.AUTO
    excerpt: audio.Excerpt = audio.WHOLE
    page: bool = False
    skip_existing: bool = False


class Outcome(NamedTuple):
    """What became of a recording.

    Attributes:
      task: see `Task`.
      status: `DONE`, `SKIPPED` or `FAILED`.
      error: one line, of one that failed.
      outputs: paths of what was made.
      seconds: of sound.
      took: seconds, by the clock.
      gain: that kept the outputs from clipping, 1 if none had to.
    """

    task: Task
    status: str
    error: str = ""
    outputs: tuple[Path, ...] = ()
    seconds: float = 0.0
    took: float = 0.0
    gain: float = 1.0


class Worker:
    """A model made ready, and what to do with it: `worker(task)` may be called by threads.

    Attributes:
      outputs: that every recording gets.

    Raises:
      UserError: the model or the request is none.
    """

    def __init__(self, request: Request):
        path = locate_model(request.model)
        how = {name: getattr(request, name) for name in ("overlap", "shifts", "refine")}
        self._separation = load(str(path), **how)
        self.outputs = _outputs(request, self._separation.names)
        self._request = request
        self._how = _how(request, self.outputs, manifest.sha256(path))

    def __call__(
        self, task: Task, tell: Callable[[float], None] = lambda _: None
    ) -> Outcome:
        """Separates a recording; whatever goes wrong is told in the outcome.

        Args:
          task: see `Task`.
          tell: is called now and then with the seconds of sound that are done; what it
            raises that is no `Exception` ends the work, and nothing is left of it.
        """
        start = time.monotonic()
        try:
            outcome = self._separate(task, tell)
        except Exception as error:  # the other recordings must not suffer
            outcome = Outcome(task, FAILED, _reason(error, task.recording))
        return outcome._replace(took=time.monotonic() - start)

    def _plan(self, task: Task) -> tuple[audio.Header, audio.Encoding, list[Path]]:
        """What the recording says of itself, how its outputs are written, and where."""
        request, (recording, folder) = self._request, task
        header = audio.header(recording)
        if header.format.channels > MAX_CHANNELS:
            raise UserError(
                f"{recording}: has {header.format.channels} channels; at most "
                f"{MAX_CHANNELS} can be separated together: split it first"
            )
        try:
            encoding = audio.choose(request.container, request.subtype, header)
        except UserError as error:
            raise UserError(f"{recording}: {error}") from None
        names = (f"{output.name}.{request.container}" for output in self.outputs)
        paths = [folder / name for name in names]
        if any(path.exists() and path.samefile(recording) for path in paths):
            raise UserError(f"{recording}: would be overwritten; choose another --out")
        return header, encoding, paths

    def _separate(self, task: Task, tell: Callable[[float], None]) -> Outcome:
        request, (recording, folder) = self._request, task
        header, encoding, paths = self._plan(task)
        rate, channels = header.format
        kept = request.skip_existing and manifest.finished(folder, recording, self._how)
        if kept:
            made = (folder / name for name in kept["outputs"])
            return Outcome(task, SKIPPED, outputs=tuple(made))
        before = manifest.identity(recording)
        survey = audio.survey(recording, request.excerpt, lambda: tell(0))
        first, _ = request.excerpt.samples(rate)
        about = header.about._replace(offset=header.about.offset + first)
        with audio.unclipped(paths, header.format, survey.length, encoding, about) as takes:
            self._fill(takes, recording, survey, tell)
            if not manifest.looks_like(recording, before):
                raise UserError(f"{recording}: {_CHANGED}")
            manifest.forget(folder)
        made = [*paths, *self._page(task, paths)]
        facts = {
            "recording": {"name": recording.name, **before},
            "sample_rate": rate,
            "channels": channels,
            "samples": survey.length,
            "subtype": encoding.subtype,
            "gain": takes.gain,
            "outputs": {
                path.relative_to(folder).as_posix(): manifest.identity(path)
                for path in made
            },
            "model": request.model,
            "how": self._how,
        }
        manifest.write(folder, facts)
        seconds = survey.length / rate
        return Outcome(task, DONE, "", tuple(made), seconds, gain=takes.gain)

    def _fill(self, takes, recording: Path, survey: audio.Survey, tell) -> None:
        """Separates the recording that was surveyed, and writes what is made of it."""
        weights_OS = np.array([output.weights_S for output in self.outputs])
        plain = np.array_equal(weights_OS, np.eye(weights_OS.shape[1]))
        rate, done = survey.format.sample_rate, 0
        mixture = audio.blocks(recording, self._request.excerpt, "float64")
        for stems_SCT in self._separation.blocks(mixture, rate, survey.rms):
            mixed_OCT = stems_SCT
            if not plain:
                mixed_OCT = np.einsum("os,sct->oct", weights_OS, stems_SCT)
            takes.write(mixed_OCT)
            done += stems_SCT.shape[-1]
            tell(done / rate)
        if done != survey.length:
            raise UserError(f"{recording}: {_CHANGED}")

    def _page(self, task: Task, paths: list[Path]) -> list[Path]:
        """A page to listen to what was made, if one was asked for."""
        if not self._request.page:
            return []
        from sep.listening_page.page import Line, PageTrack, write_page

        model = Path(self._request.model).name.removesuffix(".safetensors")
        lines = []
        for output, path in zip(self.outputs, paths, strict=True):
            # Stems sound together; what is made of several sounds by itself.
            system = model if output.name in self._separation.names else output.name
            lines.append(Line(output.name, system, path, {}))
        if self._request.excerpt == audio.WHOLE:  # of which alone there is a file
            lines.insert(0, Line("mixture", "mixture", task.recording, {}))
        title = task.recording.stem
        return [write_page(task.folder / "page", title, [PageTrack(title, lines)])]


def _reason(error: Exception, recording: Path) -> str:
    """One line that says why a recording failed."""
    said = " ".join(str(error).split())
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in said:  # JAX says that
        return f"{recording}: not enough memory; try fewer --jobs"
    if isinstance(error, OSError):
        return f"{recording}: {said}"
    kind = type(error).__name__
    return f"{recording}: an error of Sep's, please report it ({kind}: {said})"


_CHANGED = "changed while it was read; wait until it is complete, and try again"


def _outputs(request: Request, names: tuple[str, ...]) -> list[Output]:
    return plan_outputs(names, request.stems, request.minus, request.gains)


def files_of(request: Request) -> list[str]:
    """Names of the files that each recording gets.

    Raises:
      UserError: the model or the request is none.
    """
    names = load_model(request.model).settings.outputs
    return [f"{output.name}.{request.container}" for output in _outputs(request, names)]


def _how(request: Request, outputs: list[Output], model: str) -> dict:
    """All on which the contents of a recording's outputs depend, for its manifest."""
    duration = request.excerpt.duration
    return {
        "model_sha256": model,
        "outputs": {output.name: output.weights_S for output in outputs},
        "container": request.container,
        "subtype": request.subtype,
        "overlap": request.overlap,
        "shifts": request.shifts,
        "refine": request.refine,
        "start": request.excerpt.start,
        "duration": None if duration == audio.WHOLE.duration else duration,
        "page": request.page,
    }
