"""Separation of recordings of any length in bounded memory, with one compiled program.

A recording passes through generators of blocks. It is converted to the model's rate,
separated in overlapping chunks, and converted back to its own rate. The resulting stems
are made to sum to it.

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

SEGMENT = 64 * CELL  # length in samples of the blocks that are made consistent together
CALLS = 2  # concurrent calls of the network

# Channels and their `others`, both (batch, 1, chunk), -> sources (batch, S, 1, chunk).
Apply = Callable[[np.ndarray, np.ndarray], Any]
# Sources (S, C, chunk) of a chunk -> refined ones with the same sum.
Refine = Callable[[np.ndarray], Any]
Pair = tuple[np.ndarray, np.ndarray]


class Plan(NamedTuple):
    """Chunks in which a recording is separated.

    Attributes:
      sample_rate: the model's, in Hz.
      chunk: length of a chunk in samples.
      overlap: samples that a chunk shares with the next.
      batch: chunks of one channel in a call of the network.
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
          sample_rate: the model's, in Hz.
          overlap: share of a chunk that is crossfaded, in place of the setting.
          shifts: see `Plan`.
          frame_hops: hop lengths in samples of all transforms of a chunk. Chunks that
            are long enough begin at multiples of them.

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
        # Cells, and frames, must fall on the same samples in every chunk.
        for grid in (CELL, math.lcm(CELL, *frame_hops)):
            hop -= hop % grid if hop > grid else 0
        # `CALLS` batches are computed while as many wait: see `_in_batches`.
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
    """Yields blocks of stems (S, C, T) of a recording at its own rate and level.

    They are float64. Their total length is the recording's, and they sum to it within the
    rounding of float64. Frequencies above the model's highest are shared among the stems
    in proportion to their energy nearby: see `consistent`.

    Args:
      apply: the network: channels and the `others` of each, both (batch, 1, chunk), ->
        sources (batch, S, 1, chunk); see `Plan`.
      blocks_CT: the recording, in float32 or float64.
      plan: the chunks that `apply` takes.
      sample_rate: the recording's, in Hz.
      rms: the recording's; see `sep.model.names.level_gain`.
      refine: sources (S, C, chunk) of a chunk -> refined ones with the same sum.
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
    """Appends some silence: after two conversions the stream must still be long enough."""
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
    """Yields `separate_chunks`, averaged over grids of chunks with different offsets."""
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

    Overlapping chunks are crossfaded, with weights that sum to one. In the first and last
    quarter of an overlap the weight of the chunk that begins or ends there is zero:
    estimates are inaccurate near the ends of a chunk.
    """
    hop = plan.chunk - plan.overlap
    place = (np.arange(plan.overlap, dtype=np.float32) + 0.5) / plan.overlap
    fade_in = (2 * place - 0.5).clip(0, 1)
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
    """Yields the sources (S, C, chunk) of each of `windows`, together with it."""
    taken: deque[tuple[np.ndarray, bool]] = deque()

    def channels() -> Iterator[Pair]:
        for chunk in chunks:
            taken.append(chunk)
            yield from zip(chunk[0], others(chunk[0]), strict=True)

    found: list[np.ndarray] = []
    for channel_ST in _in_batches(apply, channels(), plan):
        found.append(channel_ST)
        if len(found) == len(taken[0][0]):
            yield np.stack(found, 1), taken.popleft()
            found = []


def _in_batches(apply: Apply, channels: Iterable[Pair], plan: Plan) -> Iterator[np.ndarray]:
    """Yields the sources (S, chunk) of channels and their `others`, both (up to chunk,).

    Incomplete batches are padded with silence: `apply` always gets the same shape.
    `CALLS` calls run concurrently, because one call does not use two cores fully. More
    would need more memory. What precedes and follows the network is computed meanwhile.
    """

    def separated(group: list[Pair]) -> np.ndarray:
        batch_2B1T = np.zeros((2, plan.batch, 1, plan.chunk), np.float32)
        for number, pair in enumerate(group):
            batch_2B1T[:, number, 0, : len(pair[0])] = pair
        return np.asarray(apply(*batch_2B1T))[: len(group), :, 0]

    waiting = iter(channels)
    ahead: deque[Future[np.ndarray]] = deque()
    with ThreadPoolExecutor(CALLS) as pool:
        while True:
            if group := list(itertools.islice(waiting, plan.batch)):
                ahead.append(pool.submit(separated, group))
            if ahead and (len(ahead) == CALLS or not group):
                yield from ahead.popleft().result()
            if not (group or ahead):
                return


def consistent(
    mixture_CT: Iterable[np.ndarray], sources_SCT: Iterable[np.ndarray]
) -> Iterator[np.ndarray]:
    """Cuts sources to the mixture's length, and makes them sum to it, in float64.

    At other rates than the model's the difference is mostly above the model's highest
    frequency. `share_rest` shares it among the sources. Blocks have a cell of context on
    both sides, which makes the result independent of where they begin.

    Args:
      mixture_CT: blocks of the mixture.
      sources_SCT: blocks of the sources, of at least its total length.

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
    """Returns the sources of `now` that sum to its mixture.

    Args:
      before: the mixture (C, T) and sources (S, C, T) that precede; None at the start.
      now: those to make consistent.
      after: those that follow; None at the end.
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
