"""A trained model made ready: for waves in memory, for streams, and for recordings.

Shapes: S source, C channel, T sample. Waves that users have are (T,) or (T, C), as
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
from sep.separation.chunks import Plan, separate


def load(
    model: str = DEFAULT_MODEL,
    *,
    overlap: float | None = None,
    shifts: int = 1,
    refine: bool = True,
) -> "Separation":
    """A model made ready to separate.

    Args:
      model: a bundled model, a release file or a training workdir.
      overlap: share of a chunk that fades into its neighbours, 0 <= overlap < 1; by
        default what the model was made with. More takes longer and can sound smoother.
      shifts: separate so many times, with chunks that begin elsewhere, and average.
      refine: whether a Wiener filter over all channels refines what the network says, if
        the model is made with one (`sep.model.wiener`). Without it separation is faster.

    Raises:
      UserError: there is no such model, or this version of Sep cannot build it.
    """
    return Separation(load_model(model), overlap=overlap, shifts=shifts, refine=refine)


MAX_CHANNELS = 8  # that are separated together
_NOTHING = 1e-6  # RMS of a beginning that says nothing of the level of a stream


class Separation:
    """A model made ready: compiled once, for all recordings. Threads may share it.

    Attributes:
      names: of the S stems, in order.

    Raises:
      UserError: the model is not one that this version of Sep can build.
    """

    def __init__(
        self,
        model: Model,
        *,
        overlap: float | None = None,
        shifts: int = 1,
        refine: bool = True,
    ):
        try:
            settings, separation = model.settings, model.separation
            self.names = settings.outputs
            separator = build(settings)
            frame_hops = [separator.representation.hop_length]
            rate = settings.sample_rate
            self._refine = wiener.compiled(separation, rate) if refine else None
            if self._refine:
                n_fft = wiener.frame_length(separation.wiener_seconds, rate)
                frame_hops.append(n_fft // wiener.HOPS)
            self._plan = Plan.of(
                separation, rate, overlap=overlap, shifts=shifts, frame_hops=frame_hops
            )
            variables = jax.device_put({"params": model.params})
            shape = self._plan.batch, 1, self._plan.chunk
            line_B1T = jax.ShapeDtypeStruct(shape, np.float32)
            apply = jax.jit(separator.apply).lower(variables, line_B1T, line_B1T).compile()
        except UserError:
            raise
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            raise UserError(f"this model is of another version of Sep ({error})") from None
        except flax.errors.FlaxError:
            raise UserError("this model's parameters do not fit its config") from None
        self._apply = partial(apply, variables)

    def __call__(self, wave: np.ndarray, sample_rate: int) -> dict[str, np.ndarray]:
        """Stems of a whole wave, by name: of its shape and type, and they sum to it.

        Args:
          wave: (T,) or (T, C), of floating point.
          sample_rate: in Hz.

        Raises:
          UserError: the wave is empty, not of floating point, or not finite.
        """
        wave_TC = _checked(wave)
        if not len(wave_TC):
            raise UserError("the wave has no samples")
        stems = {name: np.empty_like(wave) for name in self.names}
        at = 0
        for stems_SCT in self.blocks(_pieces(wave_TC), sample_rate, _rms(wave_TC)):
            end = at + stems_SCT.shape[-1]
            for stem, stem_CT in zip(stems.values(), stems_SCT, strict=True):
                stem[at:end] = stem_CT.T if wave.ndim == 2 else stem_CT[0]
            at = end
        return stems

    def stream(
        self, blocks: Iterable[np.ndarray], sample_rate: int, rms: float | None = None
    ) -> Iterator[dict[str, np.ndarray]]:
        """Stems of a stream, block by block, in bounded memory.

        Blocks that come out are of other lengths than those that go in, and later by a
        batch of the model's chunks. Joined, they are as long as the stream and sum to it.

        Args:
          blocks: (T,) or (T, C), of floating point, of any lengths.
          sample_rate: in Hz.
          rms: of all of the stream, as it would be known of a whole wave; by default that
            of its beginning, as long as a chunk, if it is not silent.

        Raises:
          UserError: as for a wave.
        """
        blocks = iter(blocks)
        first = next(blocks, None)
        if first is None:
            return
        waves = _checked_stream(itertools.chain([first], blocks))
        held, needed = [], self._plan.chunk * sample_rate / self._plan.sample_rate
        while needed > 0 and (wave_TC := next(waves, None)) is not None:
            held.append(wave_TC.copy())  # who gives blocks may fill one buffer again
            needed -= len(wave_TC)
        if not held:
            return
        if rms is None:
            found = _rms(np.concatenate(held))
            rms = found if found > _NOTHING else 0.0
        blocks_CT = (wave_TC.T for wave_TC in itertools.chain(held, waves))
        for stems_SCT in self.blocks(blocks_CT, sample_rate, rms):
            stems = (stem_CT[0] if first.ndim == 1 else stem_CT.T for stem_CT in stems_SCT)
            stems = (stem.astype(first.dtype) for stem in stems)
            yield dict(zip(self.names, stems, strict=True))

    def blocks(
        self, blocks_CT: Iterable[np.ndarray], sample_rate: int, rms: float
    ) -> Iterator[np.ndarray]:
        """Stems (S, C, T) block by block: see `sep.separation.chunks.separate`."""
        if not sample_rate > 0:
            raise UserError(f"a sample rate is more than 0 Hz, not {sample_rate}")
        return separate(
            *(self._apply, blocks_CT, self._plan),
            sample_rate=sample_rate,
            rms=rms,
            refine=self._refine,
        )

    def to_array(self, recording: Path) -> np.ndarray:
        """All stems (S, C, T) of a recording at its rate, in memory, as float32.

        Raises:
          UserError: it cannot be read.
        """
        found = audio.survey(recording)
        mixture = audio.blocks(recording)
        blocks = self.blocks(mixture, found.format.sample_rate, found.rms)
        return np.concatenate([block.astype(np.float32) for block in blocks], axis=-1)


def _checked(wave: np.ndarray, at: int = 0) -> np.ndarray:
    """A wave (T,) or (T, C), which begins at a sample of a stream, as (T, C)."""
    if wave.ndim not in (1, 2) or not np.issubdtype(wave.dtype, np.floating):
        raise UserError(
            f"a wave is (T,) or (T, C) of floating point, full scale 1, not {wave.dtype} "
            f"of shape {wave.shape}"
        )
    if wave.ndim == 2 and wave.shape[1] > MAX_CHANNELS:
        raise UserError(
            f"a wave is (T, C) of up to {MAX_CHANNELS} channels, not {wave.shape}; is it "
            "transposed?"
        )
    finite = np.isfinite(wave)
    if not finite.all():
        sample = at + int(finite.reshape(len(wave), -1).all(1).argmin())
        raise UserError(f"the wave is not finite, first at sample {sample}")
    return wave[:, None] if wave.ndim == 1 else wave


def _checked_stream(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The blocks that have samples, as (T, C)."""
    at, channels = 0, None
    for block in blocks:
        wave_TC = _checked(block, at)
        if channels not in (None, wave_TC.shape[1]):
            raise UserError(
                f"the stream has {channels} channels, then at sample {at} "
                f"{wave_TC.shape[1]}"
            )
        channels, at = wave_TC.shape[1], at + len(wave_TC)
        if len(wave_TC):
            yield wave_TC


def _rms(wave_TC: np.ndarray) -> float:
    exact_TC = wave_TC.astype(np.float64)
    return audio.rms(len(exact_TC), exact_TC.sum(0), np.square(exact_TC).sum(0))


def _pieces(wave_TC: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(wave_TC), audio.BLOCK):
        yield wave_TC[start : start + audio.BLOCK].T
