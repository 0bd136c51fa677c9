"""Makes test tracks of real recordings: solos of several sources, mixed at equal level.

  python examples/real_duets.py --out=TEST piano=a.ogg,b.ogg violin=c.mp3

writes TEST/<number>/{mixture,piano,violin}.wav for evaluate.py. From every source come
the passages with the fewest pauses, spread evenly over its recordings, each cut from
another place, 44.1 kHz stereo, all scaled to the same RMS (0 dB).
"""

from pathlib import Path

import numpy as np
from absl import app, flags

from sep import audio

_OUT = flags.DEFINE_string("out", None, "Folder for the tracks.", required=True)
_TRACKS = flags.DEFINE_integer("tracks", 8, "How many tracks.")
_SECONDS = flags.DEFINE_float("seconds", 10.0, "Length of a track.")

RATE = 44100
RMS = 0.1


def main(argv: list[str]) -> None:
    """Cuts, levels, mixes and writes."""
    length = round(_SECONDS.value * RATE)
    passages = {}
    for argument in argv[1:]:
        source, _, paths = argument.partition("=")
        passages[source] = busiest(paths.split(","), length, _TRACKS.value)
    for number in range(_TRACKS.value):
        stems = {source: found[number] for source, found in passages.items()}
        mixture = sum(stems.values())
        peak = max(np.abs(wave).max() for wave in (mixture, *stems.values()))
        scale = min(1.0, 0.95 / peak)
        for name, wave_CT in (("mixture", mixture), *stems.items()):
            path = Path(_OUT.value) / f"{number:02d}" / f"{name}.wav"
            audio.write(path, wave_CT * scale, RATE, "FLOAT")
        print(path.parent)


def busiest(paths: list[str], length: int, count: int) -> list[np.ndarray]:
    """`count` passages (2, length) of equal RMS; those whose quiet moments are loudest."""
    chosen = []
    for i, path in enumerate(paths):
        wave_CT, _ = audio.read(Path(path), RATE)
        wave_CT = (
            np.broadcast_to(wave_CT, (2, wave_CT.shape[1]))
            if len(wave_CT) == 1
            else wave_CT
        )
        places = range(0, wave_CT.shape[1] - length + 1, length)
        of_file = count // len(paths) + (i < count % len(paths))
        if len(places) < of_file:
            raise app.UsageError(f"{path}: too short for {of_file} passages")
        cuts = [wave_CT[:2, start : start + length] for start in places]
        best = sorted(range(len(cuts)), key=lambda k: -steadiness(cuts[k]))[:of_file]
        chosen.append([level(cuts[k]) for k in sorted(best)])
    # In turn from each recording.
    longest = max(map(len, chosen))
    return [cuts[k] for k in range(longest) for cuts in chosen if k < len(cuts)]


def steadiness(wave_CT: np.ndarray) -> float:
    """The level of the quietest twentieth of 50 ms frames, over the level of all."""
    frame = RATE // 20
    frames = wave_CT[:, : wave_CT.shape[1] // frame * frame].reshape(
        len(wave_CT), -1, frame
    )
    level_N = np.sqrt((frames**2).mean((0, 2)))
    return float(np.percentile(level_N, 5) / (np.sqrt((wave_CT**2).mean()) + 1e-9))


def level(wave_CT: np.ndarray) -> np.ndarray:
    """The same passage at the common RMS."""
    return wave_CT * (RMS / np.sqrt((wave_CT**2).mean()))


if __name__ == "__main__":
    app.run(main)
