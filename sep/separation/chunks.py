"""Separation of recordings of any length in bounded memory, one compiled program.

A recording flows through generators of blocks: to the model's rate, through the network
in overlapping chunks, back to its own rate, and to stems that sum to it.

Shapes: B batch, S source, C channel, T sample.
"""

import itertools
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from sep import audio
from sep.audio.recut import recut, windows
from sep.errors import UserError
from sep.model.consistency import CELL, share_rest
from sep.model.names import level_gain
from sep.model.separator import others

SEGMENT = 64 * CELL  # samples that are made to sum to the recording together
CALLS = 2  # of the network at once


class Plan(NamedTuple):
    """How a recording is cut for the network. Lengths in samples."""

    sample_rate: int
    chunk: int
    overlap: int  # of a chunk and the next
    batch: int  # chunks of one channel that the network sees at once
    shifts: int = 1  # grids of chunks, whose results are averaged

    @classmethod
    def from_config(
        cls,
        config,
        overlap: float | None = None,
        shifts: int = 1,
        frame_hops: Iterable[int] = (),
    ) -> "Plan":
        """From the `model` and `separation` parts of a config.

        Args:
          config: as a model has it.
          overlap: share of a chunk that fades into its neighbours, if not the config's.
          shifts: see `Plan`.
          frame_hops: samples between frames of all that listens to a chunk. Chunks begin
            at multiples of them, if they are long enough.
        """
        rate, cut = config["model"]["sample_rate"], config["separation"]
        seconds = cut["chunk_seconds"]
        share = cut["overlap"] if overlap is None else overlap
        sensible = 0 < seconds < math.inf and 0 <= share < 1
        chunk = round(seconds * rate) if sensible else 0
        overlap = round(share * chunk) if sensible else 0
        if not 0 <= overlap < chunk or cut["batch_size"] < 1 or shifts < 1:
            raise UserError(
                "separation needs chunk_seconds > 0, 0 <= overlap < 1, batch_size >= 1, "
                "shifts >= 1"
            )
        hop = chunk - overlap
        # So that cells, and frames, fall on the same samples in every chunk.
        for grid in (CELL, math.lcm(CELL, *frame_hops)):
            hop -= hop % grid if hop > grid else 0
        batch = -(-cut["batch_size"] // (2 * CALLS))  # as many wait: see `_in_batches`
        return cls(rate, chunk, chunk - hop, batch, shifts)


def separate(
    apply: Callable,
    blocks_CT: Iterable[np.ndarray],
    plan: Plan,
    *,
    sample_rate: int,
    rms: float,
    refine: Callable | None = None,
) -> Iterator[np.ndarray]:
    """Stems (S, C, T) of a recording, block by block, at its own rate and level.

    They are float64. Their total length is the recording's, and they sum to it, to the
    rounding of float64. What is above the model's band goes to the stems in proportion to
    their energy nearby: see `consistent`.

    Args:
      apply: channels (batch, 1, chunk), and the `others` of each, -> sources
        (batch, S, 1, chunk); see `Plan`.
      blocks_CT: the recording, in float32 or float64.
      plan: how `apply` wants it cut.
      sample_rate: the recording's, in Hz.
      rms: the recording's; see `sep.model.names.level_gain`.
      refine: sources (S, C, chunk) of a chunk -> better ones, of the same sum; or None.
    """
    gain = level_gain(rms)  # a power of two: nothing is rounded
    mixture, heard = itertools.tee(gain * block.astype(np.float64) for block in blocks_CT)
    heard = (block.astype(np.float32) for block in heard)
    if sample_rate != plan.sample_rate:
        heard = audio.resample(_with_silence(heard), sample_rate, plan.sample_rate)
    sources = separate_shifted(apply, heard, plan, refine)
    sources = audio.resample(sources, plan.sample_rate, sample_rate)
    return (block / gain for block in consistent(mixture, sources))


def _with_silence(blocks_CT: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The blocks and a little silence: converted twice, they are still long enough."""
    block_CT = None
    for block_CT in blocks_CT:
        yield block_CT
    if block_CT is not None:
        yield np.zeros((len(block_CT), CELL), np.float32)


def separate_shifted(
    apply: Callable,
    blocks_CT: Iterable[np.ndarray],
    plan: Plan,
    refine: Callable | None = None,
) -> Iterator[np.ndarray]:
    """As `separate_chunks`, averaged over grids of chunks that begin at other samples."""
    if plan.shifts == 1:
        return separate_chunks(apply, blocks_CT, plan, refine)
    hop = plan.chunk - plan.overlap
    grids = []
    for number, blocks in enumerate(itertools.tee(blocks_CT, plan.shifts)):
        shift = number * hop // plan.shifts
        sources = separate_chunks(apply, _after_silence(blocks, shift), plan, refine)
        grids.append(recut(_without(sources, shift), SEGMENT))
    return (
        sum(together) / np.float32(plan.shifts) for together in zip(*grids, strict=True)
    )


def _after_silence(blocks_CT: Iterable[np.ndarray], length: int) -> Iterator[np.ndarray]:
    for number, block_CT in enumerate(blocks_CT):
        if not number:
            yield np.zeros((len(block_CT), length), np.float32)
        yield block_CT


def _without(blocks: Iterable[np.ndarray], length: int) -> Iterator[np.ndarray]:
    """A stream from a sample on."""
    for block in blocks:
        if block.shape[-1] > length:
            yield block[..., length:]
        length = max(0, length - block.shape[-1])


def separate_chunks(
    apply: Callable,
    blocks_CT: Iterable[np.ndarray],
    plan: Plan,
    refine: Callable | None = None,
) -> Iterator[np.ndarray]:
    """Blocks (C, T) in, blocks (S, C, T) out: same total length.

    Chunks overlap and fade into each other: the weights sum to one. The first and last
    quarter of an overlap is left to the other chunk, for near its ends a network guesses.
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


def _separated(apply, chunks, plan) -> Iterator[tuple[np.ndarray, tuple]]:
    """Chunks (C, up to chunk), and what comes with them, each after its (S, C, chunk)."""
    taken = deque()

    def lines() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for chunk in chunks:
            taken.append(chunk)
            yield from zip(chunk[0], others(chunk[0]), strict=True)

    found = []
    for line_ST in _in_batches(apply, lines(), plan):
        found.append(line_ST)
        if len(found) == len(taken[0][0]):
            yield np.stack(found, 1), taken.popleft()
            found = []


def _in_batches(apply, lines: Iterable[tuple], plan) -> Iterator[np.ndarray]:
    """Lines and what is beside them (up to chunk,) in, (S, chunk) out, in full batches.

    What is missing is silence, so `apply` always sees one shape. There are `CALLS` such
    calls at once, for one does not keep two cores busy, and no more, for memory. What
    comes before and after is done meanwhile.
    """

    def separated(group: list[tuple]) -> np.ndarray:
        batch_2B1T = np.zeros((2, plan.batch, 1, plan.chunk), np.float32)
        for number, pair in enumerate(group):
            batch_2B1T[:, number, 0, : len(pair[0])] = pair
        return np.asarray(apply(*batch_2B1T))[: len(group), :, 0]

    lines, ahead = iter(lines), deque()
    with ThreadPoolExecutor(CALLS) as pool:
        while True:
            if group := list(itertools.islice(lines, plan.batch)):
                ahead.append(pool.submit(separated, group))
            if ahead and (len(ahead) == CALLS or not group):
                yield from ahead.popleft().result()
            if not (group or ahead):
                return


def consistent(
    mixture_CT: Iterable[np.ndarray], sources_SCT: Iterable[np.ndarray]
) -> Iterator[np.ndarray]:
    """Cuts sources to the mixture's length, and shares what they miss of it, in float64.

    At another rate than the model's that is mostly what lies above the model's highest
    frequency. See `share_rest`; a cell of context on both sides makes blocks meet without
    a seam.
    """
    mixtures, sources = (
        (block.astype(np.float64) for block in recut(stream, SEGMENT))
        for stream in (mixture_CT, sources_SCT)
    )
    pairs = (
        (mixture, source[..., : mixture.shape[-1]])
        for mixture, source in zip(mixtures, sources, strict=False)
    )
    before = now = None
    for after in itertools.chain(pairs, [None]):
        if now is not None:
            yield _share_between(before, now, after)
        before, now = now, after


def _share_between(before, now, after) -> np.ndarray:
    around = [now]
    start = 0
    if before is not None:
        around.insert(0, tuple(wave[..., -CELL:] for wave in before))
        start = CELL
    if after is not None:
        around.append(tuple(wave[..., :CELL] for wave in after))
    mixture, sources = (np.concatenate(waves, -1) for waves in zip(*around, strict=True))
    shared = share_rest(mixture[None], sources[None])[0]
    return shared[..., start : start + now[0].shape[-1]]
