"""Reads sound files with libsndfile: WAV, FLAC, Ogg, MP3, AIFF and many more.

libsndfile reads a file that was cut short up to its end, without an error. Here that is an
error: a recording must not be shortened silently.
"""

import contextlib
import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from sep.audio.kinds import BLOCK, About, Format, Header, name_for_c, place
from sep.errors import UserError

SUFFIXES = frozenset(
    f".{name.lower()}" for name in soundfile.available_formats() if name != "RAW"
) | {".aif", ".aifc", ".oga", ".opus"}
TAGS: tuple[str, ...] = ("title", "artist", "album", "tracknumber", "date", "genre")
TAGS += ("comment", "copyright", "license")
# Indices in Ogg's order of WAV's 3, 5, 6, 7 and 8 channels (Vorbis I, 4.3.9).
_ORDER_IN_OGG = {
    3: [0, 2, 1],
    5: [0, 2, 1, 3, 4],
    6: [0, 2, 1, 5, 3, 4],
    7: [0, 2, 1, 6, 5, 3, 4],
    8: [0, 2, 1, 7, 5, 6, 3, 4],
}
_LOSSLESS = re.compile(r"(?:PCM|ALAC|DWVW)_[SU]?(\d+)")
# Matches sizes in libsndfile's log: the header's, and the file's actual one.
_CUT = re.compile(
    r"^ *(?:data|SSND|Data Size|riff) *: (?P<header>\d+) \(should be (?P<actual>\d+)\)"
    r"|Calculated frame count (?P<actual_frames>\d+) does not match value from 'ds64' "
    r"chunk of (?P<header_frames>\d+)",
    re.MULTILINE,
)
# Sizes in headers of WAV files that were written to a pipe, before their size was known.
_UNKNOWN_SIZES = {0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, *range(2**32 - 256, 2**32)}
# Commands in sndfile.h that soundfile has no methods for.
_GET_BROADCAST, _GET_SPEAKERS = 0x10F0, 0x1100
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

    def blocks(self, first: int, dtype: str) -> Iterator[np.ndarray]:
        """Yields blocks of up to `BLOCK` samples; see `Reader`."""
        file, length = self._file, self.header.length
        at = 0
        if _LOSSLESS.fullmatch(file.subtype) and 0 < first < length:
            at = file.seek(first)  # in lossy files it may be inexact
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
                f"{place(at, file.samplerate)}: {reason(error)}; the file is damaged, "
                "copy or export it again"
            ) from None
        if at < length and not (file.format == "MP3" and not _has_length(self._path)):
            raise UserError(_cut_short(self._path, at, file.samplerate))


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Sound]:
    """Opens a file. Raises UserError if it is not sound or was cut short."""
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
    """Returns libsndfile's message, with misleading ones replaced."""
    found = getattr(error, "error_string", "unknown format")
    found = found.removeprefix("Error : ").rstrip(".")
    # The message for other data under the suffix .mp3 is that the file does not exist; for
    # some other formats it is empty.
    return "unknown format" if "does not exist" in found or not found else found


def _about(file: soundfile.SoundFile) -> About:
    tags = {name: getattr(file, name) for name in TAGS}
    broadcast = _command(file, _GET_BROADCAST, _BROADCAST_SIZE)
    speakers = b""
    if file.format != "OGG":  # its order is not that of the samples of `Sound.blocks`
        speakers = _command(file, _GET_SPEAKERS, 4 * file.channels)
    return About(
        {name: text for name, text in tags.items() if text},
        struct.unpack(f"{len(speakers) // 4}i", speakers),
        broadcast,
    )


def describe(file: soundfile.SoundFile, about: About) -> None:
    """Writes metadata to a file open for writing, as far as its container supports it."""
    # The PEAK chunk contains the time: without it equal sounds are equal files.
    _command(file, _SET_PEAK_CHUNK, b"")
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
    """Runs a command of libsndfile (`sf_command`) on an open file.

    soundfile has no public function for it. Only this function uses soundfile's private
    names.

    Args:
      file: the file.
      number: the command.
      given: contents of the command's buffer, or its size.

    Returns:
      The buffer after the command, or b"" if libsndfile refused it.
    """
    size = given if isinstance(given, int) else len(given)
    buffer = soundfile._ffi.new("char[]", bytes(given))
    done = soundfile._snd.sf_command(file._file, number, buffer, size)
    return bytes(soundfile._ffi.buffer(buffer, size)) if done else b""


def _refuse_if_cut(path: Path, file: soundfile.SoundFile) -> None:
    for sizes in _CUT.finditer(file.extra_info):
        expected = int(sizes["header"] or sizes["header_frames"])
        actual = int(sizes["actual"] or sizes["actual_frames"])
        if expected > actual and expected not in _UNKNOWN_SIZES:
            raise UserError(_cut_short(path, file.frames, file.samplerate))
    if file.format == "OGG" and not _has_last_page(path):
        raise UserError(_cut_short(path, file.frames, file.samplerate))


def _cut_short(path: Path, samples: int, sample_rate: int) -> str:
    return (
        f"{path}: is cut short: it ends at {place(samples, sample_rate)}, before its "
        "expected end; copy or export it again"
    )


def _has_last_page(path: Path) -> bool:
    """Whether an Ogg file ends with a complete page that is marked as the last."""
    with path.open("rb") as file:
        file.seek(max(0, os.path.getsize(path) - 2**17))
        tail = file.read()
    page = tail[tail.rfind(b"OggS") :] if b"OggS" in tail else b""
    if len(page) < 27:
        return False
    return bool(page[5] & 4) and len(page) >= 27 + page[26] + sum(page[27 : 27 + page[26]])


def _has_length(path: Path) -> bool:
    """Whether an MP3 contains its length; otherwise libsndfile estimates it."""
    with path.open("rb") as file:
        start = file.read(10)
        size = 0
        if start[:3] == b"ID3":  # a tag before the sound, with its size in 7-bit bytes
            size = 10 + sum(byte << 7 * (3 - i) for i, byte in enumerate(start[6:10]))
        file.seek(size)
        frame = file.read(4096)
    return any(name in frame for name in (b"Xing", b"Info", b"VBRI"))
