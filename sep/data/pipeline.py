"""Draws batches of stems, read ahead by threads. Batch n depends only on the seed and n.

To draw a crop, a moment at which the source has sound is drawn uniformly, and the
crop is placed at random around it. Hence a recording is drawn in proportion to the time it
sounds, silence is hardly ever drawn, and no crop has to be discarded.

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

_ENDLESS = 2**40  # examples


class Pool(NamedTuple):
    """Groups of stems that one draw chooses from: single stems, or tracks.

    Attributes:
      groups: stems that are cropped together.
      active: of each group, bool (N,): whether any of its stems has sound in a block.
      ends: running total of active blocks, this group's included.
      semitones: largest pitch shift, up or down.
    """

    groups: list[tuple[Stem | None, ...]]
    active: list[np.ndarray]
    ends: np.ndarray
    semitones: float


class Recipe(NamedTuple):
    """Sources of examples, and the share of each kind of example.

    Attributes:
      every: of each source, all recordings.
      unbound: of each source, the recordings outside tracks; None if they are silent.
      tracks: tracks, with all sources at once; None if there are none with sound.
      aligned: share of examples from `tracks`.
      solos: share of examples from `unbound`.
      channels: of crops.
      crop: length in samples.
    """

    every: list[Pool]
    unbound: list[Pool | None]
    tracks: Pool | None
    aligned: float
    solos: float
    channels: int
    crop: int


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
    """Returns endless batches (B, S, C, T).

    Of every batch, process p of P gets B / P rows from row p * B / P on. Together, the
    processes have the batches that a single process would have.

    Args:
      stems: of a split.
      names: of the S sources.
      data: settings.
      crop: T, in samples.
      seed: of all draws.
      first_step: step of the first batch.
      process: number of this process.
      processes: how many there are.

    Raises:
      ValueError: crops have fewer than 2 samples, or `processes` does not divide the batch.
      UserError: all recordings of a source are silent.
    """
    size = data.batch_size
    rows, rest = divmod(size, processes)
    if rest:
        raise ValueError(f"{processes} processes cannot share batches of {size} evenly")
    recipe = _recipe(stems, names, data, crop)

    def example(number: int) -> np.ndarray:
        step, row = divmod(number, rows)
        return _example(recipe, (seed, step * size + process * rows + row))

    examples = grain.MapDataset.range(first_step * rows, _ENDLESS).map(example)
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
    """Returns crops (count, S, C, T) that depend only on the arguments, for validation.

    Sources are paired at random, without pitch shift.

    Raises:
      ValueError, UserError: as `batches`.
    """
    recipe = _recipe(stems, names, data, crop)
    unshifted = [pool._replace(semitones=0.0) for pool in recipe.every]
    recipe = recipe._replace(every=unshifted, aligned=0.0, solos=0.0)
    return np.stack([_example(recipe, (seed, number)) for number in range(count)])


def _recipe(stems: Stems, names: Sequence[str], data: DataSettings, crop: int) -> Recipe:
    if crop < 2:
        raise ValueError(f"crops need 2 samples or more: {crop}")
    semitones = {name: data.timbre_of(name).pitch_semitones for name in names}
    every, unbound = [], []
    for name in names:
        pool = _pool_of_stems(stems.solos[name], semitones[name])
        if not pool:
            raise UserError(f"all recordings of {name} are silent; replace them")
        every.append(pool)
        unbound.append(_pool_of_stems(stems.unbound(name), semitones[name]))
    instruments = [name for name in names if name != RESIDUAL]
    tracks = _pool(
        [tuple(track[name] for name in names) for track in stems.tracks],
        [_active_in_any([track[name] for name in instruments]) for track in stems.tracks],
        min(semitones.values()),
    )
    aligned = data.aligned if tracks else 0.0
    solos = data.solos if all(unbound) else 0.0
    return Recipe(every, unbound, tracks, aligned, solos, data.channels, crop)


def _pool_of_stems(stems: Sequence[Stem], semitones: float) -> Pool | None:
    """Returns a pool of single stems, or None if all are silent."""
    return _pool([(stem,) for stem in stems], [s.active_N for s in stems], semitones)


def _pool(
    groups: Sequence[tuple[Stem | None, ...]], active: list[np.ndarray], semitones: float
) -> Pool | None:
    """Returns a pool of groups, or None if all are silent."""
    ends = np.cumsum([np.count_nonzero(active_N) for active_N in active])
    return Pool(list(groups), active, ends, semitones) if any(ends) else None


def _active_in_any(stems: Sequence[Stem | None]) -> np.ndarray:
    """Whether any stem of a track has sound in a block: bool (N,)."""
    given = [stem.active_N for stem in stems if stem]
    either_N = np.zeros(max(map(len, given), default=0), bool)
    for active_N in given:
        either_N[: len(active_N)] |= active_N
    return either_N


def _example(recipe: Recipe, seed: tuple[int, int]) -> np.ndarray:
    """Draws one example (S, C, T): all sources of one track, or each independently."""
    random = np.random.default_rng(seed)
    kind = random.random()
    pools: Sequence[Pool | None] = recipe.every
    if kind < recipe.aligned:
        pools = [recipe.tracks]
    elif kind < recipe.aligned + recipe.solos:
        pools = recipe.unbound
    crops = [_crops(random, pool, recipe) for pool in pools if pool]  # none is None here
    return np.stack([wave_CT for crops_of_pool in crops for wave_CT in crops_of_pool])


def _crops(random: np.random.Generator, pool: Pool, recipe: Recipe) -> list[np.ndarray]:
    """Crops each stem of a random group to (C, T), all at the same place and speed."""
    number = random.integers(pool.ends[-1])
    chosen = np.searchsorted(pool.ends, number, side="right")
    group, active_N = pool.groups[chosen], pool.active[chosen]
    block = np.flatnonzero(active_N)[number - pool.ends[chosen]]  # counted from the end
    longest = max(stem.length for stem in group if stem)
    begin = block * ACTIVITY_BLOCK
    moment = random.integers(begin, min(begin + ACTIVITY_BLOCK, longest))
    speed = 2 ** (random.uniform(-pool.semitones, pool.semitones) / 12)
    # One extra sample, since the resampler rounds the length.
    length = round(recipe.crop * speed) + 1 if pool.semitones else recipe.crop
    spare = longest - length
    start = np.clip(moment - random.integers(length), min(spare, 0), max(spare, 0))
    channel_draw = random.random()
    crops = []
    for stem in group:
        if stem is None:
            crops.append(np.zeros((recipe.channels, recipe.crop), np.float32))
            continue
        wave_CT = _excerpt(stem.wave_CT, start, length, channel_draw, recipe.channels)
        if pool.semitones:
            wave_CT = soxr.resample(wave_CT.T, speed, 1.0, quality="HQ").T
        short = max(0, recipe.crop - wave_CT.shape[1])
        crops.append(np.pad(wave_CT[:, : recipe.crop], [(0, 0), (0, short)]))
    return crops


def _excerpt(
    wave_CT: np.ndarray, start: int, length: int, channel_draw: float, channels: int
) -> np.ndarray:
    """Returns some channels of a recording from `start` on; silence beyond its ends.

    `channel_draw`, from 0 to below 1, chooses one channel or two neighbours; mono is
    doubled.
    """
    pair = channels if len(wave_CT) > 1 else 1
    first = int(channel_draw * (len(wave_CT) - pair + 1))
    out_CT = np.zeros((channels, length), np.float32)
    begin, end = max(start, 0), min(start + length, wave_CT.shape[1])
    if begin < end:
        out_CT[:, begin - start : end - start] = wave_CT[first : first + pair, begin:end]
    return out_CT
