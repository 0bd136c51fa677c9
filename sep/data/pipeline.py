"""Batches of stems, read ahead by threads. Batch n depends on the seed and n alone.

A crop is drawn as a moment: every moment at which a wanted source sounds is as likely as
any other, and the crop lies at random around it. So recordings are drawn by how long
they sound, silence is hardly ever drawn, and nothing is read in vain.

Shapes: B batch, S source, C channel, T sample, N block of `ACTIVITY_BLOCK` samples.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import grain
import numpy as np
import soxr

from sep.data.settings import DataSettings
from sep.data.stems import ACTIVITY_BLOCK, Stem, Stems
from sep.errors import UserError
from sep.model.names import RESIDUAL

_FOREVER = 2**40  # examples


class Pool(NamedTuple):
    """What one draw chooses from: stems that stay together, alone or as a track."""

    groups: list[tuple[Stem | None, ...]]
    active: list[np.ndarray]  # of each group: bool (N,), some stem of it sounds
    ends: np.ndarray  # blocks that sound, in this group and all before
    semitones: float  # of pitch shift, up or down


class Recipe(NamedTuple):
    """How examples are made."""

    any: list[Pool]  # of each source all recordings
    alone: list[Pool | None]  # of each source those that belong to no track
    together: Pool | None  # tracks, all sources at once
    aligned: float  # share of examples from tracks
    solos: float  # share of examples from those that belong to no track
    channels: int
    crop: int  # samples


def batches(
    stems: Stems,
    names: Sequence[str],
    data: DataSettings,
    *,
    crop: int,
    seed: int,
    first_step: int,
    process: int = 0,
    processes: int = 1,
) -> Iterator[np.ndarray]:
    """Endless batches (B, S, C, T) from step `first_step` on; `crop` is T in samples.

    Of every batch, process p of P gets rows p * B / P up to the next one's: together
    they have what one process alone would have.

    Raises:
      ValueError: crops of fewer than 2 samples, or a batch that processes cannot share.
      UserError: a source is silent everywhere.
    """
    size = data.batch_size
    rows, rest = divmod(size, processes)
    if rest:
        raise ValueError(f"{processes} processes cannot share batches of {size} evenly")
    recipe = _recipe(stems, names, data, crop)

    def example(number: int) -> np.ndarray:
        step, row = divmod(number, rows)
        return _example(recipe, (seed, step * size + process * rows + row))

    examples = grain.MapDataset.range(first_step * rows, _FOREVER).map(example)
    workers = data.workers
    ahead = workers + 1 if workers else 0
    options = grain.ReadOptions(num_threads=workers, prefetch_buffer_size=ahead)
    return iter(examples.batch(rows).to_iter_dataset(options))


def fixed_crops(
    stems: Stems,
    names: Sequence[str],
    data: DataSettings,
    *,
    count: int,
    crop: int,
    seed: int,
) -> np.ndarray:
    """The same crops (count, S, C, T) whenever they are asked for: unpaired, as recorded.

    Raises:
      ValueError, UserError: as `batches`.
    """
    recipe = _recipe(stems, names, data, crop)
    plain = [pool._replace(semitones=0.0) for pool in recipe.any]
    recipe = recipe._replace(any=plain, aligned=0.0, solos=0.0)
    return np.stack([_example(recipe, (seed, number)) for number in range(count)])


def _recipe(stems: Stems, names: Sequence[str], data: DataSettings, crop: int) -> Recipe:
    if crop < 2:
        raise ValueError(f"crops need 2 samples or more: {crop}")
    semitones = {name: data.timbre_of(name).pitch_semitones for name in names}
    every, alone = [], []
    for name in names:
        pools = [
            _pool([(stem,) for stem in some], [s.active_N for s in some], semitones[name])
            for some in (stems.solos[name], stems.unbound(name))
        ]
        if not pools[0]:
            raise UserError(f"all recordings of {name} are silent; replace them")
        every.append(pools[0])
        alone.append(pools[1])
    wanted = [name for name in names if name != RESIDUAL]
    together = _pool(
        [tuple(track[name] for name in names) for track in stems.tracks],
        [_sounding([track[name] for name in wanted]) for track in stems.tracks],
        min(semitones.values()),
    )
    aligned = data.aligned if together else 0.0
    solos = data.solos if all(alone) else 0.0
    return Recipe(every, alone, together, aligned, solos, data.channels, crop)


def _pool(groups: list, active: list[np.ndarray], semitones: float) -> Pool | None:
    """None if there is no sound in it."""
    ends = np.cumsum([np.count_nonzero(active_N) for active_N in active])
    return Pool(groups, active, ends, semitones) if any(ends) else None


def _sounding(stems: Sequence[Stem | None]) -> np.ndarray:
    """Where any of the stems of a track sounds: bool (N,)."""
    given = [stem.active_N for stem in stems if stem]
    either_N = np.zeros(max(map(len, given), default=0), bool)
    for active_N in given:
        either_N[: len(active_N)] |= active_N
    return either_N


def _example(recipe: Recipe, seed: tuple[int, int]) -> np.ndarray:
    """One example (S, C, T): all of one track, or every source by itself."""
    random = np.random.default_rng(seed)
    kind = random.random()
    if kind < recipe.aligned:
        pools = [recipe.together]
    else:
        pools = recipe.alone if kind < recipe.aligned + recipe.solos else recipe.any
    return np.stack([wave for pool in pools for wave in _crops(random, pool, recipe)])


def _crops(random, pool: Pool, recipe: Recipe) -> list[np.ndarray]:
    """A crop (C, T) of each stem of a random group, all of the same place and speed."""
    number = random.integers(pool.ends[-1])
    chosen = np.searchsorted(pool.ends, number, side="right")
    group, active_N = pool.groups[chosen], pool.active[chosen]
    block = np.flatnonzero(active_N)[number - pool.ends[chosen]]  # counted from behind
    longest = max(stem.length for stem in group if stem)
    begin = block * ACTIVITY_BLOCK
    moment = random.integers(begin, min(begin + ACTIVITY_BLOCK, longest))
    speed = 2 ** (random.uniform(-pool.semitones, pool.semitones) / 12)
    # One sample to spare, for what a resampler rounds.
    length = round(recipe.crop * speed) + 1 if pool.semitones else recipe.crop
    spare = longest - length
    start = np.clip(moment - random.integers(length), min(spare, 0), max(spare, 0))
    voice = random.random()
    crops = []
    for stem in group:
        if stem is None:
            crops.append(np.zeros((recipe.channels, recipe.crop), np.float32))
            continue
        wave_CT = _excerpt(stem.wave_CT, start, length, voice, recipe.channels)
        if pool.semitones:
            wave_CT = soxr.resample(wave_CT.T, speed, 1.0, quality="HQ").T
        short = max(0, recipe.crop - wave_CT.shape[1])
        crops.append(np.pad(wave_CT[:, : recipe.crop], [(0, 0), (0, short)]))
    return crops


def _excerpt(wave_CT, start: int, length: int, voice: float, channels: int) -> np.ndarray:
    """Some channels of a recording from `start` on; silence beyond its ends.

    `voice`, from 0 to below 1, chooses: one channel, or two neighbours; mono is doubled.
    """
    pair = channels if len(wave_CT) > 1 else 1
    first = int(voice * (len(wave_CT) - pair + 1))
    out_CT = np.zeros((channels, length), np.float32)
    begin, end = max(start, 0), min(start + length, wave_CT.shape[1])
    if begin < end:
        out_CT[:, begin - start : end - start] = wave_CT[first : first + pair, begin:end]
    return out_CT
