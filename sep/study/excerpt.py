"""The excerpt that every cell of a study separates, to be listened to."""

import itertools
from pathlib import Path

from sep import audio
from sep.separator import RESIDUAL, output_names
from sep.study.plan import EXCERPT, Study
from sep.tracks import MIXTURE, file_of


def write(study: Study, track: Path | None, seconds: float) -> None:
    """Writes OUT/excerpt/{mixture,piano,violin}.wav, unless it is there.

    It is the middle of the track, or of the first one of the first test.

    Raises:
      UserError: the track cannot be read.
    """
    folder = study.out / EXCERPT
    if (folder / f"{MIXTURE}.wav").exists():
        return
    if track is None:
        tests = itertools.chain.from_iterable(
            sorted(p for p in place.iterdir() if p.is_dir() and audio.find(p))
            for place in study.tests.values()
        )
        track = next(tests)
    names = [name for name in output_names(study.config["model"]) if name != RESIDUAL]
    for name in (*names, MIXTURE):  # last: it says that all are there
        wave_CT, rate = audio.read(file_of(track, name))
        length = min(round(seconds * rate), wave_CT.shape[1])
        start = (wave_CT.shape[1] - length) // 2
        part_CT = wave_CT[:, start : start + length]
        audio.write(folder / f"{name}.wav", part_CT, rate, "FLOAT")
