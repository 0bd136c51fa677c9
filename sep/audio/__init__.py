"""Sound files: the only place that opens them.

`reading` has what the rest of Sep asks for, and hands a file to the reader that its
suffix calls for: `sndfile` (libsndfile) or `media` (PyAV). `writing` encodes files that
appear together or not at all; `unclipped` keeps them from clipping; `resampling` converts
streams between rates.

Shapes: C channel, T sample; samples are floating point, full scale is 1.
"""

from sep.audio.encodings import CONTAINERS, Encoding, choose
from sep.audio.kinds import BLOCK, About, Format, Header
from sep.audio.reading import (
    SUFFIXES,
    WHOLE,
    Excerpt,
    Survey,
    blocks,
    find,
    header,
    probe,
    read,
    rms,
    survey,
)
from sep.audio.resampling import resample
from sep.audio.unclipped import unclipped
from sep.audio.writing import encode_flac, write, writers

__all__ = [
    "BLOCK",
    "CONTAINERS",
    "SUFFIXES",
    "WHOLE",
    "About",
    "Encoding",
    "Excerpt",
    "Format",
    "Header",
    "Survey",
    "blocks",
    "choose",
    "encode_flac",
    "find",
    "header",
    "probe",
    "read",
    "resample",
    "rms",
    "survey",
    "unclipped",
    "write",
    "writers",
]
