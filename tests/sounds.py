"""Signals, sound files, and what a folder contains."""

import os
from pathlib import Path

import numpy as np
import soundfile


def noise(length: int = 8000, channels: int = 1, seed: int = 0) -> np.ndarray:
    """White noise (T, C) within half of full scale."""
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (length, channels))


def tones(channels: int = 1, length: int = 30_000) -> np.ndarray:
    """Low-pitched sines (C, T) with peak 0.5, which every codec preserves."""
    time_T = np.arange(length)
    cycles_C1 = 1 / (100 + 17 * np.arange(channels)[:, None])
    return (0.5 * np.sin(2 * np.pi * cycles_C1 * time_T)).astype(np.float32)


def save(path: Path, wave_TC: np.ndarray, rate: int = 8000, **options) -> Path:
    """Writes a sound file with soundfile, with its folder; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(os.fsencode(path), wave_TC, rate, **options)
    return path


def files_in(folder: Path) -> list[str]:
    """Everything under a folder, relative to it, sorted."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
