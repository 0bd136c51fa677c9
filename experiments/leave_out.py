"""Makes a training set without one instrument, and a test set of that instrument.

  python experiments/leave_out.py --stems=DATA --instrument=goodsounds --out=LEFT_OUT

The scores of a model on both show the effect of an instrument outside the training set.
DATA is the output of `python -m sep.data render`. LEFT_OUT/stems has links to all of DATA
except the tracks in train/ in which the instrument plays; in valid/ it may play.
LEFT_OUT/test is a test set of every third of these tracks. The other instrument of a test
track also plays in LEFT_OUT/stems, but in other pieces.
"""

from pathlib import Path

import numpy as np
from absl import flags

from sep import audio, cli
from sep.data.folders import listed
from sep.errors import UserError
from sep.rendering.manifests import MANIFEST, read_manifest
from sep.runtime.files import replacing_folder

_STEMS = flags.DEFINE_string("stems", None, "Stems, as for train.py.", required=True)
_INSTRUMENT = flags.DEFINE_string(
    "instrument", None, "Instrument to leave out.", required=True
)
_OUT = flags.DEFINE_string("out", None, "Folder to create.", required=True)
_EVERY = flags.DEFINE_integer(
    "every", 3, "Every n-th track of the instrument is in the test set.", lower_bound=1
)


def main(argv: list[str]) -> int:
    """Links the training set and writes the test set."""
    stems, out = Path(_STEMS.value).resolve(), Path(_OUT.value)
    if out.exists():
        raise UserError(f"{out}: exists; choose a new folder")
    items = listed(stems / "train")
    left_out = [item for item in items if _INSTRUMENT.value in players(item).values()]
    if not left_out:
        raise UserError(
            f"{stems}/train: {_INSTRUMENT.value} plays in no track; check --instrument"
        )
    tested = left_out[:: _EVERY.value]
    with replacing_folder(out, ()) as part:
        (part / "stems" / "train").mkdir(parents=True)
        for item in set(items) - set(left_out):
            (part / "stems" / "train" / item.name).symlink_to(item)
        for folder in set(stems.iterdir()) - {stems / "train"}:  # valid, and maybe rooms
            (part / "stems" / folder.name).symlink_to(folder)
        for track in tested:
            write_track(track, part / "test" / track.name)
    print(f"{len(left_out)} of {len(items)} left out, {len(tested)} in {out}/test")
    return 0


def players(track: Path) -> dict[str, str]:
    """Instruments of a rendered track by source; empty for any other folder."""
    if not (track / MANIFEST).exists():
        return {}
    sources = read_manifest(track / MANIFEST)["sources"]
    return {source: facts.get("instrument") for source, facts in sources.items()}


def write_track(track: Path, folder: Path) -> None:
    """Writes a track of a test set: links to the stems, and their sum as the mixture."""
    folder.mkdir(parents=True)
    waves = []
    for source in players(track):
        stem = track / f"{source}.flac"
        wave_CT, sample_rate = audio.read(stem)
        waves.append(wave_CT)
        (folder / stem.name).symlink_to(stem)
    audio.write(folder / "mixture.flac", np.sum(waves, 0), sample_rate)


if __name__ == "__main__":
    cli.launch(main)
