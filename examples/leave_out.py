"""Stems without one instrument, and a test of it: what does a new violin cost a model?

  python examples/leave_out.py --stems=DATA --instrument=goodsounds --out=LEFT_OUT

DATA is what `python -m sep.data render` made. LEFT_OUT/stems links to all of it but the
tracks that the instrument plays; LEFT_OUT/test has every third of those, as a test set.
Their other instrument plays in LEFT_OUT/stems, too, but not these pieces.
"""

import json
from pathlib import Path

import numpy as np
from absl import flags

from sep import audio, cli
from sep.errors import UserError

_STEMS = flags.DEFINE_string("stems", None, "Stems, as for train.py.", required=True)
_INSTRUMENT = flags.DEFINE_string("instrument", None, "Its name.", required=True)
_OUT = flags.DEFINE_string("out", None, "Folder to make.", required=True)
_EVERY = flags.DEFINE_integer("every", 3, "One track in so many is tested.", lower_bound=1)


def main(argv: list[str]) -> int:
    """Links what is trained on, writes the tracks of the test."""
    stems, out = Path(_STEMS.value).resolve(), Path(_OUT.value)
    if out.exists():
        raise UserError(f"{out} exists; name a new folder")
    items = sorted((stems / "train").iterdir())
    left = [item for item in items if _INSTRUMENT.value in instruments(item)]
    if not left:
        raise UserError(f"{stems}/train: no track in which {_INSTRUMENT.value} plays")
    (out / "stems" / "train").mkdir(parents=True)
    for item in set(items) - set(left):
        (out / "stems" / "train" / item.name).symlink_to(item)
    (out / "stems" / "valid").symlink_to(stems / "valid")
    tested = left[:: _EVERY.value]
    for track in tested:
        copy_with_mixture(track, out / "test" / track.name)
    print(f"{len(left)} of {len(items)} left out, {len(tested)} in {out}/test")
    return 0


def instruments(track: Path) -> set[str]:
    """Who plays in a rendered track; nobody known in any other folder or file."""
    try:
        text = (track / "manifest.json").read_text()
    except (FileNotFoundError, NotADirectoryError):
        return set()
    return {source["instrument"] for source in json.loads(text)["sources"].values()}


def copy_with_mixture(track: Path, place: Path) -> None:
    """A track of a test set: stems, and their sum."""
    place.mkdir(parents=True)
    waves = {}
    for stem in sorted(track.glob("*.flac")):
        waves[stem.stem], sample_rate = audio.read(stem)
        (place / stem.name).symlink_to(stem)
    mixture_CT = np.sum(list(waves.values()), 0)
    audio.write(place / "mixture.flac", mixture_CT, sample_rate)


if __name__ == "__main__":
    cli.launch(main)
