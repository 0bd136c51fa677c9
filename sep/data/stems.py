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
from sep.errors import UserError


class Stem(NamedTuple):
    """One recording of one source."""

    path: Path
    wave_CT: np.ndarray  # float16, mapped from the cache, not in memory


def load(
    folder: Path, sources: Sequence[str], sample_rate: int, cache: str
) -> dict[str, list[Stem]]:
    """All stems of every source under folder/{source}/, at one sample rate.

    What was decoded before comes from the cache; a file that changed is decoded anew.

    Raises:
      UserError: the folder or a source is missing, or a file cannot be read.
    """
    paths = {source: find(folder, source) for source in sources}
    cache_folder = Path(cache) if cache else default_cache()
    stems = {}
    for source, found in paths.items():
        # Shown only once it takes long: what is in the cache opens at once.
        progress = tqdm(found, f"reading {folder.name}/{source}", delay=1, leave=False)
        stems[source] = [Stem(p, decoded(p, sample_rate, cache_folder)) for p in progress]
    return stems


def find(folder: Path, source: str) -> list[Path]:
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


def default_cache() -> Path:
    """Where decoded stems are kept unless a config says otherwise."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "sep" / "stems"


def decoded(path: Path, sample_rate: int, cache: Path) -> np.ndarray:
    """A recording (C, T) as float16 at `sample_rate`, mapped from a file in the cache."""
    stat = path.stat()
    identity = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}|{sample_rate}"
    entry = cache / f"{hashlib.sha256(os.fsencode(identity)).hexdigest()[:32]}.npy"
    if not entry.exists():
        wave_CT, _ = audio.read(path, sample_rate)
        cache.mkdir(parents=True, exist_ok=True)
        part = entry.with_suffix(f".{os.getpid()}.part")
        with part.open("wb") as file:
            np.save(file, wave_CT.astype(np.float16), allow_pickle=False)
        os.replace(part, entry)
    return np.load(entry, mmap_mode="r", allow_pickle=False)
