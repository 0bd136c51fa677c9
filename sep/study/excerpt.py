"""The excerpt that every cell of a study separates, to be listened to."""

from pathlib import Path

from sep import audio
from sep.separator import RESIDUAL, output_names
from sep.study.plan import Study
from sep.tracks import MIXTURE, file_of, folders


def write(study: Study, track: Path | None, seconds: float) -> None:
    """Writes OUT/excerpt/<track>/{mixture,piano,violin}.wav, unless it is there.

    It is the middle of the track, or of the first one of the first test.

    Raises:
      UserError: the track cannot be read.
    """
    place = study.excerpt
    if place.is_dir() and folders(place):
        return
    if track is None:
        track = next(iter(folders(next(iter(study.tests.values())))))
    sources = [name for name in output_names(study.config["model"]) if name != RESIDUAL]
    for name in (*sources, MIXTURE):
        wave_CT, rate = audio.read(file_of(track / name))
        length = min(round(seconds * rate), wave_CT.shape[1])
        start = (wave_CT.shape[1] - length) // 2
        part_CT = wave_CT[:, start : start + length]
        audio.write(place / track.name / f"{name}.wav", part_CT, rate, "FLOAT")
