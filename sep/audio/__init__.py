"""Reading and writing of sound files; no other package opens them.

`reading` has the functions for the rest of Sep. It passes a file to the reader for its
suffix: `sndfile` (libsndfile) or `media` (PyAV). `writing` encodes files that appear
together or not at all. `unclipped` keeps them from clipping. `resampling` converts streams
between sample rates, `recut` cuts streams into blocks of other lengths.

Shapes: C channel, T sample. Samples are floating point; full scale is 1.
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
