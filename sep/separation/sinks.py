"""Sinks: what is made of a recording's stems. Each kind of output is one class here.

A `Sink` serves all recordings. For each it prepares a `Writer`, which receives the stems
block by block and makes its files. To add a kind of output (notes, say), write its sink and
add it to `sinks_of`.

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
    """Makes the files of one recording."""

    def open(self, length: int, about: audio.About) -> contextlib.AbstractContextManager:
        """Opens the files for stems of `length` samples; within it `write` may be called.

        The files appear when the context ends without an exception.
        """
        ...

    def write(self, stems_SCT: np.ndarray) -> None:
        """Receives the next block of all stems."""
        ...

    def finish(self) -> list[Path]:
        """Completes what needs the files of all sinks; returns the paths of its files."""
        ...

    def facts(self) -> dict[str, Any]:
        """Facts for the record of the recording."""
        ...


class Sink(Protocol):
    """Prepares writers.

    Attributes:
      files: names of the files that each recording gets.
      identity: all that the contents of these files depend on, besides the stems.
    """

    files: Sequence[str]
    identity: dict[str, Any]

    def prepare(self, task: Task, header: audio.Header) -> Writer:
        """A writer for a recording.

        Raises:
          UserError: the files cannot be made, or would replace the recording.
        """
        ...


class SoundFiles:
    """Stems, all but some stems, and a remix, as sound files of the recording's format."""

    def __init__(self, outputs: Sequence[Output], container: str, subtype: str):
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
    """Writes weighted sums of stems, with one gain for all that prevents clipping."""

    def __init__(
        self,
        paths: list[Path],
        weights_OS: np.ndarray,
        sound: audio.Format,
        encoding: audio.Encoding,
    ):
        self._paths, self._sound, self._encoding = paths, sound, encoding
        self._weights_OS = weights_OS
        self._stems_only = np.array_equal(weights_OS, np.eye(weights_OS.shape[1]))

    @contextlib.contextmanager
    def open(self, length: int, about: audio.About) -> Iterator[None]:
        """See `Writer`."""
        how = self._sound, length, self._encoding, about
        with audio.unclipped(self._paths, *how) as self._files:
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
    """A page to listen to the recording and its sound files."""

    files = ()  # it has a folder of its own
    identity: dict[str, Any] = {}

    def __init__(
        self, sounds: SoundFiles, stems: Sequence[str], model: str, *, with_mixture: bool
    ):
        """Makes the sink.

        Args:
          sounds: the sink of the sound files.
          stems: names of the model's stems, which sound together.
          model: name of the model, for the page.
          with_mixture: whether the recording itself has the length of the stems.
        """
        self._sounds, self._stems, self._model = sounds, stems, model
        self._with_mixture = with_mixture

    def prepare(self, task: Task, header: audio.Header) -> "ListeningPageWriter":
        """See `Sink`."""
        lines = []
        for output, name in zip(self._sounds.outputs, self._sounds.files, strict=True):
            # A sum of several stems is played by itself.
            system = self._model if output.name in self._stems else output.name
            lines.append((output.name, system, task.folder / name))
        if self._with_mixture:
            lines.insert(0, ("mixture", "mixture", task.recording))
        return ListeningPageWriter(task, lines)


class ListeningPageWriter:
    """Writes the page once the sound files are complete."""

    def __init__(self, task: Task, lines: list[tuple[str, str, Path]]):
        self._task, self._lines = task, lines

    def open(self, length: int, about: audio.About) -> contextlib.AbstractContextManager:
        """See `Writer`."""
        return contextlib.nullcontext()

    def write(self, stems_SCT: np.ndarray) -> None:
        """See `Writer`; the page reads the sound files instead."""

    def finish(self) -> list[Path]:
        """See `Writer`."""
        from sep.listening_page.page import Line, PageTrack, write_page  # slow to import

        title = self._task.recording.stem
        lines = [Line(source, system, path, {}) for source, system, path in self._lines]
        track = PageTrack(title, lines)
        return [write_page(self._task.folder / "page", title, [track])]

    def facts(self) -> dict[str, Any]:
        """See `Writer`."""
        return {}
