"""Parametric bowed string: each draw is a different violin.

Domain randomisation (Tobin et al., IROS 2017): a network trained on one sampled violin
learns that violin. Many violins that differ more than real ones do teach it what violins
have in common.

The model is of the kind of Mathews & Kohut (JASA 53, 1973): a bowed string's sawtooth
through many narrow resonances. The body is fixed while vibrato moves the harmonics, so each
harmonic's amplitude varies separately (Fletcher & Sanders, JASA 41, 1967).

- String: Helmholtz motion (On the Sensations of Tone, 1863) puts a sawtooth force on the
  bridge. The n-th harmonic has the amplitude 1/n. The softer the bow presses, the more the
  corner is rounded. The place of the bow adds ripples (Schelleng, JASA 53, 1973; Cremer,
  The Physics of the Violin, 1984).
- Body: A0, B1- and B1+, then a crowd of modes, and the bridge hill (Jansson, Acustica 83,
  1997; Woodhouse, Rep. Prog. Phys. 77, 2014).

Shapes: T sample, N harmonic, M mode of the body. Frequencies are in Hz, times in seconds.
"""

from collections.abc import Callable
from typing import NamedTuple, overload

import numpy as np
import scipy.signal

from sep.rendering import RATE
from sep.rendering.arrangement import OPEN
from sep.rendering.performance import CONTROL_RATE, Performance

_HIGHEST = 20000.0  # harmonics above are left out: they would alias
_FADING = 16000.0  # harmonics fade from here to _HIGHEST: one that ended would click
_BLOCK = 4096  # samples summed at once: as many as fit the processor's cache
_LEVEL = 0.05  # approximate amplitude of a string bowed at velocity 80


class Violin(NamedTuple):
    """Parameters of one instrument and its player, as drawn by `draw`."""

    body_T: np.ndarray  # impulse response from the bridge to the microphone
    cutoff: np.ndarray  # of each string: frequency at which rounding costs 8.7 dB
    slope: float  # harmonics fall as n ** -slope
    bow: float  # place of the bow, as a share of the string
    ripple: float  # depth of the notches that this place makes, 0..1
    uneven_db: float  # standard deviation of single harmonics
    dynamics_db: float  # difference between velocities 0 and 127
    pressure: float  # how much brighter louder playing is: exponent on the cutoff
    attack: float
    scratch: float  # roughness of attacks: radians, at the fundamental
    rough: float  # roughness of steady bowing: radians, at the fundamental
    jitter_cents: float
    flutter_db: float
    unsteady: float  # rate of jitter and flutter, Hz
    noise_db: float  # bow noise, relative to the string
    noise_band: np.ndarray  # lower and upper edge of the bow noise
    bite: float  # added gain of the bow noise in an attack
    contact: float  # how long a spiccato bow touches the string
    ring: float  # time constant of a string that the bow has left
    portamento: float
    high_position: float  # chance to play on a lower string than necessary


@overload
def _between(rng: np.random.Generator, low: float, high: float) -> float: ...


@overload
def _between(
    rng: np.random.Generator, low: float, high: float, size: int
) -> np.ndarray: ...


def _between(
    rng: np.random.Generator, low: float, high: float, size: int | None = None
) -> float | np.ndarray:
    """Draws from low..high, uniformly on a logarithmic scale."""
    return np.exp(rng.uniform(np.log(low), np.log(high), size))


def draw(rng: np.random.Generator) -> Violin:
    """Draws a violin; its parameters vary more than those of real ones."""
    return Violin(
        body_T=_body(rng),
        cutoff=_between(rng, 1800, 18000) * np.exp(rng.normal(0, 0.2, 4)),
        slope=rng.uniform(0.8, 1.3),
        bow=_between(rng, 0.05, 0.2),
        ripple=rng.uniform(0, 0.8),
        uneven_db=rng.uniform(0, 4),
        dynamics_db=rng.uniform(15, 45),
        pressure=rng.uniform(0.1, 0.7),
        attack=_between(rng, 0.01, 0.12),
        scratch=_between(rng, 0.02, 0.6),
        rough=_between(rng, 0.001, 0.02),
        jitter_cents=_between(rng, 0.5, 5),
        flutter_db=_between(rng, 0.4, 5),
        unsteady=_between(rng, 4, 20),
        noise_db=rng.uniform(-50, -24),
        noise_band=np.array([_between(rng, 200, 1500), _between(rng, 3000, 14000)]),
        bite=_between(rng, 1, 12),
        contact=_between(rng, 0.03, 0.1),
        ring=_between(rng, 0.04, 0.35),
        portamento=_between(rng, 0.01, 0.06),
        high_position=rng.uniform(0, 0.5),
    )


def _body(rng: np.random.Generator) -> np.ndarray:
    """Draws a body's impulse response (T,): a causal sum of decaying modes.

    It is scaled to keep the power of a sawtooth.
    """
    frequency_M = _mode_frequencies(rng)
    gain_M = _mode_gains_db(rng, frequency_M)
    quality_M = _between(rng, 20, 90, len(frequency_M))
    quality_M[:4] = _between(rng, 12, 40, 4)
    decay_M = np.pi * frequency_M / quality_M
    height_M = 10 ** (gain_M / 20) * decay_M * rng.choice([-1, 1], len(frequency_M))
    time_T = np.arange(RATE // 6) / RATE
    pole_M1 = (2j * np.pi * frequency_M - decay_M)[:, None].astype(np.complex64)
    body_T = (height_M @ np.exp(pole_M1 * time_T.astype(np.float32))).real
    body_T *= np.linspace(1, 0, len(body_T))
    # Below A0 the air in the f-holes moves against the plates, which cancels their sound.
    low = scipy.signal.butter(2, rng.uniform(170, 270), "highpass", fs=RATE, output="sos")
    body_T = scipy.signal.sosfilt(low, body_T)
    frequency = np.arange(200, 8000)
    spectrum = np.interp(
        frequency, np.fft.rfftfreq(2**14, 1 / RATE), abs(np.fft.rfft(body_T, 2**14))
    )
    power = np.average(spectrum**2, weights=1.0 / frequency**2)
    return (body_T / np.sqrt(power)).astype(np.float32)


def _mode_frequencies(rng: np.random.Generator) -> np.ndarray:
    """Draws the frequencies of the body's modes (M,); the first four have names."""
    signature_M = np.array(
        [
            rng.uniform(255, 305),  # A0, the air
            rng.uniform(370, 430),  # CBR
            rng.uniform(400, 480),  # B1-
            rng.uniform(490, 580),  # B1+
        ]
    )
    crowd_M = np.cumsum(rng.gamma(3, _between(rng, 12, 25), 250)) + 600
    crowd_M = crowd_M[crowd_M < 6000]
    treble_M = rng.uniform(6000, 16000, 60)
    return np.concatenate([signature_M, crowd_M, treble_M])


def _mode_gains_db(rng: np.random.Generator, frequency_M: np.ndarray) -> np.ndarray:
    """Draws the gains of the body's modes (M,), in dB."""
    octaves_M = np.log2(frequency_M / 1000)
    hill = rng.uniform(2000, 3200), rng.uniform(0.25, 0.6), rng.uniform(-2, 14)
    gain_M = rng.uniform(-3, 3) * octaves_M
    gain_M += hill[2] * np.exp(-((octaves_M - np.log2(hill[0] / 1000)) ** 2) / hill[1] ** 2)
    corner = hill[0] * rng.uniform(1.1, 1.8)
    gain_M -= rng.uniform(0, 14) * np.log2(frequency_M / corner).clip(0)
    knots = np.linspace(-2, 4, 10)  # broad hills and dips: a formant about every 0.7 octave
    gain_M += np.interp(octaves_M, knots, rng.normal(0, rng.uniform(1, 5), 10))
    gain_M += rng.normal(0, rng.uniform(3, 10), len(frequency_M))
    gain_M[:4] += np.array([2, -8, 4, 4]) + rng.uniform(-3, 6)
    if rng.random() < 0.1:  # con sordino: more mass on the bridge
        muted_M = np.log2(frequency_M / rng.uniform(900, 1600)).clip(0, 2)
        gain_M -= rng.uniform(4, 9) * muted_M
    return gain_M


def play(
    violin: Violin, rng: np.random.Generator, performance: Performance, seconds: float
) -> np.ndarray:
    """Plays a performance on this violin.

    Notes that overlap, unless slurred, are played on different strings.

    Args:
      violin: the instrument.
      rng: draws what varies from stroke to stroke.
      performance: notes and control curves.
      seconds: length of the result.

    Returns:
      float32 (T,) at 44100 Hz, within -0.9..0.9.
    """
    notes = np.sort(performance.notes, order=["onset", "pitch"])
    strings = _fingering(rng, violin, notes)
    string_T = np.zeros(round(seconds * RATE))
    noise_T = np.zeros_like(string_T)
    for indices in _strokes(notes):
        onset, last = notes["onset"][indices[0]], indices[-1]
        same_string = strings == strings[last]
        same_string[indices] = False
        later = notes["onset"][same_string & (notes["onset"] > notes["onset"][last])]
        until = later.min(initial=np.inf)
        begin = max(round(onset * RATE), 0)
        tone_T, hiss_T = _bow(
            rng, violin, performance, notes[indices], strings[indices], until, seconds
        )
        string_T[begin : begin + len(tone_T)] += tone_T
        noise_T[begin : begin + len(hiss_T)] += hiss_T
    if not string_T.any():
        return string_T.astype(np.float32)
    noise_T *= rng.standard_normal(len(noise_T))
    band = scipy.signal.butter(1, violin.noise_band, "bandpass", fs=RATE, output="sos")
    string_T += scipy.signal.sosfilt(band, noise_T)
    wave_T = scipy.signal.oaconvolve(string_T, violin.body_T)[: len(string_T)]
    return (wave_T * min(1, 0.9 / abs(wave_T).max())).astype(np.float32)


def _fingering(rng: np.random.Generator, violin: Violin, notes: np.ndarray) -> np.ndarray:
    """Chooses the string (0..3) of each note: the highest free one, sometimes the next."""
    strings = np.zeros(len(notes), int)
    ends = notes["onset"] + notes["duration"]
    for i, (onset, pitch) in enumerate(notes[["onset", "pitch"]]):
        before = slice(max(i - 4, 0), i)
        busy = strings[before][ends[before] > onset + 0.06]
        reach = [s for s in range(4) if pitch >= OPEN[s] and s not in busy] or [0]
        lower = len(reach) > 1 and pitch - OPEN[reach[-2]] <= 19
        strings[i] = reach[-2 if lower and rng.random() < violin.high_position else -1]
    return strings


def _strokes(notes: np.ndarray) -> list[list[int]]:
    """Groups the notes' indices by bow stroke: [[0], [1, 2, 3], ...]."""
    strokes: list[list[int]] = []
    ends = notes["onset"] + notes["duration"]
    for i, note in enumerate(notes):
        before = [
            stroke
            for stroke in strokes[-4:]
            if notes["onset"][stroke[-1]] < note["onset"]
            and abs(ends[stroke[-1]] - note["onset"]) < 0.1
        ]
        if note["slurred"] and before:
            near = [abs(notes["pitch"][stroke[-1]] - note["pitch"]) for stroke in before]
            before[np.argmin(near)].append(i)
        else:
            strokes.append([i])
    return strokes


class _Stroke(NamedTuple):
    """Times of one bow stroke, in seconds."""

    onset: float
    attack: float  # time constant of the attack
    held: float  # from the onset until the bow leaves the string
    ring: float  # time constant of the decay afterwards
    stop: float  # when the string is silent, in seconds of the piece


def _stroke(
    rng: np.random.Generator, violin: Violin, notes: np.ndarray, string: int, until: float
) -> _Stroke:
    """Draws the times of a stroke over slurred notes; `string` is that of the last."""
    onset, last = notes["onset"][0], notes[-1]
    attack = violin.attack * np.exp(rng.normal(0, 0.3))
    held = min(last["onset"] + last["duration"], until) - onset
    if last["brief"]:
        contact = violin.contact * np.exp(rng.normal(0, 0.2))
        held = min(held, last["onset"] - onset + contact)
        attack = min(attack, violin.contact / 3)
    held = max(held, 0.01)
    attack = min(attack, held / 2)
    ring = violin.ring * np.exp(rng.normal(0, 0.2))
    ring *= 2 if last["pitch"] == OPEN[string] else 1
    return _Stroke(onset, attack, held, ring, min(onset + held + 6 * ring, until + 0.03))


def _bow(
    rng: np.random.Generator,
    violin: Violin,
    performance: Performance,
    notes: np.ndarray,
    strings: np.ndarray,
    until: float,
    seconds: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Plays one stroke over slurred notes.

    The bow leaves the string at the end, or at `until`, when the string is needed again.

    Returns:
      The string's force (T,), and the amplitude of the bow noise (T,).
    """
    stroke = _stroke(rng, violin, notes, strings[-1], until)
    begin = max(round(stroke.onset * RATE), 0)
    end = round(min(stroke.stop, seconds) * RATE)
    time_T = np.arange(begin, end) / RATE
    if not len(time_T):
        return time_T, time_T
    since_T = time_T - stroke.onset
    after_T = (since_T - stroke.held).clip(0)  # seconds since the bow left the string
    attacking_T = np.exp(-since_T / stroke.attack)
    glide = _glide(rng, violin, notes, stroke, time_T)

    cents_T = violin.jitter_cents * _unsteady(rng, since_T, violin.unsteady)
    cents_T += _at(performance.bend, time_T, 0.0)
    pitch_T = 440 * 2 ** ((glide(notes["pitch"]) - 69 + cents_T / 100) / 12)
    phase_T = 2 * np.pi * np.cumsum(pitch_T) / RATE + rng.uniform(0, 2 * np.pi)
    roughness_T = violin.rough + violin.scratch * attacking_T
    phase_T += roughness_T * _unsteady(rng, since_T, 150)

    level_T = violin.dynamics_db * (glide(notes["velocity"]) - 80) / 127
    level_T += 30 * np.log10(_at(performance.expression, time_T, 100.0) / 100 + 0.01)
    level_T += violin.flutter_db * _unsteady(rng, since_T, violin.unsteady)
    gain_T = 10 ** (level_T / 20)
    cutoff_T = glide(violin.cutoff[strings] * np.exp(rng.normal(0, 0.15, len(notes))))
    cutoff_T *= gain_T**violin.pressure * (1 + rng.uniform(-0.5, 0.5) * attacking_T)
    cutoff_T *= np.exp(violin.flutter_db / 5 * _unsteady(rng, since_T, violin.unsteady))
    cutoff_T /= 1 + 2 * after_T / stroke.ring  # high harmonics decay first
    radius_T = np.exp(-pitch_T / cutoff_T)

    rise_T = 0.5 - 0.5 * np.cos(np.pi * (since_T / stroke.attack).clip(0, 1))
    gain_T *= _LEVEL * rise_T
    release_T = ((stroke.stop - time_T) / 0.03).clip(0, 1)
    tone_T = gain_T * np.exp(-after_T / stroke.ring) * release_T
    tone_T *= _harmonics(_spectrum(rng, violin), radius_T, phase_T, pitch_T)

    noise_T = gain_T * 10 ** (violin.noise_db / 20) * (1 + violin.bite * attacking_T)
    noise_T *= (1 - after_T / 0.01).clip(0)
    gust_T = 0.5 + np.cos(phase_T / 2) ** 4  # one gust for each slip of the string
    return tone_T, noise_T * gust_T


def _glide(
    rng: np.random.Generator,
    violin: Violin,
    notes: np.ndarray,
    stroke: _Stroke,
    time_T: np.ndarray,
) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function from values of slurred notes to a curve (T,) that glides."""
    glide = violin.portamento * _between(rng, 0.6, 1.6, len(notes) - 1)
    gap = np.diff(notes["onset"])
    knots = (np.minimum(glide, 0.5 * gap)[:, None] * [-0.5, 0.5]) + notes["onset"][1:, None]
    ends = [stroke.onset], knots.ravel(), [stroke.stop]
    knots = np.maximum.accumulate(np.concatenate(ends))
    return lambda values: np.interp(time_T, knots, np.repeat(values, 2))


def _unsteady(rng: np.random.Generator, since_T: np.ndarray, rate: float) -> np.ndarray:
    """Draws a random curve (T,) of standard deviation 1, with `rate` knots a second."""
    knots = np.arange(0, len(since_T) / RATE + 2 / rate, 1 / rate)
    return np.interp(since_T - since_T[0], knots, rng.standard_normal(len(knots)))


def _at(curve: np.ndarray | None, time_T: np.ndarray, default: float) -> np.ndarray | float:
    """Returns a control curve at these times, or `default` if there is none."""
    if curve is None or not len(curve):
        return default
    return np.interp(time_T, np.arange(len(curve)) / CONTROL_RATE, curve)


def _spectrum(rng: np.random.Generator, violin: Violin) -> np.ndarray:
    """Draws amplitudes of harmonics (N,), as many as the lowest string can need."""
    number_N = np.arange(1, 128)
    place = violin.bow * np.exp(rng.normal(0, 0.15))
    notch_N = np.where(number_N * place > 0.5, np.cos(np.pi * number_N * place) ** 4, 0)
    uneven_N = 10 ** (rng.normal(0, violin.uneven_db, len(number_N)) / 20)
    return number_N**-violin.slope * (1 - violin.ripple * notch_N) * uneven_N


def _harmonics(
    amplitude_N: np.ndarray, radius_T: np.ndarray, phase_T: np.ndarray, pitch_T: np.ndarray
) -> np.ndarray:
    """Sums amplitude_n radius^n sin(n phase) over n, by Horner's rule: (T,)."""
    out_T = np.empty(len(phase_T))
    for begin in range(0, len(phase_T), _BLOCK):
        here = slice(begin, begin + _BLOCK)
        pitch = pitch_T[here]
        z = (radius_T[here] * np.exp(1j * phase_T[here])).astype(np.complex64)
        count = min(int(_HIGHEST / pitch.min()), len(amplitude_N))
        unfaded = int(_FADING / pitch.max())
        total = np.zeros_like(z)
        for n in range(count, 0, -1):
            amplitude = amplitude_N[n - 1]
            if n > unfaded:
                fade = (_HIGHEST - n * pitch) / (_HIGHEST - _FADING)
                total += (amplitude * fade.clip(0, 1)).astype(np.float32)
            else:
                total += np.float32(amplitude)
            total *= z
        out_T[here] = total.imag
    return out_T
