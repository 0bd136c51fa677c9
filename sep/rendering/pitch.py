"""Measures the pitch of a single note, and how certain it is.

Shapes: T sample, N frame, L lag.
"""

from typing import NamedTuple

import numpy as np

_FRAME = 0.1  # seconds: nearly three periods of a piano's lowest note
_HOP = 0.05
_FRAMES = 30  # most frames that are measured
_LOWEST_HZ, _HIGHEST_HZ = 25.0, 5000.0
_FINER = 4  # lags per sample
_FIRST = 0.9  # the first peak this near to the highest is the period (McLeod's k)
_HARMONICS = np.arange(1, 9)


class Pitch(NamedTuple):
    """A measured pitch."""

    midi: float  # MIDI key with its fraction: 69.0 is 440 Hz, a cent is 0.01
    certainty: float  # 0: no pitch; above about 0.8: certain


def measure_pitch(wave_T: np.ndarray, rate: int, expected: float | None = None) -> Pitch:
    """Measures the pitch of a note: the median over its loud frames.

    Each frame's period is the first high peak of the normalised autocorrelation
    (McLeod and Wyvill, "A smarter way to find pitch", ICMC 2005), refined by the
    harmonics' frequencies in the spectrum. The certainty is how periodic the frames are,
    times the share of them within 60 cents of the median.

    Args:
      wave_T: one note.
      rate: sample rate in Hz.
      expected: a MIDI key that decides between octaves where both are possible. It does
        not change the result for any other note.
    """
    frames = [f for f in loud_frames(wave_T, rate) if len(f) > 2 * rate / _HIGHEST_HZ]
    evenly = frames[:: 1 + len(frames) // _FRAMES]  # a long note has more
    found = [_frame_pitch(frame, rate, expected) for frame in evenly]
    if not found:
        return Pitch(0.0, 0.0)
    midi, clarity = np.array(found).T
    median = float(np.median(midi))
    agreeing = np.abs(midi - median) < 0.6
    certainty = float(np.median(clarity) * agreeing.mean())
    return Pitch(median, max(certainty, 0.0))


def cents_off(midi: float, key: float) -> float:
    """Returns how far a pitch is above a key, in cents."""
    return 100 * (midi - key)


def loud_frames(wave_T: np.ndarray, rate: int) -> list[np.ndarray]:
    """Returns the frames of 0.1 s within 12 dB of the loudest; none for silence."""
    length, hop = round(_FRAME * rate), round(_HOP * rate)
    last = max(len(wave_T) - length, 0)
    frames = [wave_T[start : start + length] for start in range(0, last + 1, hop)]
    levels = np.array([np.sqrt(np.mean(np.square(f))) if len(f) else 0 for f in frames])
    threshold = levels.max() / 4
    return [f for f, level in zip(frames, levels, strict=True) if level > threshold]


def _frame_pitch(
    frame: np.ndarray, rate: int, expected: float | None
) -> tuple[float, float]:
    """Returns one frame's MIDI pitch and clarity (0 .. 1)."""
    frame = frame - frame.mean()
    similar_L = _normalised_autocorrelation(frame)
    step = _FINER * rate  # lags in a second
    peaks = _peaks(similar_L[: int(step / _LOWEST_HZ)], int(step / _HIGHEST_HZ))
    if not len(peaks):
        return 0.0, 0.0
    heights = similar_L[peaks]
    lag = peaks[np.argmax(heights >= _FIRST * heights.max())]
    if expected is not None:
        lag = _settle_octave(lag, peaks, heights, step / _hertz(expected))
    hertz = _refine(frame, rate, step / lag)
    return 69 + 12 * np.log2(hertz / 440), min(similar_L[lag], 1.0)


def _normalised_autocorrelation(frame: np.ndarray) -> np.ndarray:
    """Returns 2 sum x(t) x(t + lag) / sum (x(t)^2 + x(t + lag)^2), by lag (L,).

    There are `_FINER` lags per sample.
    """
    length = len(frame)
    power = np.abs(np.fft.rfft(frame, 2 * length)) ** 2
    # A longer inverse transform gives finer lags, exactly: the function is band-limited.
    products = np.fft.irfft(power, 2 * length * _FINER)[: length * _FINER] * _FINER
    energy = np.concatenate([[0.0], np.cumsum(np.square(frame))])
    sample = np.arange(length)
    both = energy[length - sample] + energy[-1] - energy[sample]
    lags = np.arange(length * _FINER) / _FINER
    return 2 * products / np.maximum(np.interp(lags, sample, both), 1e-12)


def _peaks(similar_L: np.ndarray, first: int) -> np.ndarray:
    """Returns the lags of positive peaks, after the one at 0."""
    negative = np.flatnonzero(similar_L <= 0)
    first = max(first, negative[0] if len(negative) else first, 1)
    middle = similar_L[first:-1]
    up, down = middle > similar_L[first - 1 : -2], middle >= similar_L[first + 1 :]
    return first + np.flatnonzero(up & down & (middle > 0))


def _settle_octave(
    lag: int, peaks: np.ndarray, heights: np.ndarray, expected: float
) -> int:
    """Returns the peak at the expected lag if it is as good a period as `lag`.

    Args:
      lag: the period that was found.
      peaks: lags of all peaks.
      heights: their heights.
      expected: lag of the expected key.
    """
    near = np.flatnonzero(np.abs(np.log2(peaks / expected)) < 1 / 12)
    if not len(near):
        return lag
    best = near[np.argmax(heights[near])]
    found = heights[np.searchsorted(peaks, lag)]
    # Twice a period always fits as well: a longer lag must be clearly better.
    better = heights[best] > found + 0.02 if peaks[best] > lag else heights[best] > 0.8
    return peaks[best] if better else lag


def _refine(frame: np.ndarray, rate: int, hertz: float) -> float:
    """Refines a frequency by the harmonics that stand out in the spectrum."""
    if hertz * len(frame) / rate < 6:  # neighbouring harmonics run together
        return hertz
    size = 4 * len(frame)
    log_F = np.log(np.abs(np.fft.rfft(frame * np.hanning(len(frame)), size)) + 1e-12)
    found = []  # (frequency of the fundamental, level, order) of each peak
    for order in _HARMONICS[_HARMONICS * hertz * 1.03 < rate / 2]:
        low, high = (int(order * hertz * side * size / rate) for side in (0.98, 1.02))
        low, high = max(low - 1, 1), min(high + 2, len(log_F) - 1)
        top = low + int(np.argmax(log_F[low:high]))
        left, middle, right = log_F[top - 1 : top + 2]
        if middle <= max(left, right):  # a slope, not a peak
            continue
        shift = 0.5 * (left - right) / (left - 2 * middle + right)
        found.append(((top + shift) * rate / size / order, middle, order))
    if not found:
        return hertz
    places, levels, orders = np.array(found).T
    weights = np.exp(2 * np.maximum(levels - levels.max(), -10)) * orders
    weights = weights * (levels > levels.max() - 3.5)  # within 30 dB
    return float(np.sum(weights * places) / np.sum(weights))


def _hertz(midi: float) -> float:
    """Converts a MIDI pitch to Hz."""
    return 440 * 2 ** ((midi - 69) / 12)
