"""Tests of examples/public_data.py, with fake npm, apt-get and dpkg-deb."""

import importlib.util
import io
import itertools
import shutil
import signal
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
from absl import flags

from sep.rendering import instruments

EXAMPLE = Path(__file__).parents[2] / "examples" / "public_data.py"
TOOLS = {"CP": shutil.which("cp"), "TAR": shutil.which("tar")}
pytestmark = pytest.mark.skipif(not all(TOOLS.values()), reason="needs cp and tar")

PACKAGE = {
    "package/a/1.ogg": b"one",
    "package/a/2.ogg": b"two",
    "package/a/1.mp3": b"three",
    "package/index.js": b"no sound",
    "package/LICENSE": b"CC0",
}
DEBIAN = {
    "usr/share/sounds/sf2/Grand.sf2": b"RIFF",
    "usr/share/sounds/sf3/Lite.sf3": b"RIFF",
    "usr/share/doc/grand/copyright": b"MIT",
    "usr/share/doc/grand/changelog.gz": b"-",
}
PATHS = (  # of all files in the public catalogue
    "salamander-piano/salamander_piano.sfz",
    "fluid-soundfont-gm/FluidR3_GM.sf2",
    "musescore-general-soundfont-small/MuseScore_General_Lite.sf3",
)


def load():
    """Imports the example, and removes its flags, which would be global."""
    before = set(flags.FLAGS)
    spec = importlib.util.spec_from_file_location("public_data", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in set(flags.FLAGS) - before:
        delattr(flags.FLAGS, name)
    return module


public_data = load()


def pack(path: Path, files: dict[str, bytes], compression: str) -> Path:
    with tarfile.open(path, f"w:{compression}") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def program(place: Path, name: str, body: str) -> None:
    """Writes a program that logs its arguments; the body is a shell script."""
    path = place / "bin" / name
    path.write_text(f'#!/bin/sh\necho {name} "$@" >>"{place / "log"}"\n{body}\n')
    path.chmod(0o755)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with instruments/ and the fake programs, the only ones on PATH."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "instruments").mkdir()
    tgz = pack(tmp_path / "sound.tgz", PACKAGE, "gz")
    half = tmp_path / "half.tgz"
    half.write_bytes(tgz.read_bytes()[: tgz.stat().st_size // 2])
    deb = pack(tmp_path / "sound.deb", DEBIAN, "")
    files = {"TGZ": tgz, "HALF": half, "DEB": deb, "PATH": tmp_path / "bin"}
    for name, value in (TOOLS | files).items():
        monkeypatch.setenv(name, str(value))
    program(tmp_path, "npm", '"$CP" "$TGZ" .')
    program(tmp_path, "apt-get", '"$CP" "$DEB" .')
    program(tmp_path, "dpkg-deb", '"$TAR" -xf "$2" -C "$3"')
    return tmp_path


def fetch(place: Path, name="sounds", version=None, files="*.sf2", folder="grand") -> Path:
    target = place / "instruments" / folder
    public_data.fetch(name, version, files, target, place / "instruments")
    return target


def inside(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def calls(place: Path) -> list[str]:
    return (place / "log").read_text().splitlines()


def test_npm_package_is_fetched_with_its_licence(place):
    folder = fetch(place, "@some/sounds", "1.2.3", "*.ogg", "piano/velocity1")
    assert contents(folder) == {"1.ogg": b"one", "2.ogg": b"two", "LICENSE": b"CC0"}
    assert calls(place) == ["npm pack --silent @some/sounds@1.2.3"]
    assert inside(place / "instruments") == ["piano"]


def test_debian_package_is_fetched_with_its_licence(place):
    folder = fetch(place, "grand-soundfont")
    assert contents(folder) == {"Grand.sf2": b"RIFF", "copyright": b"MIT"}
    assert calls(place) == ["apt-get download grand-soundfont", "dpkg-deb -x sound.deb ."]
    assert inside(place / "instruments") == ["grand"]


NPM = {"version": "1.0.0", "files": "*.ogg"}


@pytest.mark.parametrize(
    ("name", "body", "package", "message"),
    [
        ("npm", None, NPM, "needs npm, which is not installed"),
        ("apt-get", None, {}, "needs apt-get, which is not installed"),
        ("dpkg-deb", None, {}, "needs dpkg-deb, which is not installed"),
        (
            "npm",
            '"$CP" "$TGZ" .; echo first >&2; echo E404 >&2; echo >&2; exit 1',
            NPM,
            "npm failed: E404; check that npm reaches its registry",
        ),
        ("npm", "exit 3", NPM, "npm failed: status 3; check"),
        ("npm", "echo text >a.tgz", NPM, "a.tgz is corrupt"),
        ("npm", '"$CP" "$HALF" .', NPM, "half.tgz is corrupt"),
        ("npm", "exit 0", NPM, "the package no longer contains *.ogg"),
        ("npm", '"$CP" "$TGZ" .', NPM | {"files": "*.wav"}, "no longer contains *.wav"),
        (
            "apt-get",
            "echo 'E: no such package' >&2; exit 100",
            {},
            "apt-get failed: E: no such package; try apt-get update",
        ),
        (
            "dpkg-deb",
            "echo half >Grand.sf2; echo broken >&2; exit 2",
            {},
            "dpkg-deb failed: broken; try the download again",
        ),
    ],
)
def test_failed_fetch_leaves_no_folder(place, name, body, package, message):
    if body is None:
        (place / "bin" / name).unlink()
    else:
        program(place, name, body)
    with pytest.raises(public_data.Missing) as error:
        fetch(place, **package)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert inside(place / "instruments") == []


KILLED = """
import os, shutil, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import public_data

def copy(source, target, *, original=shutil.copy):
    if list(target.parent.iterdir()):  # one file has been copied
        os.kill(os.getpid(), signal.SIGKILL)
    original(source, target)

shutil.copy = copy
folder = Path(sys.argv[2])
public_data.fetch("sounds", "1.0.0", "*.ogg", folder / "grand", folder)
"""


def test_killed_fetch_leaves_no_folder(place):
    command = [sys.executable, "-c", KILLED, EXAMPLE.parent, place / "instruments"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert [name for name in inside(place / "instruments") if name[0] != "."] == []
    folder = fetch(place, **NPM)  # a second try succeeds
    assert inside(folder) == ["1.ogg", "2.ogg", "LICENSE"]


def test_only_missing_packages_are_fetched(place, capsys):
    root = place / "instruments"
    salamander = root / "salamander-piano"
    program(place, "apt-get", "exit 100")
    (salamander / "velocity10").mkdir(parents=True)  # as if fetched before
    public_data.fetch_all(root)
    printed = capsys.readouterr()
    assert len(calls(place)) == len(public_data.NPM) - 1 + len(public_data.DEBIAN)
    assert not [line for line in calls(place) if "velocity10@" in line]
    skipped = [line.split(":")[0] for line in printed.err.splitlines()]
    assert skipped == [f"skipped {name}" for name in public_data.DEBIAN]
    assert len(printed.out.splitlines()) == len(public_data.NPM) - 1
    assert inside(root) == ["salamander-piano", "tonejs-violin"]
    assert public_data.complete(salamander, root)
    (place / "log").unlink()
    shutil.rmtree(salamander / "velocity3")
    assert not public_data.complete(salamander, root)
    assert public_data.complete(root / "tonejs-violin", root)
    public_data.fetch_all(root)
    npm = [line for line in calls(place) if line.startswith("npm")]
    assert npm == ["npm pack --silent @audio-samples/piano-velocity3@1.0.5"]


def test_error_for_an_unwritable_folder_is_one_line(place):
    (place / "file").touch()
    with pytest.raises(SystemExit, match="error: .*file/.*choose another --out") as end:
        public_data.fetch_all(place / "file" / "instruments")
    assert "\n" not in str(end.value)


def create_files(root: Path, names) -> dict[str, list[dict]]:
    """Creates empty files; returns the public catalogue without other files."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    whole = tomllib.loads(public_data.CATALOGUE.read_text())
    return {
        kind: [e for e in entries if e.get("path") in (None, *names)]
        for kind, entries in whole.items()
    }


SETS = [names for n in range(4) for names in itertools.combinations(PATHS, n)]


@pytest.mark.parametrize("names", SETS)
def test_catalogue_has_the_instruments_with_files(tmp_path, names):
    expected = create_files(tmp_path, names)
    if not expected["piano"]:
        with pytest.raises(SystemExit, match="error: no piano is available; install npm"):
            public_data.write_catalogue(tmp_path)
        assert not list(tmp_path.glob("*.toml"))
        return
    listed = public_data.write_catalogue(tmp_path)
    assert tomllib.loads(listed.read_text()) == expected
    violins = instruments.catalogue(listed, tmp_path)["violin"]
    assert [v.model for v in violins].count("bowed_string") == 1


def test_all_files_of_the_catalogue_are_made_or_fetched():
    """Each path is a map, or lies in the folder of a package."""
    folders = [folder for _, folder in public_data.DEBIAN.values()]
    for name in PATHS:
        assert name in public_data.MAPS or str(Path(name).parent) in folders
    for name in public_data.MAPS:
        below = [f for _, _, f in public_data.NPM.values() if Path(name).parts[0] in f]
        assert below


def commands(place, monkeypatch, **values) -> list[list[str]]:
    """Arguments of main()'s calls of sep.data; only maps are created, as empty files."""
    calls = []
    given = {"OUT": place, "PIECES": 7, "VALID": 3, "SECONDS": 9.0, "ROOMS": 5}
    for name, value in (given | {"SCORES": None} | values).items():
        monkeypatch.setattr(public_data, f"_{name}", SimpleNamespace(value=value))

    def data(*arguments):
        calls.append([*map(str, arguments)])
        if arguments[0] == "map":
            Path(calls[-1][2].removeprefix("--out=")).touch()

    monkeypatch.setattr(public_data, "data", data)
    public_data.main(["public_data.py"])
    return calls


def test_maps_rooms_and_both_splits_are_made(place, monkeypatch, capsys):
    made = commands(place, monkeypatch, SCORES="songs")
    stems, root = place / "stems", place / "instruments"
    assert [call[0] for call in made] == ["map", "map", "rooms", "render", "render"]
    assert "--noeven" in made[0]
    assert made[2][1:] == [f"--out={stems}/rooms", "--count=5", "--seed=0"]
    train, valid = map(set, made[3:])
    both = {f"--instruments={root}/available.toml", f"--instruments_root={root}"}
    assert train & valid == both | {"render", "--seconds=9.0", "--scores=songs"}
    assert train - valid == {
        f"--out={stems}/train",
        "--pieces=7",
        "--seed=1",
        "--split=train",
    }
    assert valid - train == {
        f"--out={stems}/valid",
        "--pieces=3",
        "--seed=2",
        "--split=valid",
        f"--rooms={stems}/rooms",
    }
    assert f"train.py --data={stems}" in capsys.readouterr().out
    again = commands(place, monkeypatch)
    assert [call[0] for call in again] == ["rooms", "render", "render"]
    assert not [flag for call in again for flag in call if flag.startswith("--scores")]


def test_without_any_program_there_is_no_piano(place, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(place / "nowhere"))
    with pytest.raises(SystemExit, match="no piano is available") as end:
        commands(place, monkeypatch)
    assert "\n" not in str(end.value)
    printed = capsys.readouterr().err.splitlines()
    assert len(printed) == len(public_data.NPM) + len(public_data.DEBIAN)
    assert all("which is not installed" in line for line in printed)


def test_failing_subcommand_ends_the_script(capfd):
    with pytest.raises(SystemExit) as end:
        public_data.data("fly")
    assert end.value.code not in (0, None)
    assert "fly" in capfd.readouterr().err
