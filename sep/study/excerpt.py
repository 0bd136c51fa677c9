"""The excerpt that every cell of a study separates, for listening."""

from pathlib import Path

from sep import audio
from sep.errors import UserError
from sep.evaluation import tracks
from sep.runtime.files import replacing_folder
from sep.study.plan import EXCERPT, Study


def write(study: Study, track: Path | None, seconds: float) -> None:
    """Writes OUT/excerpt/<track>/{mixture,piano,violin}.wav unless it exists.

    Args:
      study: the study.
      track: folder of the track whose middle is the excerpt; by default the first track of
        the first test set.
      seconds: length of the excerpt.

    Raises:
      UserError: the track cannot be read, or the existing excerpt is of another track.
    """
    if study.excerpt.is_dir():
        if track and not (study.excerpt / track.name).is_dir():
            raise UserError(
                f"{study.excerpt}: contains an excerpt of another track; use another --out"
            )
        return
    track = track or tracks.folders(next(iter(study.tests.values())))[0]
    sources = study.settings.model.sources
    stems = {name: track / name for name in sources}
    place = tracks.Place(EXCERPT, track.name, track / tracks.MIXTURE, stems)
    _, rate, mixture_CT, references_SCT = tracks.read(place)
    waves = {tracks.MIXTURE: mixture_CT} | dict(zip(sources, references_SCT, strict=True))
    length = min(round(seconds * rate), mixture_CT.shape[1])
    start = (mixture_CT.shape[1] - length) // 2
    with replacing_folder(study.excerpt, ()) as folder:
        for name, wave_CT in waves.items():
            part_CT = wave_CT[:, start : start + length]
            audio.write(folder / track.name / f"{name}.wav", part_CT, rate, "FLOAT")
