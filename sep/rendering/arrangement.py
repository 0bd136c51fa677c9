"""Arranges a score before it is performed: register, key, figures.

Songs alone have no fast notes, no double stops, and use little of a violin's range.
"""

import numpy as np

from sep.rendering.performance import held_keys, note_array, phrases

LOWEST, HIGHEST = 55, 100  # range of the violin: G3 to E7
OPEN = (55, 62, 69, 76)  # keys of its open strings


def into_range(
    pitch: np.ndarray, lowest: int = LOWEST, highest: int = HIGHEST
) -> np.ndarray:
    """Moves keys by octaves until they lie between lowest and highest."""
    pitch = pitch + 12 * np.ceil(np.maximum(lowest - pitch, 0) / 12).astype(int)
    return pitch - 12 * np.ceil(np.maximum(pitch - highest, 0) / 12).astype(int)


def for_violin(melody: np.ndarray) -> np.ndarray:
    """Moves a melody into the violin's range.

    A phrase that goes below G3 moves up by an octave as a whole, which keeps its line.
    """
    melody = melody.copy()
    for phrase in phrases(melody):
        melody["pitch"][phrase] += 12 * (melody["pitch"][phrase].min() < LOWEST)
    melody["pitch"] = into_range(melody["pitch"])
    return melody


def vary(
    rng: np.random.Generator, melody: np.ndarray, piano: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Transposes both parts; often raises the melody, or replaces it by figures."""
    melody, piano = melody.copy(), piano.copy()
    shift = rng.integers(-5, 8)
    melody["pitch"] += shift + 12 * (rng.random() < 0.4)
    piano["pitch"] = into_range(piano["pitch"] + shift, 21, 108)
    if rng.random() < 0.7:
        melody = figure(rng, melody, piano)
    melody["pitch"] = into_range(melody["pitch"])
    return melody, piano


def figure(rng: np.random.Generator, melody: np.ndarray, piano: np.ndarray) -> np.ndarray:
    """Replaces a melody by fast notes or double stops on the piano's harmony."""
    kind = rng.choice(["upper line", "repeat", "arpeggio", "double stop"])
    if kind == "upper line":
        return upper_line(melody, piano)
    notes, step = [], 1 / rng.uniform(4, 12)
    for onset, duration, pitch in melody[["onset", "duration", "pitch"]].tolist():
        near = into_range(held_keys(piano, onset))
        if kind == "double stop":
            below = [p for p in near if 3 <= pitch - p <= 12] or [pitch - 9]
            is_pair = max(below) >= LOWEST and rng.random() < 0.6
            notes += [(onset, duration, p) for p in [pitch, max(below)][: 1 + is_pair]]
        else:
            tones = [pitch, *near[::-1]] if kind == "arpeggio" else [pitch]
            count = max(1, round(duration / step))
            part = duration / count
            notes += [(onset + i * part, part, tones[i % len(tones)]) for i in range(count)]
    return note_array(notes)


def upper_line(melody: np.ndarray, piano: np.ndarray) -> np.ndarray:
    """Returns the piano's highest notes, or `melody` if they are too few."""
    high = piano[piano["pitch"] >= LOWEST]
    top = [high[high["onset"] == onset][-1] for onset in np.unique(high["onset"])]
    return np.array(top, high.dtype) if len(top) > len(melody) / 2 else melody
