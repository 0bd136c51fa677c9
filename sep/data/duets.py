"""Solos to test tracks: the passages where most is played, mixed at known levels.

Shapes: C channel (2), T sample.
"""

import numpy as np

RMS = 0.1  # of every passage before it is mixed; full scale is 1
_PEAK = 0.95


def trimmed(wave_CT: np.ndarray) -> np.ndarray:
    """Without digital silence at the ends."""
    sounding = np.flatnonzero(np.abs(wave_CT).max(0) > 1e-4)
    return wave_CT[:, sounding[0] : sounding[-1] + 1] if len(sounding) else wave_CT[:, :0]


def stereo(wave_CT: np.ndarray) -> np.ndarray:
    """Mono doubled, the first two of more channels."""
    return np.repeat(wave_CT, 2, 0) if len(wave_CT) == 1 else wave_CT[:2]


def steadiness(wave_CT: np.ndarray, frame: int) -> float:
    """Level of the quietest twentieth of the frames, over the level of all: 0 .. 1."""
    whole = wave_CT[:, : wave_CT.shape[1] // frame * frame]
    level_N = np.sqrt((whole.reshape(len(wave_CT), -1, frame) ** 2).mean((0, 2)))
    return float(np.percentile(level_N, 5) / (np.sqrt((wave_CT**2).mean()) + 1e-9))


def busiest(wave_CT: np.ndarray, length: int, count: int, frame: int) -> list[int]:
    """Starts of the `count` passages with the fewest pauses, none overlapping, in order."""
    starts = range(0, wave_CT.shape[1] - length + 1, length)
    ranked = sorted(starts, key=lambda s: -steadiness(wave_CT[:, s : s + length], frame))
    return sorted(ranked[:count])


def mix(passages: list[np.ndarray], level_db: float) -> list[np.ndarray]:
    """Passages at equal loudness but for the last, which is `level_db` louder.

    Returns 16-bit stems, scaled together so that neither they nor their sum can clip.
    """
    gains = [1.0] * (len(passages) - 1) + [10 ** (level_db / 20)]
    stems = [
        passage * (gain * RMS / (np.sqrt((passage**2).mean()) + 1e-9))
        for passage, gain in zip(passages, gains, strict=True)
    ]
    peak = max(np.abs(wave).max() for wave in (*stems, sum(stems)))
    scale = min(1.0, _PEAK / peak)
    return [np.round(wave * scale * 32767).astype(np.int16) for wave in stems]
