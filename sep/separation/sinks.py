"""Sinks write files from a recording's stems. Each kind of output is one sink.

A `Sink` serves all recordings. For each recording it prepares a `Writer`, which receives
the stems block by block and writes the files. To add a kind of output (transcribed notes,
for example), write a sink and add it to `sep.separation.jobs.sinks_of`.

Shapes: S source, O output, C channel, T sample.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from sep import audio
from sep.errors import UserError
from sep.separation.outputs import Output
from sep.separation.recordings import Task


class Writer(Protocol):
    """Writes the files of one recording."""

    def open(self, length: int, about: audio.About) -> contextlib.AbstractContextManager:
        """Opens the files. `write` may be called within the returned context.

        The files appear when the context ends without an exception.

        Args:
          length: length of the stems in samples.
          about: metadata of the files.
        """
        ...

    def write(self, stems_SCT: np.ndarray) -> None:
        """Appends the next block of all stems."""
        ...

    def finish(self) -> list[Path]:
        """Writes what needs the files of other sinks. Returns the paths of all files.

        It is called after the contexts of all writers have ended.
        """
        ...

    def facts(self) -> dict[str, Any]:
        """Returns entries for the recording's record."""
        ...


class Sink(Protocol):
    """Prepares a writer for each recording."""

    @property
    def files(self) -> Sequence[str]:
        """Names of the files that are written into each recording's folder."""
        ...

    @property
    def identity(self) -> dict[str, Any]:
        """All that the contents of the files depend on, besides the stems."""
        ...

    def prepare(self, task: Task, header: audio.Header) -> Writer:
        """Returns a writer for a recording.

        Args:
          task: the recording and its folder.
          header: the recording's header.

        Raises:
          UserError: the files cannot be written, or one would replace the recording.
        """
        ...


class SoundFiles:
    """Writes outputs as sound files with the recording's rate and channels."""

    def __init__(self, outputs: Sequence[Output], container: str, subtype: str) -> None:
        """Makes the sink.

        Args:
          outputs: see `sep.separation.outputs.plan_outputs`.
          container: see `audio.choose`.
          subtype: see `audio.choose`.
        """
        self.outputs, self.container, self._subtype = outputs, container, subtype
        self.files = tuple(f"{output.name}.{container}" for output in outputs)
        self.identity = {
            "outputs": {output.name: output.weights_S for output in outputs},
            "container": container,
            "subtype": subtype,
        }

    def prepare(self, task: Task, header: audio.Header) -> "SoundFileWriter":
        """See `Sink`."""
        recording, folder = task
        try:
            encoding = audio.choose(self.container, self._subtype, header)
        except UserError as error:
            raise UserError(f"{recording}: {error}") from None
        paths = [folder / name for name in self.files]
        if any(path.exists() and path.samefile(recording) for path in paths):
            raise UserError(f"{recording}: would be overwritten; choose another --out")
        weights_OS = np.array([output.weights_S for output in self.outputs])
        return SoundFileWriter(paths, weights_OS, header.format, encoding)


class SoundFileWriter:
    """Writes weighted sums of stems. One gain for all files prevents clipping."""

    def __init__(
        self,
        paths: list[Path],
        weights_OS: np.ndarray,
        sound: audio.Format,
        encoding: audio.Encoding,
    ) -> None:
        self._paths, self._sound, self._encoding = paths, sound, encoding
        self._weights_OS = weights_OS
        self._stems_only = np.array_equal(weights_OS, np.eye(weights_OS.shape[1]))

    @contextlib.contextmanager
    def open(self, length: int, about: audio.About) -> Iterator[None]:
        """See `Writer`."""
        options = self._sound, length, self._encoding, about
        with audio.unclipped(self._paths, *options) as self._files:
            yield

    def write(self, stems_SCT: np.ndarray) -> None:
        """See `Writer`."""
        waves_OCT = stems_SCT
        if not self._stems_only:
            waves_OCT = np.einsum("os,sct->oct", self._weights_OS, stems_SCT)
        self._files.write(waves_OCT)

    def finish(self) -> list[Path]:
        """See `Writer`."""
        return self._paths

    def facts(self) -> dict[str, Any]:
        """See `Writer`."""
        return {"subtype": self._encoding.subtype, "gain": self._files.gain}


class ListeningPage:
    """Writes a page for listening to the recording and its sound files."""

    files = ()  # the page is in a subfolder
    identity: dict[str, Any] = {}

    def __init__(
        self, sounds: SoundFiles, stems: Sequence[str], model: str, *, with_mixture: bool
    ) -> None:
        """Makes the sink.

        Args:
          sounds: the sink of the sound files.
          stems: names of the model's stems. The page can play these together.
          model: name of the model, for the page.
          with_mixture: whether the page includes the recording.
        """
        self._sounds, self._stems, self._model = sounds, stems, model
        self._with_mixture = with_mixture

    def prepare(self, task: Task, header: audio.Header) -> "ListeningPageWriter":
        """See `Sink`."""
        lines = []
        for output, name in zip(self._sounds.outputs, self._sounds.files, strict=True):
            # Other outputs contain several stems. As a system of its own, such an output
            # is not played together with stems that it contains.
            system = self._model if output.name in self._stems else output.name
            lines.append((output.name, system, task.folder / name))
        if self._with_mixture:
            lines.insert(0, ("mixture", "mixture", task.recording))
        return ListeningPageWriter(task, lines)


class ListeningPageWriter:
    """Writes the page when the sound files are complete."""

    def __init__(self, task: Task, lines: list[tuple[str, str, Path]]) -> None:
        self._task, self._lines = task, lines

    def open(self, length: int, about: audio.About) -> contextlib.AbstractContextManager:
        """See `Writer`."""
        return contextlib.nullcontext()

    def write(self, stems_SCT: np.ndarray) -> None:
        """Does nothing: the page is made from the sound files."""

    def finish(self) -> list[Path]:
        """See `Writer`."""
        # Imported late: most runs write no page, and the import is slow.
        from sep.listening_page.page import Line, PageTrack, write_page

        title = self._task.recording.stem
        lines = [Line(source, system, path, {}) for source, system, path in self._lines]
        track = PageTrack(title, lines)
        return [write_page(self._task.folder / "page", title, [track])]

    def facts(self) -> dict[str, Any]:
        """See `Writer`."""
        return {}
