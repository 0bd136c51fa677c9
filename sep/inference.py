"""Separation of recordings of any length in bounded memory, one compiled program.

A recording flows through generators of blocks: to the model's rate, through the network
in overlapping chunks, back to its own rate, and to stems that sum to it.

Shapes: B batch, S source, C channel, T sample.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from tqdm import tqdm

from sep import audio
from sep.checkpoints import Model
from sep.errors import UserError
from sep.separator import CELL, build, level_gain, output_names, share_rest


class Plan(NamedTuple):
    """How a recording is cut for the network. Lengths in samples."""

    sample_rate: int
    chunk: int
    overlap: int
    batch: int

    @classmethod
    def from_config(cls, config) -> "Plan":
        """From the `model` and `separation` parts of a config."""
        rate, cut = config["model"]["sample_rate"], config["separation"]
        chunk = round(cut["chunk_seconds"] * rate)
        overlap = round(cut["overlap"] * chunk)
        if not 0 <= overlap < chunk or cut["batch_size"] < 1:
            raise UserError(
                "separation needs chunk_seconds > 0, 0 <= overlap < 1, batch_size >= 1"
            )
        return cls(rate, chunk, overlap, cut["batch_size"])


class Separation:
    """A model made ready: compiled at its first recording, used for all that follow.

    Attributes:
      names: of the S stems, in order.

    Raises:
      UserError: the model is not one that this version of Sep can build.
    """

    def __init__(self, model: Model):
        try:
            self.names = output_names(model.config["model"])
            self._plan = Plan.from_config(model.config)
            separator = build(model.config["model"])
            mixture_BCT = jax.ShapeDtypeStruct((1, 1, self._plan.chunk), np.float32)
            wanted = jax.eval_shape(separator.init, jax.random.key(0), mixture_BCT)[
                "params"
            ]
        except (KeyError, TypeError) as error:
            raise UserError(f"this model is of another version of Sep ({error})") from None
        if jax.tree.map(np.shape, wanted) != jax.tree.map(np.shape, model.params):
            raise UserError("this model's parameters do not fit its config")
        apply = jax.jit(separator.apply)
        variables = jax.device_put({"params": model.params})
        self._apply = lambda mixture_BCT: apply(variables, mixture_BCT)

    def blocks(self, recording: Path, survey: audio.Survey) -> Iterator[np.ndarray]:
        """Stems (S, C, T) block by block: see `separate`."""
        return separate(
            self._apply,
            audio.blocks(recording),
            self._plan,
            sample_rate=survey.format.sample_rate,
            rms=survey.rms,
        )

    def to_array(self, recording: Path) -> np.ndarray:
        """All stems (S, C, T) of a recording at its rate, in memory."""
        return np.concatenate(
            list(self.blocks(recording, audio.survey(recording))), axis=-1
        )

    def to_files(self, recording: Path, folder: Path, subtype: str) -> None:
        """Writes FOLDER/<name>.wav for every stem; all of them or, on an error, none.

        Raises:
          UserError: the recording cannot be read, or the stems not be written.
        """
        survey = audio.survey(recording)
        paths = [folder / f"{name}.wav" for name in self.names]
        if any(path.exists() and path.samefile(recording) for path in paths):
            raise UserError(f"{recording}: would be overwritten; choose another --out")
        rate = survey.format.sample_rate
        bar = "{desc}: {percentage:3.0f}% |{bar}| {n:.0f}/{total:.0f} s [{remaining} left]"
        progress = tqdm(
            desc=recording.name,
            total=survey.length / rate,
            bar_format=bar,
            delay=1,
            leave=False,
        )
        with (
            progress,
            audio.writers(paths, survey.format, survey.length, subtype) as files,
        ):
            for stems_SCT in self.blocks(recording, survey):
                for file, stem_CT in zip(files, stems_SCT, strict=True):
                    file.write(stem_CT.T)
                progress.update(stems_SCT.shape[-1] / rate)


def separate(
    apply: Callable,
    blocks_CT: Iterable[np.ndarray],
    plan: Plan,
    *,
    sample_rate: int,
    rms: float,
) -> Iterator[np.ndarray]:
    """Stems (S, C, T) of a recording, block by block, at its own rate and level.

    Their total length is the recording's, and they sum to it.

    Args:
      apply: mixtures (batch, 1, chunk) -> sources (batch, S, 1, chunk); see `Plan`.
      blocks_CT: the recording.
      plan: how `apply` wants it cut.
      sample_rate: the recording's, in Hz.
      rms: the recording's; see `sep.separator.level_gain`.
    """
    gain = np.float32(level_gain(rms))
    levelled = (gain * block for block in blocks_CT)
    if sample_rate == plan.sample_rate:
        sources = separate_chunks(apply, levelled, plan)
    else:
        mixture, heard = itertools.tee(levelled)
        heard = audio.resample(_with_silence(heard), sample_rate, plan.sample_rate)
        sources = separate_chunks(apply, heard, plan)
        sources = audio.resample(sources, plan.sample_rate, sample_rate)
        sources = at_own_rate(mixture, sources)
    return (block / gain for block in sources)


def _with_silence(blocks_CT: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The blocks and a little silence: converted twice, they are still long enough."""
    for block_CT in blocks_CT:
        yield block_CT
    yield np.zeros((len(block_CT), CELL), np.float32)


def separate_chunks(
    apply: Callable, blocks_CT: Iterable[np.ndarray], plan: Plan
) -> Iterator[np.ndarray]:
    """Blocks (C, T) in, blocks (S, C, T) out: same total length.

    Chunks overlap and fade linearly into each other. Every call of `apply` has the same
    shape: channels and chunks fill a batch together, and what is missing is silence.
    """
    hop = plan.chunk - plan.overlap
    fade_in = (np.arange(plan.overlap, dtype=np.float32) + 0.5) / plan.overlap
    tail = None
    for chunk_SCT, length in _chunks_apart(apply, blocks_CT, plan):
        if tail is not None:
            head = chunk_SCT[..., : plan.overlap]
            chunk_SCT[..., : plan.overlap] = tail + fade_in * (head - tail)
        if length <= plan.chunk:  # the last one
            yield chunk_SCT[..., :length]
            return
        tail = chunk_SCT[..., hop:].copy()
        yield chunk_SCT[..., :hop]


def _chunks_apart(apply, blocks_CT, plan) -> Iterator[tuple[np.ndarray, int]]:
    """Separated chunks (S, C, chunk), each with the samples left from its start on."""
    hop = plan.chunk - plan.overlap
    waiting, group = [], 1
    for chunk_CT, left in _cut(blocks_CT, plan.chunk, hop):
        waiting.append((chunk_CT, left))
        group = max(1, plan.batch // len(chunk_CT))
        if len(waiting) == group:
            yield from _apply_together(apply, waiting, plan.batch)
            waiting = []
    if waiting:
        yield from _apply_together(apply, waiting, plan.batch)


def _cut(blocks_CT, chunk: int, hop: int) -> Iterator[tuple[np.ndarray, int]]:
    """Chunks (C, chunk) every `hop` samples; with each, the samples left if it is last.

    For all but the last that number is unknown yet, and given as more than a chunk.
    """
    buffer = None
    for block in blocks_CT:
        buffer = block if buffer is None else np.concatenate([buffer, block], 1)
        while buffer.shape[1] > chunk:
            yield buffer[:, :chunk], chunk + 1
            buffer = buffer[:, hop:]
    if buffer is not None and buffer.shape[1]:
        left = buffer.shape[1]
        yield np.pad(buffer, [(0, 0), (0, chunk - left)]), left


def _apply_together(apply, waiting, batch) -> Iterator[tuple[np.ndarray, int]]:
    lines_BT = np.concatenate([chunk for chunk, _ in waiting])
    channels = len(waiting[0][0])
    padded = np.pad(lines_BT, [(0, -len(lines_BT) % batch), (0, 0)])
    parts = [
        np.asarray(apply(padded[i : i + batch, None])) for i in range(0, len(padded), batch)
    ]
    sources_BST = np.concatenate(parts)[: len(lines_BT), :, 0]
    for i, (_, left) in enumerate(waiting):
        lines_CST = sources_BST[i * channels : (i + 1) * channels]
        yield np.swapaxes(lines_CST, 0, 1).copy(), left


def at_own_rate(
    mixture_CT: Iterable[np.ndarray], sources_SCT: Iterable[np.ndarray]
) -> Iterator[np.ndarray]:
    """Cuts resampled sources to the mixture's length, and shares what they miss of it.

    That is mostly what lies above the model's highest frequency. See `share_rest`; a
    cell of context on both sides makes blocks meet without a seam.
    """
    segment = 64 * CELL
    pairs = (
        (mixture, sources[..., : mixture.shape[-1]])
        for mixture, sources in zip(
            _even(mixture_CT, segment), _even(sources_SCT, segment), strict=False
        )
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


def _even(waves: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Blocks (..., T) cut anew so that all but the last have `size` samples."""
    buffer = None
    for wave in waves:
        buffer = wave if buffer is None else np.concatenate([buffer, wave], -1)
        while buffer.shape[-1] >= size:
            yield buffer[..., :size]
            buffer = buffer[..., size:]
    if buffer is not None and buffer.shape[-1]:
        yield buffer
