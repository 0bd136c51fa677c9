"""Separation of one recording from end to end: read, separate, write.

All engines (`sep.separation.engines`) run the same worker, on one machine or on many. The
sinks (`sep.separation.sinks`) determine which files are written.
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
    """Settings that are the same for all recordings of a run.

    Attributes:
      model: see `sep.model.release.locate_model`.
      overlap, shifts, refine: see `sep.separation.inference.load`.
      stems, minus, gains: see `sep.separation.outputs.plan_outputs`.
      container, subtype: see `sep.audio.choose`.
      excerpt: the part of each recording that is separated.
      page: whether to write a listening page.
      skip_existing: whether to skip recordings with complete outputs; see
        `sep.separation.manifest.finished`.
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
      error: the reason in one line, if it failed.
      outputs: paths of the files.
      seconds: duration of the separated sound.
      took: seconds that the work took.
      gain: gain of the sound files that prevents clipping, at most 1.
    """

    task: Task
    status: str
    error: str = ""
    outputs: tuple[Path, ...] = ()
    seconds: float = 0.0
    took: float = 0.0
    gain: float = 1.0


class Worker:
    """A compiled model and the sinks of a request. Threads may share it.

    Raises:
      UserError: there is no such model, or it lacks a stem of the request.
    """

    def __init__(self, request: Request) -> None:
        path = locate_model(request.model)
        options = {name: getattr(request, name) for name in ("overlap", "shifts", "refine")}
        self._separation = load(str(path), **options)
        self._sinks = sinks_of(request, self._separation.names)
        self._request = request
        self._how = _how(request, self._sinks, record.sha256(path))

    def __call__(
        self, task: Task, progress: Callable[[float], None] = lambda _: None
    ) -> Outcome:
        """Separates a recording. Errors are returned in the outcome.

        Args:
          task: see `Task`.
          progress: is called repeatedly with the seconds of sound that are separated. If it
            raises a BaseException that is no Exception, the work ends without files.
        """
        start = time.monotonic()
        try:
            outcome = self._separate(task, progress)
        except Exception as error:  # must not end the separation of other recordings
            outcome = Outcome(task, FAILED, _reason(error, task.recording))
        return outcome._replace(took=time.monotonic() - start)

    def _separate(self, task: Task, progress: Callable[[float], None]) -> Outcome:
        """Separates a recording, or skips it if its outputs are complete.

        Raises:
          UserError: the recording cannot be read or separated, or a file not written.
        """
        request, (recording, folder) = self._request, task
        header = audio.header(recording)
        rate, channels = header.format
        if channels > MAX_CHANNELS:
            raise UserError(
                f"{recording}: has {channels} channels, more than the {MAX_CHANNELS} that "
                "can be separated together; split it first"
            )
        writers = [sink.prepare(task, header) for sink in self._sinks]
        skip = request.skip_existing
        if skip and (finished := manifest.finished(folder, recording, self._how)):
            paths = [folder / name for name in finished["outputs"]]
            return Outcome(task, SKIPPED, outputs=tuple(paths))
        before = record.identity(recording)
        survey = audio.survey(recording, request.excerpt, lambda: progress(0))
        first, _ = request.excerpt.samples(rate)
        about = header.about._replace(offset=header.about.offset + first)
        made = manifest.record(folder, self._how)
        done = 0
        with ExitStack() as files:
            for writer in writers:
                files.enter_context(writer.open(survey.length, about))
            mixture = audio.blocks(recording, request.excerpt, "float64")
            for stems_SCT in self._separation.blocks(mixture, rate, survey.rms):
                for writer in writers:
                    writer.write(stems_SCT)
                done += stems_SCT.shape[-1]
                progress(done / rate)
            if done != survey.length or not record.has_size_and_time(recording, before):
                raise UserError(f"{recording}: {_CHANGED}")
            made.remove()  # leaving the context replaces the files that it describes
        paths = [path for writer in writers for path in writer.finish()]
        facts: dict[str, Any] = {
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
    """Returns the error message of a recording, one line."""
    text = " ".join(str(error).split())
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text:  # JAX's error
        return f"{recording}: not enough memory; try fewer --jobs"
    if isinstance(error, OSError):
        return f"{recording}: {text}"
    kind = type(error).__name__
    return f"{recording}: internal error ({kind}: {text}); please report it"


_CHANGED = "changed while it was read; wait until it is complete, and try again"


def sinks_of(request: Request, names: tuple[str, ...]) -> list[Sink]:
    """Returns the sinks of a request, for a model with stems of these names.

    Raises:
      UserError: the request names a stem that the model does not have.
    """
    outputs = plan_outputs(names, request.stems, request.minus, request.gains)
    sounds = SoundFiles(outputs, request.container, request.subtype)
    if not request.page:
        return [sounds]
    model = Path(request.model).name.removesuffix(".safetensors")
    whole = request.excerpt == audio.WHOLE  # an excerpt exists in no file for the page
    return [sounds, ListeningPage(sounds, names, model, with_mixture=whole)]


def files_of(request: Request) -> list[str]:
    """Returns the names of the files that each recording gets.

    Raises:
      UserError: there is no such model, or it lacks a stem of the request.
    """
    names = load_model(request.model).settings.outputs
    return [name for sink in sinks_of(request, names) for name in sink.files]


def _how(request: Request, sinks: list[Sink], model: str) -> dict[str, Any]:
    """Returns all that the contents of a recording's files depend on, for its record.

    Args:
      request: the settings.
      sinks: the sinks of the request.
      model: SHA-256 of the model's file.
    """
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
