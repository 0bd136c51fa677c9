"""Stems without one instrument, and a test of it: what does a new violin cost a model?

  python experiments/leave_out.py --stems=DATA --instrument=goodsounds --out=LEFT_OUT

DATA is what `python -m sep.data render` made. LEFT_OUT/stems links to all of it but
the tracks of train/ that the instrument plays (in valid/ it may play); LEFT_OUT/test has
every third of those, as a test set. Their other instrument plays in LEFT_OUT/stems, too,
but not these pieces.
"""

from pathlib import Path

from absl import flags

from sep import audio, cli
from sep.data.folders import listed
from sep.errors import UserError
from sep.rendering.manifests import MANIFEST, read_manifest
from sep.runtime.files import replacing_folder

_STEMS = flags.DEFINE_string("stems", None, "Stems, as for train.py.", required=True)
_INSTRUMENT = flags.DEFINE_string("instrument", None, "Its name.", required=True)
_OUT = flags.DEFINE_string("out", None, "Folder to make.", required=True)
_EVERY = flags.DEFINE_integer("every", 3, "One track in so many is tested.", lower_bound=1)


def main(argv: list[str]) -> int:
    """Links what is trained on, writes the tracks of the test."""
    stems, out = Path(_STEMS.value).resolve(), Path(_OUT.value)
    if out.exists():
        raise UserError(f"{out} exists; name a new folder")
    items = listed(stems / "train")
    left = [item for item in items if _INSTRUMENT.value in players(item).values()]
    if not left:
        raise UserError(f"{stems}/train: no track in which {_INSTRUMENT.value} plays")
    tested = left[:: _EVERY.value]
    with replacing_folder(out, ()) as part:
        (part / "stems" / "train").mkdir(parents=True)
        for item in set(items) - set(left):
            (part / "stems" / "train" / item.name).symlink_to(item)
        for folder in set(stems.iterdir()) - {stems / "train"}:  # valid, and maybe rooms
            (part / "stems" / folder.name).symlink_to(folder)
        for track in tested:
            copy_with_mixture(track, part / "test" / track.name)
    print(f"{len(left)} of {len(items)} left out, {len(tested)} in {out}/test")
    return 0


def players(track: Path) -> dict[str, str]:
    """Who plays each source of a rendered track; nobody known in any other folder."""
    if not (track / MANIFEST).exists():
        return {}
    sources = read_manifest(track / MANIFEST)["sources"]
    return {source: facts.get("instrument") for source, facts in sources.items()}


def copy_with_mixture(track: Path, place: Path) -> None:
    """A track of a test set: stems, and their sum."""
    place.mkdir(parents=True)
    waves = []
    for source in players(track):
        stem = track / f"{source}.flac"
        wave_CT, sample_rate = audio.read(stem)
        waves.append(wave_CT)
        (place / stem.name).symlink_to(stem)
    audio.write(place / "mixture.flac", sum(waves), sample_rate)


if __name__ == "__main__":
    cli.launch(main)
