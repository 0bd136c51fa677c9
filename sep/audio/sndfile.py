"""Reads sound files with libsndfile: WAV, FLAC, Ogg, MP3, AIFF and many more.

libsndfile reads what is there of a file that was cut, and says nothing. Here that is an
error, for a recording must not be shortened on the sly.
"""

import contextlib
import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path

import soundfile

from sep.audio.kinds import BLOCK, About, Format, Header, name_for_c, place
from sep.errors import UserError

SUFFIXES = frozenset(
    f".{name.lower()}" for name in soundfile.available_formats() if name != "RAW"
) | {".aif", ".aifc", ".oga", ".opus"}
TAGS = ("title", "artist", "album", "tracknumber", "date", "genre", "comment")
TAGS += ("copyright", "license")
# Ogg's order of 3, 5, 6, 7 and 8 channels (Vorbis I, 4.3.9), by their places in WAV's.
_ORDER_IN_OGG = {
    3: [0, 2, 1],
    5: [0, 2, 1, 3, 4],
    6: [0, 2, 1, 5, 3, 4],
    7: [0, 2, 1, 6, 5, 3, 4],
    8: [0, 2, 1, 7, 5, 6, 3, 4],
}
_LOSSLESS = re.compile(r"(?:PCM|ALAC|DWVW)_[SU]?(\d+)")
# In libsndfile's log, sizes that a header has and that the file has.
_CUT = re.compile(
    r"^ *(?:data|SSND|Data Size|riff) *: (?P<said>\d+) \(should be (?P<found>\d+)\)"
    r"|Calculated frame count (?P<frames>\d+) does not match value from 'ds64' chunk of "
    r"(?P<ds64>\d+)",
    re.MULTILINE,
)
# Of WAV files written to a pipe: their writers did not know the size yet.
_UNKNOWN_SIZES = {0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, *range(2**32 - 256, 2**32)}
_GET_BROADCAST, _GET_SPEAKERS = 0x10F0, 0x1100  # commands that soundfile has no names for
_SET_BROADCAST, _SET_SPEAKERS, _SET_PEAK_CHUNK = 0x10F1, 0x1101, 0x1050
_BROADCAST_SIZE, _TIME_REFERENCE = 864, slice(340, 348)  # SF_BROADCAST_INFO


class Sound:
    """A file open for reading."""

    def __init__(self, path: Path, file: soundfile.SoundFile):
        self._path, self._file = path, file
        _refuse_if_cut(path, file)
        known = 0 < file.frames < 2**62
        lossless = _LOSSLESS.fullmatch(file.subtype)
        self.header = Header(
            Format(file.samplerate, file.channels),
            file.frames if known else 0,
            int(lossless[1]) if lossless else 0,
            _about(file),
        )

    def blocks(self, first: int, dtype: str) -> Iterator:
        """Blocks (up to `BLOCK`, C) from a sample on, which may lie beyond the end."""
        file, length = self._file, self.header.length
        at = 0
        if _LOSSLESS.fullmatch(file.subtype) and 0 < first < length:
            at = file.seek(first)  # of other kinds, libsndfile may miss the place
        order = _ORDER_IN_OGG.get(file.channels) if file.format == "OGG" else None
        try:
            while len(block_TC := file.read(BLOCK, dtype=dtype, always_2d=True)):
                skipped = min(max(first - at, 0), len(block_TC))
                at += len(block_TC)
                if skipped < len(block_TC):
                    block_TC = block_TC[skipped:]
                    yield block_TC[:, order] if order else block_TC
        except soundfile.LibsndfileError as error:
            raise UserError(
                f"{self._path}: cannot be read as sound beyond "
                f"{place(at, file.samplerate)}: {reason(error)}; it is damaged: copy or "
                "export it again"
            ) from None
        if at < length and not (file.format == "MP3" and not _counted(self._path)):
            raise UserError(_cut_short(self._path, at, file.samplerate))


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Sound]:
    """A file, open. Raises UserError if it is not sound or was cut."""
    try:
        file = soundfile.SoundFile(name_for_c(path))
    except (soundfile.LibsndfileError, TypeError) as error:
        raise UserError(
            f"{path}: cannot be read as sound ({reason(error)}); convert it to WAV or "
            "FLAC first"
        ) from None
    with file:
        yield Sound(path, file)


def reason(error: Exception) -> str:
    """What libsndfile says, less what it says wrongly."""
    found = getattr(error, "error_string", "unknown format")
    found = found.removeprefix("Error : ").rstrip(".")
    # What it says of an MP3 that is none, and of what it has no words for.
    return "unknown format" if "does not exist" in found or not found else found


def _about(file: soundfile.SoundFile) -> About:
    tags = {name: getattr(file, name) for name in TAGS}
    broadcast = _command(file, _GET_BROADCAST, _BROADCAST_SIZE)
    speakers = b""
    if file.format != "OGG":  # there they are in another order than the samples of `Sound`
        speakers = _command(file, _GET_SPEAKERS, 4 * file.channels)
    return About(
        {name: text for name, text in tags.items() if text},
        struct.unpack(f"{len(speakers) // 4}i", speakers),
        broadcast,
    )


def describe(file: soundfile.SoundFile, about: About) -> None:
    """Says of a file to be written what its container can hold of this."""
    # The chunk holds the time: without it equal sounds are equal files.
    soundfile._snd.sf_command(file._file, _SET_PEAK_CHUNK, soundfile._ffi.NULL, 0)
    if about.broadcast or about.offset:
        info = bytearray(about.broadcast or _BROADCAST_SIZE)
        start = int.from_bytes(info[_TIME_REFERENCE], "little") + about.offset
        info[_TIME_REFERENCE] = start.to_bytes(8, "little")
        _command(file, _SET_BROADCAST, bytes(info))
    if len(about.speakers) == file.channels:
        _command(file, _SET_SPEAKERS, struct.pack(f"{file.channels}i", *about.speakers))
    for name, text in about.tags.items():
        with contextlib.suppress(soundfile.LibsndfileError):
            setattr(file, name, text)


def _command(file: soundfile.SoundFile, number: int, given: bytes | int) -> bytes:
    """What a command of libsndfile leaves in its buffer; nothing if it refuses."""
    size = given if isinstance(given, int) else len(given)
    buffer = soundfile._ffi.new("char[]", bytes(given))
    done = soundfile._snd.sf_command(file._file, number, buffer, size)
    return bytes(soundfile._ffi.buffer(buffer, size)) if done else b""


def _refuse_if_cut(path: Path, file: soundfile.SoundFile) -> None:
    for sizes in _CUT.finditer(file.extra_info):
        said = int(sizes["said"] or sizes["ds64"])
        found = int(sizes["found"] or sizes["frames"])
        if said > found and said not in _UNKNOWN_SIZES:
            raise UserError(_cut_short(path, file.frames, file.samplerate))
    if file.format == "OGG" and not _has_last_page(path):
        raise UserError(_cut_short(path, file.frames, file.samplerate))


def _cut_short(path: Path, samples: int, sample_rate: int) -> str:
    return (
        f"{path}: is cut short: it ends at {place(samples, sample_rate)}, before what "
        "it announces; copy or export it again"
    )


def _has_last_page(path: Path) -> bool:
    """Whether an Ogg file ends with a whole page that is marked as the last."""
    with path.open("rb") as file:
        file.seek(max(0, os.path.getsize(path) - 2**17))
        tail = file.read()
    page = tail[tail.rfind(b"OggS") :] if b"OggS" in tail else b""
    if len(page) < 27:
        return False
    return bool(page[5] & 4) and len(page) >= 27 + page[26] + sum(page[27 : 27 + page[26]])


def _counted(path: Path) -> bool:
    """Whether an MP3 says how long it is: otherwise its length is an estimate."""
    with path.open("rb") as file:
        start = file.read(10)
        tag = start[:3] == b"ID3"  # before the sound; its size is in bytes of 7 bits
        size = (
            10 + sum(byte << 7 * (3 - i) for i, byte in enumerate(start[6:10]))
            if tag
            else 0
        )
        file.seek(size)
        frame = file.read(4096)
    return any(name in frame for name in (b"Xing", b"Info", b"VBRI"))
