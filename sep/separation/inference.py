"""Separation of waves in memory, of streams and of recordings with a compiled model.

Shapes: S source, C channel, T sample. Waves in the public interface are (T,) or (T, C), as
soundfile reads them.
"""

import itertools
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import flax
import jax
import numpy as np

from sep import audio
from sep.errors import UserError
from sep.model import wiener
from sep.model.names import DEFAULT_MODEL
from sep.model.release import Model, load_model
from sep.model.separator import build
from sep.separation.chunks import Plan, Refine, separate


def load(
    model: str = DEFAULT_MODEL,
    *,
    overlap: float | None = None,
    shifts: int = 1,
    refine: bool = True,
) -> "Separation":
    """Loads a model and compiles it.

    Args:
      model: name of a bundled model, or path of a release file or training workdir.
      overlap: share of a chunk that is crossfaded with the next one, 0 <= overlap < 1; None
        takes the model's setting. A larger overlap is slower and can sound smoother.
      shifts: number of separations, with chunks at different offsets, that are averaged.
      refine: whether a Wiener filter over all channels refines the estimates, if the model
        was made with one (`sep.model.wiener`). Without the filter separation is faster.

    Raises:
      UserError: there is no such model, or this version of Sep cannot build it.
    """
    return Separation(load_model(model), overlap=overlap, shifts=shifts, refine=refine)


MAX_CHANNELS = 8  # most channels of a wave or recording
_SILENCE = 1e-6  # RMS below which the beginning of a stream is no measure of its level


class Separation:
    """A model, compiled once for waves of every rate and length. Threads may share it.

    Attributes:
      names: names of the S stems, in order.

    Raises:
      UserError: this version of Sep cannot build the model.
    """

    def __init__(
        self,
        model: Model,
        *,
        overlap: float | None = None,
        shifts: int = 1,
        refine: bool = True,
    ) -> None:
        try:
            settings, separation = model.settings, model.separation
            self.names = settings.outputs
            separator = build(settings)
            frame_hops = [separator.representation.hop_length]
            rate = settings.sample_rate
            self._refine: Refine | None = None
            if refine:
                self._refine = wiener.compiled(separation, rate)
            if self._refine:
                n_fft = wiener.frame_length(separation.wiener_seconds, rate)
                frame_hops.append(n_fft // wiener.HOPS)
            self._plan = Plan.of(
                separation, rate, overlap=overlap, shifts=shifts, frame_hops=frame_hops
            )
            variables = jax.device_put({"params": model.params})
            shape = self._plan.batch, 1, self._plan.chunk
            wave_B1T = jax.ShapeDtypeStruct(shape, np.float32)
            apply = jax.jit(separator.apply).lower(variables, wave_B1T, wave_B1T).compile()
        except UserError:
            raise
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            raise UserError(
                f"this model was made by another version of Sep ({error})"
            ) from None
        except flax.errors.FlaxError:
            raise UserError("this model's parameters do not fit its config") from None
        self._apply = partial(apply, variables)

    def __call__(self, wave: np.ndarray, sample_rate: int) -> dict[str, np.ndarray]:
        """Separates a whole wave.

        Args:
          wave: (T,) or (T, C), floating point, full scale 1.
          sample_rate: in Hz.

        Returns:
          The stems by name. They have the wave's shape and type, and sum to it.

        Raises:
          UserError: the wave is empty, is not floating point, has more than `MAX_CHANNELS`
            channels, or has samples that are not finite; or the rate is not positive.
        """
        wave_TC = _checked(wave)
        if not len(wave_TC):
            raise UserError("the wave has no samples")
        stems = {name: np.empty_like(wave) for name in self.names}
        start = 0
        for stems_SCT in self.blocks(_blocks_of(wave_TC), sample_rate, _rms(wave_TC)):
            end = start + stems_SCT.shape[-1]
            for stem, stem_CT in zip(stems.values(), stems_SCT, strict=True):
                stem[start:end] = stem_CT.T if wave.ndim == 2 else stem_CT[0]
            start = end
        return stems

    def stream(
        self, blocks: Iterable[np.ndarray], sample_rate: int, rms: float | None = None
    ) -> Iterator[dict[str, np.ndarray]]:
        """Separates a stream block by block, in bounded memory.

        Output blocks differ in length from input blocks, and are delayed by a batch of the
        model's chunks. Concatenated, the stems have the stream's length and sum to it.

        Args:
          blocks: blocks (T,) or (T, C) of any lengths, floating point, full scale 1.
          sample_rate: in Hz.
          rms: RMS of the whole stream. None takes the RMS of its beginning, as long as a
            chunk; if that is silent, the stream is separated at its own level.

        Yields:
          Blocks of the stems by name, with the dimensions and type of the first block.

        Raises:
          UserError: as for a whole wave, or the number of channels changes.
        """
        blocks = iter(blocks)
        first = next(blocks, None)
        if first is None:
            return
        waves = _checked_stream(itertools.chain([first], blocks))
        beginning, needed = [], self._plan.chunk * sample_rate / self._plan.sample_rate
        while needed > 0 and (wave_TC := next(waves, None)) is not None:
            beginning.append(wave_TC.copy())  # the caller may reuse the block's memory
            needed -= len(wave_TC)
        if not beginning:
            return
        if rms is None:
            rms = _rms(np.concatenate(beginning))
            rms = rms if rms > _SILENCE else 0.0
        blocks_CT = (wave_TC.T for wave_TC in itertools.chain(beginning, waves))
        for stems_SCT in self.blocks(blocks_CT, sample_rate, rms):
            stems = (stem_CT[0] if first.ndim == 1 else stem_CT.T for stem_CT in stems_SCT)
            stems = (stem.astype(first.dtype) for stem in stems)
            yield dict(zip(self.names, stems, strict=True))

    def blocks(
        self, blocks_CT: Iterable[np.ndarray], sample_rate: int, rms: float
    ) -> Iterator[np.ndarray]:
        """Yields blocks (S, C, T) of stems: see `sep.separation.chunks.separate`."""
        if not sample_rate > 0:
            raise UserError(f"the sample rate must be more than 0 Hz, not {sample_rate}")
        return separate(
            *(self._apply, blocks_CT, self._plan),
            sample_rate=sample_rate,
            rms=rms,
            refine=self._refine,
        )

    def to_array(self, recording: Path) -> np.ndarray:
        """Returns all stems (S, C, T) of a recording at its sample rate, in float32.

        Raises:
          UserError: the recording cannot be read.
        """
        survey = audio.survey(recording)
        mixture = audio.blocks(recording)
        blocks = self.blocks(mixture, survey.format.sample_rate, survey.rms)
        return np.concatenate([block.astype(np.float32) for block in blocks], axis=-1)


def _checked(wave: np.ndarray, offset: int = 0) -> np.ndarray:
    """Returns a wave (T,) or (T, C) as (T, C).

    Args:
      wave: a wave, or a block of a stream.
      offset: position of the block in the stream in samples, for messages.

    Raises:
      UserError: its type, shape or samples are not valid.
    """
    if wave.ndim not in (1, 2) or not np.issubdtype(wave.dtype, np.floating):
        raise UserError(
            "the wave must be floating point (full scale 1) of shape (T,) or (T, C), not "
            f"{wave.dtype} of shape {wave.shape}"
        )
    if wave.ndim == 2 and wave.shape[1] > MAX_CHANNELS:
        raise UserError(
            f"the wave must be (T, C) with up to {MAX_CHANNELS} channels, not "
            f"{wave.shape}; is it transposed?"
        )
    finite = np.isfinite(wave)
    if not finite.all():
        sample = offset + int(finite.reshape(len(wave), -1).all(1).argmin())
        raise UserError(
            f"the wave has samples that are not finite, first at sample {sample}"
        )
    return wave[:, None] if wave.ndim == 1 else wave


def _checked_stream(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yields the blocks that are not empty, as (T, C).

    Raises:
      UserError: a block is not valid, or the number of channels changes.
    """
    offset, channels = 0, None
    for block in blocks:
        wave_TC = _checked(block, offset)
        if channels not in (None, wave_TC.shape[1]):
            raise UserError(
                f"the stream changes from {channels} to {wave_TC.shape[1]} channels at "
                f"sample {offset}"
            )
        channels, offset = wave_TC.shape[1], offset + len(wave_TC)
        if len(wave_TC):
            yield wave_TC


def _rms(wave_TC: np.ndarray) -> float:
    """Returns `audio.rms` of a wave."""
    exact_TC = wave_TC.astype(np.float64)
    return audio.rms(len(exact_TC), exact_TC.sum(0), np.square(exact_TC).sum(0))


def _blocks_of(wave_TC: np.ndarray) -> Iterator[np.ndarray]:
    """Yields a wave in blocks (C, T) of the length that `audio.blocks` has."""
    for start in range(0, len(wave_TC), audio.BLOCK):
        yield wave_TC[start : start + audio.BLOCK].T
