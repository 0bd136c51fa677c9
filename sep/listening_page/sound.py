"""Sound as script files, for a page on a disk may load scripts but no sound.

A line becomes segments of a few seconds. Each is FLAC in base64 within a call of a
function that the page defines, `sep_segment(line, number, payloads)`; channels go in
pairs, one FLAC to a pair, so that there may be any number of them.

Samples are 24-bit integers, in units of ``2 ** (exponent - 23)``: the exponent is the
line's own, chosen so that its loudest sample just fits. So integer formats of up to 24
bits are kept exactly, and of 32-bit floats, which may exceed full scale, what is more
than 144 dB below the peak is rounded off. (16-bit FLAC would be no smaller, since FLAC
drops bits that are always zero, and browsers do not agree on how to scale it.)

Every FLAC says that its rate is `NOMINAL_RATE`, and is decoded at that rate, so that no
browser resamples it. The page knows the true one.

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
NOMINAL_RATE = 44100  # Hz; every browser can decode at this one
_BITS = 24


class Extent(NamedTuple):
    """What a recording is, read once from end to end."""

    length: int  # samples
    exponent: int  # all samples lie in [-2 ** exponent, 2 ** exponent)


def measure(path: Path) -> Extent:
    """Length and level of a recording. Raises UserError as `sep.audio.blocks`."""
    length, lowest, highest = 0, 0.0, 0.0
    for block_CT in audio.blocks(path):
        length += block_CT.shape[1]
        lowest = min(lowest, float(block_CT.min()))
        highest = max(highest, float(block_CT.max()))
    # Integers reach one step further down than up.
    peak = max(highest, -lowest * (1 - 2.0**-_BITS))
    return Extent(length, math.frexp(peak)[1])


def segment_length(sample_rate: int) -> int:
    """Samples in every segment but the last."""
    return SEGMENT_SECONDS * sample_rate


def scripts(
    line: str, blocks: Iterable[np.ndarray], sample_rate: int, exponent: int
) -> Iterator[str]:
    """A recording's blocks (C, any length) as the text of script files, in order.

    `line` is the name by which the page asks for it.
    """
    for number, segment_CT in enumerate(recut(blocks, segment_length(sample_rate))):
        integers_CT = quantise(segment_CT, exponent)
        payloads = [
            base64.b64encode(audio.encode_flac(pair_CT, NOMINAL_RATE)).decode()
            for pair_CT in np.split(integers_CT, range(2, len(integers_CT), 2))
        ]
        yield f"sep_segment({json.dumps(line)}, {number}, {json.dumps(payloads)})\n"


def quantise(wave_CT: np.ndarray, exponent: int) -> np.ndarray:
    """Samples in units of ``2 ** (exponent - 23)``, (C, T) int32, rounded to nearest."""
    top = 2 ** (_BITS - 1)
    scaled_CT = np.ldexp(wave_CT.astype(np.float64), _BITS - 1 - exponent)
    return np.clip(np.rint(scaled_CT), -top, top - 1).astype(np.int32)
