"""Batches of stems, read ahead by threads. Batch n depends on the seed and n alone.

Shapes: B batch, S source, T sample.
"""

from collections.abc import Iterator, Sequence

import grain
import numpy as np
import soxr

from sep.data.mixing import QUIET
from sep.data.stems import Stem

_DRAWS = 5  # for a crop that is not silent
_FOREVER = 2**40  # examples


def batches(
    stems: Sequence[Sequence[Stem]], config, *, crop: int, seed: int, first_step: int
) -> Iterator[np.ndarray]:
    """Endless batches (B, S, T) from step `first_step` on.

    Each source is drawn by itself: a recording by its length, a place in it, one of its
    channels, a speed. `stems` has one list a source, `config` is the `data` part.
    """
    size = config["batch_size"]
    examples = grain.MapDataset.range(first_step * size, _FOREVER).map(
        lambda index: _example(stems, index, crop, seed, config["speed"])
    )
    workers = config["workers"]
    options = grain.ReadOptions(num_threads=workers, prefetch_buffer_size=workers + 1)
    return iter(examples.batch(size).to_iter_dataset(options))


def fixed_crops(
    stems: Sequence[Sequence[Stem]], *, count: int, crop: int, seed: int
) -> np.ndarray:
    """The same crops (count, S, T) whenever they are asked for."""
    return np.stack([_example(stems, i, crop, seed, 0.0) for i in range(count)])


def _example(stems, index: int, crop: int, seed: int, speed: float) -> np.ndarray:
    random = np.random.default_rng((seed, index))
    return np.stack([_crop(random, of_source, crop, speed) for of_source in stems])


def _crop(random, stems: Sequence[Stem], crop: int, speed: float) -> np.ndarray:
    """One crop (T,) that is not silent, if a few draws find one."""
    lengths = np.array([stem.length for stem in stems], np.float64)
    for _ in range(_DRAWS):
        stem = stems[random.choice(len(stems), p=lengths / lengths.sum())]
        factor = 1 + random.uniform(-speed, speed)
        wave_T = _excerpt(random, stem.wave_CT, round(crop * factor))
        if np.sqrt(np.mean(wave_T**2)) > QUIET:
            break
    if speed:
        wave_T = soxr.resample(wave_T, factor, 1.0, quality="MQ")
    return np.pad(wave_T[:crop], (0, max(0, crop - len(wave_T))))


def _excerpt(random, wave_CT: np.ndarray, length: int) -> np.ndarray:
    """`length` samples of one channel from a random place; short ones are padded."""
    channel = wave_CT[random.integers(len(wave_CT))]
    spare = len(channel) - length
    if spare < 0:
        before = random.integers(-spare + 1)
        return np.pad(channel.astype(np.float32), (before, -spare - before))
    start = random.integers(spare + 1)
    return channel[start : start + length].astype(np.float32)
