"""Types that describe a sound file, common to readers and writers."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

# Vorbis writes of millions of samples at once crash libsndfile 1.2. It also bounds memory.
BLOCK = 2**14


class Format(NamedTuple):
    """Sample rate in Hz and channels: stems have those of their recording."""

    sample_rate: int
    channels: int


class About(NamedTuple):
    """Metadata of a file, which stems keep as well.

    Attributes:
      tags: title, artist and others, by libsndfile's names.
      speakers: of the channels, by libsndfile's numbers; empty if the file has none.
      broadcast: libsndfile's SF_BROADCAST_INFO, as bytes; empty if there is none.
      offset: samples from the time reference of `broadcast` to the first sample.
    """

    tags: dict[str, str] = {}  # never changed
    speakers: tuple[int, ...] = ()
    broadcast: bytes = b""
    offset: int = 0


class Header(NamedTuple):
    """Properties of a file according to its header.

    Attributes:
      format: sample rate and channels.
      length: in samples; 0 if the header does not contain it.
      bits: width of integer samples; 0 if they are floating point or were lossily coded.
      about: metadata.
    """

    format: Format
    length: int
    bits: int
    about: About


class Reader(Protocol):
    """A file open for reading."""

    header: Header

    def blocks(self, first: int, dtype: str) -> Iterator[np.ndarray]:
        """Yields blocks (T, C) from sample `first` on, which may be beyond the end.

        Args:
          first: index of a sample.
          dtype: "float32" or "float64".

        Raises:
          UserError: the file is damaged, or cut short.
        """


def name_for_c(path: Path) -> str | bytes:
    """Returns a path for libsndfile: bytes, as names need not be UTF-8; text on Windows."""
    return str(path) if os.name == "nt" else os.fsencode(path)


def place(sample: int, sample_rate: int) -> str:
    """Returns a position in a file for messages, in seconds and samples."""
    return f"{sample / sample_rate:.3f} s (sample {sample})"
