"""A parametric bowed string: every draw is another violin.

Domain randomisation (Tobin et al., IROS 2017): one sampled violin teaches a network that
violin; many, more different than real ones are, teach what violins have in common.

The model is of the kind of Mathews & Kohut (JASA 53, 1973): a bowed string's sawtooth
through many narrow resonances. The body stays while vibrato moves the harmonics, so each
harmonic's amplitude moves by itself (Fletcher & Sanders, JASA 41, 1967).

- String: Helmholtz motion (On the Sensations of Tone, 1863) puts a sawtooth force on the
  bridge: the n-th harmonic is 1/n, its corner rounded the more the softer the bow presses,
  with ripples where the bow sits (Schelleng, JASA 53, 1973; Cremer, The Physics of the
  Violin, 1984).
- Body: A0, B1- and B1+, then a crowd of modes, and the bridge hill (Jansson, Acustica 83,
  1997; Woodhouse, Rep. Prog. Phys. 77, 2014).

Letters: T sample, N harmonic, M mode of the body. Frequencies are in Hz, times in seconds.
"""

from typing import NamedTuple

import numpy as np
import scipy.signal

from sep.rendering import RATE
from sep.rendering.arrangement import OPEN
from sep.rendering.performance import CONTROL_RATE, Performance

_HIGHEST = 20000.0  # no harmonic above, so that none is mirrored at half the rate
_FADING = 16000.0  # from here up to the highest they fade, lest they click as pitch moves
_BLOCK = 4096  # samples summed at once: what the processor's cache holds
_LEVEL = 0.05  # of a string bowed at velocity 80, about


class Violin(NamedTuple):
    """One instrument and its player's habits, as drawn by `draw`."""

    body_T: np.ndarray  # impulse response from the bridge to the microphone
    cutoff: np.ndarray  # of each string: where rounding has cost its sawtooth 8.7 dB
    slope: float  # harmonics fall as n ** -slope
    bow: float  # place of the bow, as a share of the string
    ripple: float  # depth of the notches that this place makes, 0..1
    uneven_db: float  # spread of single harmonics
    dynamics_db: float  # from velocity 0 to 127
    pressure: float  # how much brighter louder playing is: exponent on the cutoff
    attack: float
    scratch: float  # roughness of attacks: radians, at the fundamental
    rough: float  # the same of steady bowing
    jitter_cents: float
    flutter_db: float
    unsteady: float  # rate of jitter and flutter, Hz
    noise_db: float  # bow noise under the string
    noise_band: np.ndarray  # its lower and upper edge
    bite: float  # how much louder that noise is in an attack
    contact: float  # how long a spiccato bow touches the string
    ring: float  # time constant of a string that the bow has left
    portamento: float
    high_position: float  # chance to play on a lower string than need be


def _between(rng, low, high, size=None):
    """A random number in low..high, even on a logarithmic scale."""
    return np.exp(rng.uniform(np.log(low), np.log(high), size))


def draw(rng: np.random.Generator) -> Violin:
    """Another violin; its parameters reach further than those of real ones."""
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


def _body(rng):
    """A random body's impulse response (T,): decaying modes, hence causal.

    It is scaled to pass a sawtooth at the power it had.
    """
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
    frequency_M = np.concatenate([signature_M, crowd_M, treble_M])
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

    quality_M = _between(rng, 20, 90, len(frequency_M))
    quality_M[:4] = _between(rng, 12, 40, 4)
    decay_M = np.pi * frequency_M / quality_M
    height_M = 10 ** (gain_M / 20) * decay_M * rng.choice([-1, 1], len(frequency_M))
    time_T = np.arange(RATE // 6) / RATE
    pole_M1 = (2j * np.pi * frequency_M - decay_M)[:, None].astype(np.complex64)
    body_T = (height_M @ np.exp(pole_M1 * time_T.astype(np.float32))).real
    body_T *= np.linspace(1, 0, len(body_T))
    # Below A0 what the plates push out the f-holes draw in.
    low = scipy.signal.butter(2, rng.uniform(170, 270), "highpass", fs=RATE, output="sos")
    body_T = scipy.signal.sosfilt(low, body_T)
    frequency = np.arange(200, 8000)
    spectrum = np.interp(
        frequency, np.fft.rfftfreq(2**14, 1 / RATE), abs(np.fft.rfft(body_T, 2**14))
    )
    power = np.average(spectrum**2, weights=1.0 / frequency**2)
    return (body_T / np.sqrt(power)).astype(np.float32)


def play(
    violin: Violin, rng: np.random.Generator, performance: Performance, seconds: float
) -> np.ndarray:
    """A performance on this violin: float32 (T,) at 44100 Hz, within -0.9..0.9.

    Notes that overlap, unless slurred, sound on strings of their own.
    """
    notes = np.sort(performance.notes, order=["onset", "pitch"])
    strings = _fingering(rng, violin, notes)
    string_T = np.zeros(round(seconds * RATE))
    noise_T = np.zeros_like(string_T)
    for stroke in _strokes(notes):
        onset, last = notes["onset"][stroke[0]], stroke[-1]
        same = strings == strings[last]
        same[stroke] = False
        later = notes["onset"][same & (notes["onset"] > notes["onset"][last])]
        until = later.min(initial=np.inf)
        begin = max(round(onset * RATE), 0)
        tone_T, hiss_T = _bow(
            rng, violin, performance, notes[stroke], strings[stroke], until, seconds
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


def _fingering(rng, violin, notes):
    """The string (0..3) of every note: the highest that is free, at times a lower one."""
    strings = np.zeros(len(notes), int)
    ends = notes["onset"] + notes["duration"]
    for i, (onset, pitch) in enumerate(notes[["onset", "pitch"]]):
        before = slice(max(i - 4, 0), i)
        busy = strings[before][ends[before] > onset + 0.06]
        reach = [s for s in range(4) if pitch >= OPEN[s] and s not in busy] or [0]
        lower = len(reach) > 1 and pitch - OPEN[reach[-2]] <= 19
        strings[i] = reach[-2 if lower and rng.random() < violin.high_position else -1]
    return strings


def _strokes(notes):
    """Indices of the notes that share a bow stroke: [[0], [1, 2, 3], ...]."""
    strokes = []
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


def _bow(rng, violin, performance, notes, strings, until, seconds):
    """One stroke over slurred notes: the string (T,), and how loud its bow noise is (T,).

    The bow leaves the string at the end, or at `until`, when it is needed again.
    """
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
    ring *= 2 if last["pitch"] == OPEN[strings[-1]] else 1
    stop = min(onset + held + 6 * ring, until + 0.03)
    begin, end = max(round(onset * RATE), 0), round(min(stop, seconds) * RATE)
    time_T = np.arange(begin, end) / RATE
    if not len(time_T):
        return time_T, time_T
    since_T = time_T - onset
    after_T = (since_T - held).clip(0)
    attacking_T = np.exp(-since_T / attack)

    def unsteady(rate):  # a random curve of deviation 1 that moves this often a second
        knots = np.arange(0, len(time_T) / RATE + 2 / rate, 1 / rate)
        return np.interp(since_T - since_T[0], knots, rng.standard_normal(len(knots)))

    def control(curve, default):
        if curve is None or not len(curve):
            return default
        return np.interp(time_T, np.arange(len(curve)) / CONTROL_RATE, curve)

    # From note to note of a slur everything glides.
    glide = violin.portamento * _between(rng, 0.6, 1.6, len(notes) - 1)
    gap = np.diff(notes["onset"])
    knots = (np.minimum(glide, 0.5 * gap)[:, None] * [-0.5, 0.5]) + notes["onset"][1:, None]
    knots = np.maximum.accumulate(np.concatenate([[onset], knots.ravel(), [stop]]))

    def gliding(value):  # of each note
        return np.interp(time_T, knots, np.repeat(value, 2))

    cents_T = violin.jitter_cents * unsteady(violin.unsteady)
    cents_T += control(performance.bend, 0.0)
    pitch_T = 440 * 2 ** ((gliding(notes["pitch"]) - 69 + cents_T / 100) / 12)
    phase_T = 2 * np.pi * np.cumsum(pitch_T) / RATE + rng.uniform(0, 2 * np.pi)
    phase_T += (violin.rough + violin.scratch * attacking_T) * unsteady(150)

    level_T = violin.dynamics_db * (gliding(notes["velocity"]) - 80) / 127
    level_T += 30 * np.log10(control(performance.expression, 100.0) / 100 + 0.01)
    level_T += violin.flutter_db * unsteady(violin.unsteady)
    loud_T = 10 ** (level_T / 20)
    cutoff_T = gliding(violin.cutoff[strings] * np.exp(rng.normal(0, 0.15, len(notes))))
    cutoff_T *= loud_T**violin.pressure * (1 + rng.uniform(-0.5, 0.5) * attacking_T)
    cutoff_T *= np.exp(violin.flutter_db / 5 * unsteady(violin.unsteady))
    cutoff_T /= 1 + 2 * after_T / ring  # high harmonics die first
    radius_T = np.exp(-pitch_T / cutoff_T)

    rise_T = 0.5 - 0.5 * np.cos(np.pi * (since_T / attack).clip(0, 1))
    loud_T *= _LEVEL * rise_T
    let_go_T = ((stop - time_T) / 0.03).clip(0, 1)
    tone_T = loud_T * np.exp(-after_T / ring) * let_go_T
    tone_T *= _harmonics(_spectrum(rng, violin), radius_T, phase_T, pitch_T)

    noise_T = loud_T * 10 ** (violin.noise_db / 20) * (1 + violin.bite * attacking_T)
    noise_T *= (1 - after_T / 0.01).clip(0)
    return tone_T, noise_T * (0.5 + np.cos(phase_T / 2) ** 4)  # in gusts, one a slip


def _spectrum(rng, violin):
    """Amplitudes of the harmonics (N,), as many as the lowest string can need."""
    number_N = np.arange(1, 128)
    place = violin.bow * np.exp(rng.normal(0, 0.15))
    notch_N = np.where(number_N * place > 0.5, np.cos(np.pi * number_N * place) ** 4, 0)
    uneven_N = 10 ** (rng.normal(0, violin.uneven_db, len(number_N)) / 20)
    return number_N**-violin.slope * (1 - violin.ripple * notch_N) * uneven_N


def _harmonics(amplitude_N, radius_T, phase_T, pitch_T):
    """The sum over n of amplitude_n radius^n sin(n phase), by Horner's rule: (T,)."""
    out_T = np.empty(len(phase_T))
    for begin in range(0, len(phase_T), _BLOCK):
        here = slice(begin, begin + _BLOCK)
        pitch = pitch_T[here]
        z = (radius_T[here] * np.exp(1j * phase_T[here])).astype(np.complex64)
        count = min(int(_HIGHEST / pitch.min()), len(amplitude_N))
        whole = int(_FADING / pitch.max())
        total = np.zeros_like(z)
        for n in range(count, 0, -1):
            amplitude = amplitude_N[n - 1]
            if n > whole:
                fade = (_HIGHEST - n * pitch) / (_HIGHEST - _FADING)
                total += (amplitude * fade.clip(0, 1)).astype(np.float32)
            else:
                total += np.float32(amplitude)
            total *= z
        out_T[here] = total.imag
    return out_T
