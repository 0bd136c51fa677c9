"""Separation of recordings of any length in bounded memory, with one compiled program.

A recording passes through a chain of generators, block by block. It is converted to the
model's sample rate and separated in overlapping chunks. The stems are converted back to the
recording's rate, and made to sum to the recording.

Shapes: B batch, S source, C channel, T sample.
"""

import itertools
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from sep import audio
from sep.audio.recut import recut, windows
from sep.errors import UserError
from sep.model.consistency import CELL, share_rest
from sep.model.names import level_gain
from sep.model.separator import others
from sep.model.settings import SeparationSettings

SEGMENT = 64 * CELL  # length in samples of the blocks that are made consistent
CALLS = 2  # concurrent calls of the network

# The network: channels and the `others` of each, both (batch, 1, chunk), -> sources
# (batch, S, 1, chunk).
Apply = Callable[[np.ndarray, np.ndarray], Any]
# A filter: sources (S, C, chunk) of a chunk -> refined sources with the same sum.
Refine = Callable[[Any], Any]
Pair = tuple[np.ndarray, np.ndarray]


class Plan(NamedTuple):
    """Division of a recording into chunks.

    Attributes:
      sample_rate: the model's sample rate in Hz.
      chunk: length of a chunk in samples.
      overlap: samples that a chunk shares with the next one.
      batch: single-channel chunks in one call of the network.
      shifts: grids of chunks with different offsets; their results are averaged.
    """

    sample_rate: int
    chunk: int
    overlap: int
    batch: int
    shifts: int = 1

    @classmethod
    def of(
        cls,
        separation: SeparationSettings,
        sample_rate: int,
        *,
        overlap: float | None = None,
        shifts: int = 1,
        frame_hops: Iterable[int] = (),
    ) -> "Plan":
        """Returns the plan for a model's settings.

        Args:
          separation: the settings.
          sample_rate: the model's sample rate in Hz.
          overlap: share of a chunk that is crossfaded; None takes the setting.
          shifts: see `Plan`.
          frame_hops: hop lengths in samples of all transforms of a chunk. Chunks that are
            long enough begin at multiples of them.

        Raises:
          UserError: overlap or shifts are out of range, or chunks are too short for them.
        """
        share = separation.overlap if overlap is None else overlap
        chunk = round(separation.chunk_seconds * sample_rate)
        shared = round(share * chunk) if 0 <= share < 1 else chunk
        if not 0 <= shared < chunk or shifts < 1:
            raise UserError(
                "separation needs chunk_seconds > 0, 0 <= overlap < 1 and shifts >= 1"
            )
        hop = chunk - shared
        # Overlapping chunks must divide their samples into the same cells and frames.
        for grid in (CELL, math.lcm(CELL, *frame_hops)):
            hop -= hop % grid if hop > grid else 0
        # Up to `CALLS` batches are computed while as many wait (see `_in_batches`).
        # Together they have about `batch_size` chunks.
        batch = -(-separation.batch_size // (2 * CALLS))
        return cls(sample_rate, chunk, chunk - hop, batch, shifts)


def separate(
    apply: Apply,
    blocks_CT: Iterable[np.ndarray],
    plan: Plan,
    *,
    sample_rate: int,
    rms: float,
    refine: Refine | None = None,
) -> Iterator[np.ndarray]:
    """Yields the stems of a recording at its own rate and level, block by block.

    The total length of the stems is that of the recording, and they sum to it within the
    rounding of float64. Frequencies above the model's highest are shared among the stems
    in proportion to their energy nearby: see `consistent`.

    Args:
      apply: the network, see `Apply`.
      blocks_CT: blocks of the recording, in float32 or float64.
      plan: the chunks that `apply` takes.
      sample_rate: the recording's sample rate in Hz.
      rms: RMS of the whole recording; see `sep.model.names.level_gain`.
      refine: filter of each chunk's sources, see `Refine`.

    Yields:
      Blocks (S, C, T) in float64.
    """
    gain = level_gain(rms)  # a power of two: multiplication does not round
    mixture, copy = itertools.tee(gain * block.astype(np.float64) for block in blocks_CT)
    network_input: Iterator[np.ndarray] = (block.astype(np.float32) for block in copy)
    if sample_rate != plan.sample_rate:
        network_input = audio.resample(
            _with_silence(network_input), sample_rate, plan.sample_rate
        )
    sources = separate_shifted(apply, network_input, plan, refine)
    sources = audio.resample(sources, plan.sample_rate, sample_rate)
    return (block / gain for block in consistent(mixture, sources))


def _with_silence(blocks_CT: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Appends a cell of silence.

    Two conversions of the sample rate may shorten a stream by some samples. With the
    silence it is still as long as the recording.
    """
    block_CT = None
    for block_CT in blocks_CT:
        yield block_CT
    if block_CT is not None:
        yield np.zeros((len(block_CT), CELL), np.float32)


def separate_shifted(
    apply: Apply,
    blocks_CT: Iterable[np.ndarray],
    plan: Plan,
    refine: Refine | None = None,
) -> Iterator[np.ndarray]:
    """Averages `separate_chunks` over `plan.shifts` grids of chunks with other offsets."""
    if plan.shifts == 1:
        return separate_chunks(apply, blocks_CT, plan, refine)
    hop = plan.chunk - plan.overlap
    grids = []
    for number, blocks in enumerate(itertools.tee(blocks_CT, plan.shifts)):
        shift = number * hop // plan.shifts
        sources = separate_chunks(apply, _after_silence(blocks, shift), plan, refine)
        grids.append(recut(_without(sources, shift), SEGMENT))
    return (
        np.asarray(sum(together)) / np.float32(plan.shifts)
        for together in zip(*grids, strict=True)
    )


def _after_silence(blocks_CT: Iterable[np.ndarray], length: int) -> Iterator[np.ndarray]:
    """Prepends silence of a length in samples."""
    for number, block_CT in enumerate(blocks_CT):
        if not number:
            yield np.zeros((len(block_CT), length), np.float32)
        yield block_CT


def _without(blocks: Iterable[np.ndarray], length: int) -> Iterator[np.ndarray]:
    """Drops a number of samples from the start of a stream."""
    for block in blocks:
        if block.shape[-1] > length:
            yield block[..., length:]
        length = max(0, length - block.shape[-1])


def separate_chunks(
    apply: Apply,
    blocks_CT: Iterable[np.ndarray],
    plan: Plan,
    refine: Refine | None = None,
) -> Iterator[np.ndarray]:
    """Separates blocks (C, T) into blocks (S, C, T) of the same total length.

    Overlapping chunks are crossfaded, with weights that sum to one. Estimates are
    inaccurate near the ends of a chunk. Therefore the weight of a chunk is zero in the
    quarter of an overlap where the chunk begins or ends.
    """
    hop = plan.chunk - plan.overlap
    position = (np.arange(plan.overlap, dtype=np.float32) + 0.5) / plan.overlap
    fade_in = (2 * position - 0.5).clip(0, 1)
    tail = None
    chunks = windows(blocks_CT, plan.chunk, hop)
    for chunk_SCT, (chunk_CT, last) in _separated(apply, chunks, plan):
        if refine:
            chunk_SCT = np.array(refine(chunk_SCT))
        if tail is not None:
            head = chunk_SCT[..., : plan.overlap]
            chunk_SCT[..., : plan.overlap] = tail + fade_in * (head - tail)
        if last:
            yield chunk_SCT[..., : chunk_CT.shape[-1]]
            return
        tail = chunk_SCT[..., hop:].copy()
        yield chunk_SCT[..., :hop]


def _separated(
    apply: Apply, chunks: Iterable[tuple[np.ndarray, bool]], plan: Plan
) -> Iterator[tuple[np.ndarray, tuple[np.ndarray, bool]]]:
    """Yields the sources (S, C, chunk) of each window, and the window.

    Args:
      apply: the network, see `Apply`.
      chunks: windows (C, up to chunk), each with whether it is the last; see `windows`.
      plan: the chunks that `apply` takes.
    """
    pending: deque[tuple[np.ndarray, bool]] = deque()

    def channels() -> Iterator[Pair]:
        for chunk in chunks:
            pending.append(chunk)
            yield from zip(chunk[0], others(chunk[0]), strict=True)

    sources: list[np.ndarray] = []
    for channel_ST in _in_batches(apply, channels(), plan):
        sources.append(channel_ST)
        if len(sources) == len(pending[0][0]):
            yield np.stack(sources, 1), pending.popleft()
            sources = []


def _in_batches(apply: Apply, channels: Iterable[Pair], plan: Plan) -> Iterator[np.ndarray]:
    """Yields the sources (S, chunk) of channels and their `others`, both (up to chunk,).

    Incomplete batches are padded with silence, because `apply` is compiled for one shape.
    `CALLS` calls run concurrently: one call does not use two cores fully, and more calls
    would need more memory. Reading, resampling and writing run at the same time.
    """

    def separated(group: list[Pair]) -> np.ndarray:
        batch_2B1T = np.zeros((2, plan.batch, 1, plan.chunk), np.float32)
        for number, pair in enumerate(group):
            batch_2B1T[:, number, 0, : len(pair[0])] = pair
        return np.asarray(apply(*batch_2B1T))[: len(group), :, 0]

    remaining = iter(channels)
    calls: deque[Future[np.ndarray]] = deque()
    with ThreadPoolExecutor(CALLS) as pool:
        while True:
            if group := list(itertools.islice(remaining, plan.batch)):
                calls.append(pool.submit(separated, group))
            if calls and (len(calls) == CALLS or not group):
                yield from calls.popleft().result()
            if not (group or calls):
                return


def consistent(
    mixture_CT: Iterable[np.ndarray], sources_SCT: Iterable[np.ndarray]
) -> Iterator[np.ndarray]:
    """Cuts sources to the mixture's length and makes them sum to it, in float64.

    `share_rest` divides the difference among the sources. If the recording's rate is not
    the model's, most of the difference is above the model's highest frequency. Each block
    is processed with a cell of context on both sides. The result therefore does not depend
    on where blocks begin.

    Args:
      mixture_CT: blocks of the mixture.
      sources_SCT: blocks of the sources; in total at least as long as the mixture.

    Yields:
      Blocks (S, C, T).
    """
    mixtures, sources = (
        (block.astype(np.float64) for block in recut(stream, SEGMENT))
        for stream in (mixture_CT, sources_SCT)
    )
    pairs = (
        (mixture, source[..., : mixture.shape[-1]])
        for mixture, source in zip(mixtures, sources, strict=False)
    )
    before: Pair | None = None
    now: Pair | None = None
    for after in itertools.chain(pairs, [None]):
        if now is not None:
            yield _share_between(before, now, after)
        before, now = now, after


def _share_between(before: Pair | None, now: Pair, after: Pair | None) -> np.ndarray:
    """Makes the sources of one block sum to its mixture, and returns them.

    Args:
      before: mixture (C, T) and sources (S, C, T) of the previous block; None at the start.
      now: mixture and sources of the block.
      after: mixture and sources of the next block; None at the end.
    """
    around = [now]
    start = 0
    if before is not None:
        around.insert(0, (before[0][..., -CELL:], before[1][..., -CELL:]))
        start = CELL
    if after is not None:
        around.append((after[0][..., :CELL], after[1][..., :CELL]))
    mixture, sources = (np.concatenate(waves, -1) for waves in zip(*around, strict=True))
    shared = share_rest(mixture[None], sources[None])[0]
    return shared[..., start : start + now[0].shape[-1]]
