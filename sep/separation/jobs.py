"""Separation of one recording from end to end: read, separate, write.

The same worker serves on one machine and on many (`sep.separation.engines`). What is
written is decided by the sinks (`sep.separation.sinks`).
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from sep import audio
from sep.errors import UserError
from sep.model.names import DEFAULT_MODEL
from sep.model.release import load_model, locate_model
from sep.runtime import record
from sep.separation import manifest
from sep.separation.inference import MAX_CHANNELS, load
from sep.separation.outputs import plan_outputs
from sep.separation.recordings import Task
from sep.separation.sinks import ListeningPage, Sink, SoundFiles

DONE, SKIPPED, FAILED = "done", "skipped", "failed"


class Request(NamedTuple):
    """What to make of every recording.

    Attributes:
      model: see `sep.model.release.locate_model`.
      overlap, shifts, refine: see `sep.separation.inference.load`.
      stems, minus, gains: see `sep.separation.outputs.plan_outputs`.
      container, subtype: see `sep.audio.choose`.
      excerpt: the part that is separated.
      page: whether to write a listening page.
      skip_existing: skip recordings that are finished already.
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
    """The result of a task.

    Attributes:
      task: see `Task`.
      status: `DONE`, `SKIPPED` or `FAILED`.
      error: one line, if it failed.
      outputs: paths of the files.
      seconds: duration of the sound in seconds.
      took: duration of the work in seconds.
      gain: gain of the files that prevents clipping, at most 1.
    """

    task: Task
    status: str
    error: str = ""
    outputs: tuple[Path, ...] = ()
    seconds: float = 0.0
    took: float = 0.0
    gain: float = 1.0


class Worker:
    """A compiled model and its sinks. `worker(task)` may be called by several threads.

    Raises:
      UserError: there is no such model, or the request does not fit it.
    """

    def __init__(self, request: Request):
        path = locate_model(request.model)
        options = {name: getattr(request, name) for name in ("overlap", "shifts", "refine")}
        self._separation = load(str(path), **options)
        self._sinks = sinks_of(request, self._separation.names)
        self._request = request
        self._how = _how(request, self._sinks, record.sha256(path))

    def __call__(
        self, task: Task, progress: Callable[[float], None] = lambda _: None
    ) -> Outcome:
        """Separates a recording; an error is part of the outcome.

        Args:
          task: see `Task`.
          progress: is called now and then with the seconds of sound that are done. If it
            raises something that is no `Exception`, the work ends and leaves no file.
        """
        start = time.monotonic()
        try:
            outcome = self._separate(task, progress)
        except Exception as error:  # other recordings go on
            outcome = Outcome(task, FAILED, _reason(error, task.recording))
        return outcome._replace(took=time.monotonic() - start)

    def _separate(self, task: Task, progress: Callable[[float], None]) -> Outcome:
        request, (recording, folder) = self._request, task
        header = audio.header(recording)
        rate, channels = header.format
        if channels > MAX_CHANNELS:
            raise UserError(
                f"{recording}: has {channels} channels; at most {MAX_CHANNELS} can be "
                "separated together: split it first"
            )
        writers = [sink.prepare(task, header) for sink in self._sinks]
        skip = request.skip_existing
        if found := skip and manifest.finished(folder, recording, self._how):
            made_before = tuple(folder / name for name in found["outputs"])
            return Outcome(task, SKIPPED, outputs=made_before)
        before = record.identity(recording)
        survey = audio.survey(recording, request.excerpt, lambda: progress(0))
        first, _ = request.excerpt.samples(rate)
        about = header.about._replace(offset=header.about.offset + first)
        made = manifest.record(folder, self._how)
        with ExitStack() as files:
            for writer in writers:
                files.enter_context(writer.open(survey.length, about))
            done = 0
            mixture = audio.blocks(recording, request.excerpt, "float64")
            for stems_SCT in self._separation.blocks(mixture, rate, survey.rms):
                for writer in writers:
                    writer.write(stems_SCT)
                done += stems_SCT.shape[-1]
                progress(done / rate)
            if done != survey.length or not record.has_size_and_time(recording, before):
                raise UserError(f"{recording}: {_CHANGED}")
            made.remove()  # its files are about to be replaced
        paths = [path for writer in writers for path in writer.finish()]
        facts = {
            "recording": {"name": recording.name, **before},
            "sample_rate": rate,
            "channels": channels,
            "samples": survey.length,
            "outputs": {
                path.relative_to(folder).as_posix(): record.identity(path) for path in paths
            },
            "model": request.model,
        }
        for writer in writers:
            facts |= writer.facts()
        made.write(facts)
        gain, seconds = facts.get("gain", 1.0), survey.length / rate
        return Outcome(task, DONE, "", tuple(paths), seconds, gain=gain)


def _reason(error: Exception, recording: Path) -> str:
    """One line that states why a recording failed."""
    text = " ".join(str(error).split())
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text:  # from JAX
        return f"{recording}: not enough memory; try fewer --jobs"
    if isinstance(error, OSError):
        return f"{recording}: {text}"
    kind = type(error).__name__
    return f"{recording}: an error of Sep's, please report it ({kind}: {text})"


_CHANGED = "changed while it was read; wait until it is complete, and try again"


def sinks_of(request: Request, names: tuple[str, ...]) -> list[Sink]:
    """The sinks of a request, for a model whose stems have these names.

    Raises:
      UserError: the request names a stem that the model does not have.
    """
    outputs = plan_outputs(names, request.stems, request.minus, request.gains)
    sounds = SoundFiles(outputs, request.container, request.subtype)
    if not request.page:
        return [sounds]
    model = Path(request.model).name.removesuffix(".safetensors")
    whole = request.excerpt == audio.WHOLE  # of an excerpt there is no file
    return [sounds, ListeningPage(sounds, names, model, with_mixture=whole)]


def files_of(request: Request) -> list[str]:
    """Names of the files that each recording gets.

    Raises:
      UserError: there is no such model, or the request does not fit it.
    """
    names = load_model(request.model).settings.outputs
    return [name for sink in sinks_of(request, names) for name in sink.files]


def _how(request: Request, sinks: list[Sink], model: str) -> dict[str, Any]:
    """All that the contents of a recording's files depend on, for its record."""
    duration = request.excerpt.duration
    how: dict[str, Any] = {"model_sha256": model}
    for sink in sinks:
        how |= sink.identity
    return how | {
        "overlap": request.overlap,
        "shifts": request.shifts,
        "refine": request.refine,
        "start": request.excerpt.start,
        "duration": None if duration == audio.WHOLE.duration else duration,
        "page": request.page,
    }
