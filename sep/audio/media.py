"""Reads with PyAV what libsndfile does not: M4A, AAC, WMA, and the sound of videos.

PyAV is a binding of FFmpeg. The extra `media` installs it.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, cast

import numpy as np

from sep.audio.kinds import About, Format, Header, place
from sep.audio.sndfile import TAGS
from sep.errors import UserError

if TYPE_CHECKING:
    from av import AudioStream
    from av.container import InputContainer

SUFFIXES = frozenset(
    (".3gp", ".aac", ".ac3", ".avi", ".flv", ".m4a", ".m4b", ".m4v")
    + (".mka", ".mkv", ".mov", ".mp4", ".mpg", ".webm", ".wma", ".wmv")
)
# Width of FFmpeg's integer samples. It decodes 24 bits to 32, so that may be too many.
_BITS = {"u8": 8, "s16": 16, "s32": 32}
_NAMES = {"track": "tracknumber"}  # tags that libsndfile calls otherwise


class Sound:
    """A file open for reading: its main sound track, or the first if none is marked."""

    def __init__(self, path: Path, av: ModuleType, container: "InputContainer"):
        self._path, self._av, self._container = path, av, container
        stream = cast("AudioStream | None", container.streams.best("audio"))
        if stream is None:
            raise UserError(f"{path}: contains no sound track")
        self._stream = stream
        found = Format(stream.rate, stream.layout.nb_channels)
        # MP4 gives its duration to a millisecond or better; other kinds only estimate it.
        known = stream.duration if "mp4" in container.format.name else None
        length = 0
        if known and stream.time_base:
            length = int(known * stream.time_base * found.sample_rate)
        bits = _BITS.get(stream.format.name.removesuffix("p"), 0)
        self.header = Header(
            found, length, 0 if stream.codec.lossy else bits, _about(container, stream)
        )

    def blocks(self, first: int, dtype: str) -> Iterator[np.ndarray]:
        """Yields blocks; see `Reader`.

        The last block may end with the padding of the encoder's last packet: as in FFmpeg,
        where that begins is not guessed.
        """
        (rate, channels), length = self.header.format, self.header.length
        kind = "dbl" if dtype == "float64" else "flt"
        convert = self._av.AudioResampler(kind, self._stream.layout, rate)
        at = 0
        try:
            for frame in self._container.decode(self._stream):
                for part in convert.resample(frame):
                    block_TC = part.to_ndarray().reshape(-1, channels)
                    skipped = min(max(first - at, 0), len(block_TC))
                    at += len(block_TC)
                    if skipped < len(block_TC):
                        yield block_TC[skipped:]
        except self._av.FFmpegError as error:
            raise UserError(
                f"{self._path}: cannot be read as sound beyond {place(at, rate)}: "
                f"{error.strerror}; the file is damaged, copy or export it again"
            ) from None
        if at < length - rate // 100:
            raise UserError(
                f"{self._path}: is cut short: it ends at {place(at, rate)}, before its "
                "expected end; copy or export it again"
            )


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Sound]:
    """Opens a file.

    Raises:
      UserError: it contains no sound, or PyAV is not installed.
    """
    try:
        import av
    except ImportError:
        raise UserError(
            f"{path}: {path.suffix} files need PyAV; run pip install '.[media]' in Sep's "
            "folder, or convert the file to WAV or FLAC first"
        ) from None
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(path.open("rb"))  # for names that are not UTF-8
        try:
            container = stack.enter_context(av.open(file, "r", metadata_errors="replace"))
        except av.FFmpegError as error:
            raise UserError(
                f"{path}: cannot be read as sound ({error.strerror}); copy or export it "
                "again"
            ) from None
        yield Sound(path, av, container)


def _about(container: "InputContainer", stream: "AudioStream") -> About:
    found = {**container.metadata, **stream.metadata}
    found = {_NAMES.get(name.lower(), name.lower()): text for name, text in found.items()}
    late = 0  # samples between the start of a video and of its sound
    if stream.start_time and stream.time_base and container.start_time is not None:
        begins = float(stream.start_time * stream.time_base)
        late = round((begins - container.start_time / 1e6) * stream.rate)
    return About(
        {name: found[name] for name in TAGS if found.get(name)}, offset=max(late, 0)
    )
