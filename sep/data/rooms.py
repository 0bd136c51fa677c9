"""Rooms as impulse responses: read from a folder, or simulated.

Shapes: R room, T sample, L sample of equally long responses, F band.
"""

from pathlib import Path

import numpy as np

from sep import audio
from sep.errors import UserError

# Ranges of simulated rooms, from a practice room to a hall.
_VOLUME = 25.0, 12000.0  # cubic metres
_RT60 = 0.2, 3.0  # seconds, at middle frequencies
_DENSITY = 0.35, 1.6  # RT60 over that of a usual room of its volume
_BANDS = [125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0]  # Hz
_ABSORPTION = 0.02, 0.9  # share of the energy that a wall absorbs
_RAYS = 8000
_DIRECT = 0.3  # the direct sound is the first to reach this share of the peak
_ARRIVAL = 0.001  # seconds from there to the peak of the direct sound
_FADE = 0.1  # share of a response that is faded out


def load(folder: Path, sample_rate: int, seconds: float) -> np.ndarray:
    """Reads all impulse responses below a folder.

    Files may have any sample rate; their first channel is used.

    Args:
      folder: it may be missing.
      sample_rate: of the result, in Hz.
      seconds: length of the result; longer responses are cut.

    Returns:
      rooms_RL, float32. The direct sound is at index 0 and has gain 1; all responses fade
      out at their end. Without a folder, or with 0 seconds, there are no rooms: R is 0.

    Raises:
      UserError: a file cannot be read, or is silent.
    """
    length = round(seconds * sample_rate)
    rooms = []
    for path in audio.find(folder) if length and folder.is_dir() else []:
        wave_CT, _ = audio.read(path, sample_rate)
        if not np.any(wave_CT[0]):
            raise UserError(f"{path}: is silent, not an impulse response; remove it")
        rooms.append(prepare(wave_CT[0], sample_rate, length))
    return np.array(rooms, np.float32).reshape(len(rooms), length)


def prepare(wave_T: np.ndarray, sample_rate: int, length: int) -> np.ndarray:
    """Returns a response from its direct sound on, with gain 1 there: (length,).

    Raises:
      ValueError: it is silent.
    """
    size_T = np.abs(wave_T)
    if not np.any(size_T):
        raise ValueError("a silent impulse response")
    first = int(np.argmax(size_T >= _DIRECT * size_T.max()))
    arrival = size_T[first : first + max(1, round(_ARRIVAL * sample_rate))]
    direct = first + int(np.argmax(arrival))
    wave_T = wave_T[direct : direct + length] / wave_T[direct]
    faded = min(round(_FADE * len(wave_T)), len(wave_T) - 1)  # never the direct sound
    wave_T[len(wave_T) - faded :] *= np.cos(np.linspace(0, np.pi / 2, faded)) ** 2
    return np.pad(wave_T, (0, length - len(wave_T))).astype(np.float32)


def simulate(rng: np.random.Generator, sample_rate: int) -> np.ndarray:
    """Simulates the impulse response of a random room: wave_T, float32, peak 1.

    The room is a box. pyroomacoustics (Scheibler et al., ICASSP 2018) computes image
    sources for early sound and traces rays for late sound. Its size, the absorption of its
    walls in each band, and the places of player and microphone are random.

    Raises:
      UserError: pyroomacoustics is not installed.
    """
    try:
        import pyroomacoustics
    except ImportError:
        raise UserError("simulating rooms needs: pip install '.[render]'") from None
    size = draw_size(rng)
    walls = pyroomacoustics.Material(
        {"coeffs": draw_absorption(rng, size).tolist(), "center_freqs": _BANDS},
        scattering=rng.uniform(0.1, 0.6),
    )
    player, microphone = draw_places(rng, size)
    # One thread: with more, the order of sums would depend on the number of cores.
    pyroomacoustics.constants.set("num_threads", 1)
    pyroomacoustics.random.seed(int(rng.integers(2**31)))
    room = pyroomacoustics.ShoeBox(
        size,
        fs=sample_rate,
        materials=walls,
        max_order=3,
        ray_tracing=False,  # set below; the default number of rays causes a warning
        air_absorption=True,
    )
    # Few rays in a large room need a large receiver.
    room.set_ray_tracing(n_rays=_RAYS, receiver_radius=0.5 * (size.prod() / 200) ** (1 / 6))
    room.add_source(player)
    room.add_microphone(microphone)
    room.compute_rir()
    wave_T = room.rir[0][0]
    return (wave_T / np.abs(wave_T).max()).astype(np.float32)


def draw_size(rng: np.random.Generator) -> np.ndarray:
    """Returns length, width and height of a room in metres; large rooms are higher."""
    volume = np.exp(rng.uniform(*np.log(_VOLUME)))
    ratios = np.array([rng.uniform(1.1, 2.2), 1.0, rng.uniform(0.45, 0.8)])
    size = ratios * (volume / ratios.prod()) ** (1 / 3)
    return size.clip([2.5, 2.2, 2.2])


def draw_absorption(rng: np.random.Generator, size: np.ndarray) -> np.ndarray:
    """Returns the energy absorption in each band, (F,).

    It gives a plausible RT60 by Sabine's formula. The RT60 of usual rooms is about
    proportional to the cube root of the volume. Absorption in the bass and treble differs
    from that at middle frequencies.
    """
    volume = size.prod()
    surface = 2 * (size[0] * size[1] + size[1] * size[2] + size[0] * size[2])
    rt60 = 0.12 * volume ** (1 / 3) * rng.uniform(*_DENSITY)
    middle = 0.161 * volume / (surface * np.clip(rt60, *_RT60))
    octaves = np.log2(np.array(_BANDS) / 1000)
    tilt, bend = rng.uniform(-0.1, 0.25), rng.normal(0, 0.15, len(_BANDS))
    return (middle * np.exp(tilt * octaves + bend)).clip(*_ABSORPTION)


def draw_places(
    rng: np.random.Generator, size: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the places of player and microphone, each (3,), in metres.

    They are near or far from each other, and never against a wall.
    """
    margin = np.minimum([0.6, 0.6, 0.5], size / 4)
    player = rng.uniform(margin, size - margin)
    microphone = rng.uniform(margin, size - margin)
    player[2] = min(rng.uniform(0.8, 1.6), size[2] - margin[2])
    # A random distance on the line between them: close and far are equally likely.
    way = microphone - player
    far = float(np.linalg.norm(way))
    near = min(1.0, far)
    return player, player + way / far * rng.uniform(near, min(far, 12.0))


def reverberation_time(wave_T: np.ndarray, sample_rate: int) -> float:
    """RT60 in seconds, from the decay between -5 and -25 dB (T20 of ISO 3382-1).

    The decay is that of Schroeder's integral, the energy from each moment to the end.
    """
    energy_T = np.cumsum(np.square(wave_T[::-1], dtype=np.float64))[::-1]
    level_T = energy_T / energy_T[0]
    begin, end = (int(np.argmax(level_T < 10 ** (db / 10))) for db in (-5, -25))
    return 3 * max(end - begin, 0) / sample_rate
