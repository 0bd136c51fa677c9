"""Sound as script files, because a page opened from disk may load scripts but no sound.

Each line is cut into segments of a few seconds. A segment is a script that calls a
function of the page, `sep_segment(line, number, payloads)`, with FLAC data in base64.
Each payload holds a pair of channels (the last may hold one), so any number of channels
is possible.

Samples are 24-bit integers in units of ``2 ** (exponent - 23)``. Each line has the
smallest exponent with which its loudest sample fits. Integer formats of up to 24 bits
are therefore kept exactly. Of 32-bit floats, which may exceed full scale, parts more than
144 dB below the peak are rounded off. 16-bit FLAC would be no smaller, since FLAC drops
bits that are always zero, and browsers scale it differently.

Every FLAC header gives `NOMINAL_RATE` as the sample rate, and the page decodes at that
rate, so no browser resamples. The page has the true rate from its own data.

Shapes: C channel, T sample.
"""

import base64
import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sep import audio
from sep.audio.recut import recut

SEGMENT_SECONDS = 5
NOMINAL_RATE = 44100  # Hz; every browser can decode at this rate
_BITS = 24


class Extent(NamedTuple):
    """Length and level of a recording.

    Attributes:
      length: in samples.
      exponent: all samples lie in [-2 ** exponent, 2 ** exponent).
    """

    length: int
    exponent: int


def measure(path: Path) -> Extent:
    """Returns length and level of a sound file, reading all of it.

    Raises:
      UserError: the file cannot be read.
    """
    length, lowest, highest = 0, 0.0, 0.0
    for block_CT in audio.blocks(path):
        length += block_CT.shape[1]
        lowest = min(lowest, float(block_CT.min()))
        highest = max(highest, float(block_CT.max()))
    # The lowest integer is one step further from zero than the highest.
    peak = max(highest, -lowest * (1 - 2.0**-_BITS))
    return Extent(length, math.frexp(peak)[1])


def segment_length(sample_rate: int) -> int:
    """Samples in each segment; the last may be shorter."""
    return SEGMENT_SECONDS * sample_rate


def scripts(
    line: str, blocks: Iterable[np.ndarray], sample_rate: int, exponent: int
) -> Iterator[str]:
    """Yields the text of a recording's script files, one per segment.

    Args:
      line: id of the line on the page.
      blocks: the recording, (C, any length) each.
      sample_rate: in Hz.
      exponent: scale of the samples, from `measure`.
    """
    for number, segment_CT in enumerate(recut(blocks, segment_length(sample_rate))):
        integers_CT = quantise(segment_CT, exponent)
        payloads = [
            base64.b64encode(audio.encode_flac(pair_CT, NOMINAL_RATE)).decode()
            for pair_CT in np.split(integers_CT, range(2, len(integers_CT), 2))
        ]
        yield f"sep_segment({json.dumps(line)}, {number}, {json.dumps(payloads)})\n"


def quantise(wave_CT: np.ndarray, exponent: int) -> np.ndarray:
    """Returns 24-bit integers, int32 (C, T), in units of ``2 ** (exponent - 23)``."""
    top = 2 ** (_BITS - 1)
    scaled_CT = np.ldexp(wave_CT.astype(np.float64), _BITS - 1 - exponent)
    return np.clip(np.rint(scaled_CT), -top, top - 1).astype(np.int32)
