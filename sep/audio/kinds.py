"""What there is to say about a sound file, whoever reads or writes it."""

import os
from pathlib import Path
from typing import NamedTuple

# Vorbis writes of millions of samples at once crash libsndfile 1.2; and memory is bounded.
BLOCK = 2**14


class Format(NamedTuple):
    """What a stem must keep of its recording."""

    sample_rate: int
    channels: int


class About(NamedTuple):
    """What else it should keep: what a file says beside its samples.

    Attributes:
      tags: title, artist and others, by libsndfile's names.
      speakers: of the channels, as libsndfile numbers them; none if the file has none.
      broadcast: libsndfile's SF_BROADCAST_INFO, as bytes; empty if there is none.
      offset: samples from the time reference of `broadcast` to the first sample.
    """

    tags: dict[str, str] = {}  # never changed
    speakers: tuple[int, ...] = ()
    broadcast: bytes = b""
    offset: int = 0


class Header(NamedTuple):
    """What a file says of itself.

    Attributes:
      format: see `Format`.
      length: samples that it announces; 0 if it does not say.
      bits: of its integer samples; 0 if they are floating point or were coded with loss.
      about: see `About`.
    """

    format: Format
    length: int
    bits: int
    about: About


def name_for_c(path: Path) -> str | bytes:
    """As libsndfile wants it: bytes where names need not be UTF-8, text on Windows."""
    return str(path) if os.name == "nt" else os.fsencode(path)


def place(sample: int, sample_rate: int) -> str:
    """A position, for people."""
    return f"{sample / sample_rate:.3f} s (sample {sample})"
