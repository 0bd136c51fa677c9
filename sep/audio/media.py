"""Reads what libsndfile does not, with PyAV: M4A, AAC, WMA, and the sound of videos.

PyAV is FFmpeg; it comes with the extra `media`.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from sep.audio.kinds import About, Format, Header, place
from sep.audio.sndfile import TAGS
from sep.errors import UserError

SUFFIXES = frozenset(
    (".3gp", ".aac", ".ac3", ".avi", ".flv", ".m4a", ".m4b", ".m4v")
    + (".mka", ".mkv", ".mov", ".mp4", ".mpg", ".webm", ".wma", ".wmv")
)
# Bits of FFmpeg's integer samples; of 24 bits it makes 32, so those may be too many.
_BITS = {"u8": 8, "s16": 16, "s32": 32}
_NAMES = {"track": "tracknumber"}  # of tags, where libsndfile has another


class Sound:
    """A file open for reading; its first (or, by its own word, main) sound track."""

    def __init__(self, path: Path, av, container):
        self._path, self._av, self._container = path, av, container
        stream = self._stream = container.streams.best("audio")
        if stream is None:
            raise UserError(f"{path}: holds no sound")
        found = Format(stream.rate, stream.layout.nb_channels)
        # MP4 says when it ends, to a millisecond or better; other kinds only estimate.
        known = stream.duration if "mp4" in container.format.name else None
        length = int((known or 0) * stream.time_base * found.sample_rate)
        bits = _BITS.get(stream.format.name.removesuffix("p"), 0)
        self.header = Header(
            found, length, 0 if stream.codec.lossy else bits, _about(container, stream)
        )

    def blocks(self, first: int, dtype: str) -> Iterator:
        """Blocks (T, C) from a sample on, which may lie beyond the end.

        The last can end with what an encoder filled up its last packet with: as FFmpeg,
        we do not guess where that begins.
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
                f"{error.strerror}; it is damaged: copy or export it again"
            ) from None
        if at < length - rate // 100:
            raise UserError(
                f"{self._path}: is cut short: it ends at {place(at, rate)}, before what "
                "it announces; copy or export it again"
            )


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Sound]:
    """A file, open. Raises UserError if it holds no sound, or without PyAV."""
    try:
        import av
    except ImportError:
        raise UserError(
            f"{path}: {path.suffix} files need PyAV: pip install '.[media]' in Sep's "
            "folder; or convert it to WAV or FLAC first"
        ) from None
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(path.open("rb"))  # for names that are not UTF-8
        try:
            container = stack.enter_context(av.open(file, metadata_errors="replace"))
        except av.FFmpegError as error:
            raise UserError(
                f"{path}: cannot be read as sound ({error.strerror}); copy or export it "
                "again"
            ) from None
        yield Sound(path, av, container)


def _about(container, stream) -> About:
    found = {**container.metadata, **stream.metadata}
    found = {_NAMES.get(name.lower(), name.lower()): text for name, text in found.items()}
    late = 0  # where a video begins before its sound
    if stream.start_time and container.start_time is not None:
        begins = float(stream.start_time * stream.time_base)
        late = round((begins - container.start_time / 1e6) * stream.rate)
    return About(
        {name: found[name] for name in TAGS if found.get(name)}, offset=max(late, 0)
    )
