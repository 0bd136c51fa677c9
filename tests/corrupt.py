"""Corrupt files as they occur in real folders, and files with unusual names."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from sounds import noise, save


def truncated(path: Path) -> None:
    whole = save(path, noise(60_000)).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def not_numbers(path: Path) -> None:
    wave_TC = noise()
    wave_TC[4321] = np.nan
    save(path, wave_TC, subtype="FLOAT")


def huge(path: Path) -> None:
    save(path, 1e6 * noise(), subtype="FLOAT")


# Name: (function that makes the file, part of the error message).
CORRUPT: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated.flac": (truncated, "cannot be read as sound"),
    "nothing.wav": (lambda path: path.write_bytes(b""), "is empty"),
    "text.wav": (lambda path: path.write_text("no sound " * 99), "cannot be read as sound"),
    "nan.wav": (not_numbers, "not finite numbers"),
    "hertz.wav": (lambda path: save(path, noise(), 1), "sample rate of 1 Hz"),
    "link.wav": (lambda path: path.symlink_to("nowhere.wav"), "is a broken link"),
    "folder.wav": (lambda path: path.mkdir(), "is a folder, not a sound file"),
    "huge.wav": (huge, "beyond full scale"),
    "header.wav": (lambda path: save(path, noise(0)), "has no samples"),
}
UNUSUAL = ("Für Elise, 音楽.wav", f"{'long ' * 39}x.flac", "a.b.c.ogg", "-x %s {y}.wav")


def add_corrupt(folder: Path) -> list[Path]:
    """Writes one file of each kind to a folder; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (make, _) in CORRUPT.items():
        make(folder / name)
    return [folder / name for name in CORRUPT]
