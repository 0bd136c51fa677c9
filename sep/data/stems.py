"""A folder of stems, DATA/{train,valid}/{source}/*, decoded once for fast reading.

Shapes: C channel, T sample.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from sep import audio
from sep.cache import cache_folder
from sep.errors import UserError
from sep.files import replacing


class Stem(NamedTuple):
    """One recording of one source, in the cache."""

    entry: Path
    length: int  # samples

    @property
    def wave_CT(self) -> np.ndarray:
        """Its float16 samples: mapped, not in memory, and only while they are used.

        A map holds a file open, and a data set may have more files than a process may.
        """
        return np.load(self.entry, mmap_mode="r", allow_pickle=False)


def load(
    folder: Path, sources: Sequence[str], sample_rate: int, cache: str
) -> dict[str, list[Stem]]:
    """All stems of every source under folder/{source}/, at one sample rate.

    What was decoded before comes from the cache; a file that changed is decoded anew.

    Raises:
      UserError: the folder or a source is missing, or a file cannot be read.
    """
    paths = {source: recordings_of(folder, source) for source in sources}
    place = Path(cache) if cache else cache_folder("stems")
    stems = {}
    for source, found in paths.items():
        # Shown only once it takes long: what is in the cache opens at once.
        progress = tqdm(found, f"reading {folder.name}/{source}", delay=1, leave=False)
        stems[source] = [decoded(path, sample_rate, place) for path in progress]
    return stems


def recordings_of(folder: Path, source: str) -> list[Path]:
    """The sound files of one source.

    Raises:
      UserError: there is no such folder, or no sound in it.
    """
    if not folder.is_dir():
        raise UserError(
            f"{folder}: no such folder; --data needs train/ and valid/, "
            "each with one folder of sound files a source"
        )
    place = folder / source
    if not place.is_dir():
        others = ", ".join(sorted(p.name for p in folder.iterdir() if p.is_dir()))
        raise UserError(
            f"{place}: the folder of this source is missing; add it, or name the sources "
            f"you have with --config.model.sources (found: {others or 'none'})"
        )
    found = audio.find(place)
    if not found:
        raise UserError(f"{place}: no sound files in it; put some WAV or FLAC files there")
    return found


def decoded(path: Path, sample_rate: int, cache: Path) -> Stem:
    """A recording at `sample_rate`, from the cache or decoded into it."""
    stat = path.stat()
    identity = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}|{sample_rate}"
    entry = cache / f"{hashlib.sha256(os.fsencode(identity)).hexdigest()[:32]}.npy"
    if not entry.exists():
        wave_CT, _ = audio.read(path, sample_rate)
        with replacing(entry) as part, part.open("wb") as file:
            np.save(file, wave_CT.astype(np.float16), allow_pickle=False)
    wave_CT = np.load(entry, mmap_mode="r", allow_pickle=False)
    return Stem(entry, wave_CT.shape[1])
