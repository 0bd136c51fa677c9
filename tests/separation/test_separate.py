"""separate.py over libraries: what it plans, what it says, and what it never does."""

import contextlib
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from small_model import save_small_model

from sep.errors import UserError
from sep.separation.outputs import parse_gains, parse_names, parse_seconds, plan_outputs
from sep.separation.recordings import plan_tasks

ROOT = Path(__file__).parents[2]
NAMES = ("piano", "violin", "residual")


def save(path, length=8000, channels=1, rate=16000, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    wave_TC = 0.1 * np.random.default_rng(length).standard_normal((length, channels))
    soundfile.write(os.fsencode(path), wave_TC, rate, **options)
    return path


# What is made of a recording.


def weights(**request):
    return {o.name: o.weights_S for o in plan_outputs(NAMES, **request)}


def test_outputs_are_sums_of_stems():
    assert weights() == {"piano": (1, 0, 0), "violin": (0, 1, 0), "residual": (0, 0, 1)}
    assert weights(stems=("violin", "violin")) == {"violin": (0, 1, 0)}
    assert weights(minus=("piano",)) == {"minus_piano": (0, 1, 1)}
    assert weights(minus=("piano", "residual")) == {"minus_piano_residual": (0, 1, 0)}
    assert weights(gains={"piano": -20.0, "violin": -np.inf}) == {"remix": (0.1, 0, 1)}
    assert list(weights(stems=("piano",), minus=("piano",), gains={"piano": 1})) == [
        "piano",
        "minus_piano",
        "remix",
    ]


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"stems": ("cello",)}, "no stem 'cello', only piano, violin, residual"),
        ({"minus": ("x",)}, "no stem 'x'"),
        ({"gains": {"x": 1.0}}, "no stem 'x'"),
        ({"minus": NAMES}, "leaves nothing"),
    ],
)
def test_impossible_outputs_are_refused(request_, reason):
    with pytest.raises(UserError, match=reason):
        plan_outputs(NAMES, **request_)


def test_two_files_never_have_one_name():
    with pytest.raises(UserError, match="one name: remix, remix"):
        plan_outputs(("remix", "x"), stems=("remix",), gains={"x": 1.0})


def test_wishes_are_read_as_they_are_written():
    assert parse_names(" piano, violin,") == ("piano", "violin")
    assert parse_gains("piano=-6,violin=+3.5") == {"piano": -6, "violin": 3.5}
    assert parse_gains("a=b=-inf") == {"a=b": -np.inf}
    assert [parse_seconds(t) for t in ("90", "1:30", "0:01:30.5")] == [90, 90, 90.5]
    for wrong in ("piano", "piano=", "=3", "piano=loud", "piano=nan", "piano=inf"):
        with pytest.raises(UserError, match="--gains: "):
            parse_gains(wrong)
    for wrong in ("x", "", "1:", "-1", "nan", "inf"):
        with pytest.raises(UserError, match="is not a time"):
            parse_seconds(wrong)


# Which recordings there are.


def places(inputs, out):
    return {
        str(task.recording): str(task.folder.relative_to(out))
        for task in plan_tasks(inputs, out)
    }


def test_a_folder_gives_its_tree_and_a_pattern_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("in/a.wav", "in/deep/b.flac", "in/deep/er/a.wav", "in/[x].wav"):
        save(Path(name), 10)
    Path("in/notes.txt").touch()
    folder = {
        "in/[x].wav": "[x]",
        "in/a.wav": "a",
        "in/deep/b.flac": "deep/b",
        "in/deep/er/a.wav": "deep/er/a",
    }
    out = Path("out")
    assert places(["in"], out) == places(["in/**/*"], out) == folder
    assert places(["in/[x].wav"], out) == {"in/[x].wav": "[x]"}  # there is such a file
    assert places(["in/*.wav"], out) == {"in/[x].wav": "[x]", "in/a.wav": "a"}
    assert places(["in/**/a.wav", "in/a.wav"], out) == {
        "in/a.wav": "a",
        "in/deep/er/a.wav": "deep/er/a",
    }
    with pytest.raises(UserError, match=r"in/\*\.txt: no sound file matches"):
        plan_tasks(["in/*.txt"], out)


@pytest.mark.parametrize("name", ["...wav", "..wav", ".....flac"])
def test_names_of_dots_do_not_lead_elsewhere(tmp_path, name):
    (tmp_path / name).touch()
    assert places([str(tmp_path / name)], tmp_path / "out") == {str(tmp_path / name): name}


def test_links_that_go_round_are_not_followed(tmp_path):
    save(tmp_path / "in" / "a.wav", 10)
    (tmp_path / "in" / "round").symlink_to(tmp_path / "in", target_is_directory=True)
    (tmp_path / "in" / "again").symlink_to(tmp_path / "in", target_is_directory=True)
    (tmp_path / "in" / "self").symlink_to("self")
    for given in ("in", "in/**/*.wav"):
        found = places([str(tmp_path / given)], tmp_path / "out")
        assert list(found.values()) == ["a"]


def test_stems_of_an_earlier_run_are_no_recordings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("in/a.wav", "in/stems/a/piano.wav"):
        save(Path(name), 10)
    for given in ("in", "in/**/*.wav", "**/*.wav"):
        found = places([given], Path("in/stems"))
        assert list(found) == ["in/a.wav"]
    for out in ("in", "."):
        assert list(places(["in/*.wav"], Path(out))) == ["in/a.wav"]
    assert list(places(["in/**/*.wav"], Path("."))) == ["in/a.wav", "in/stems/a/piano.wav"]
    with pytest.raises(UserError, match=r"in/\*\*/\*.wav: stems would mix"):
        plan_tasks(["in/**/*.wav"], Path("in"))


def test_names_that_differ_in_capitals_have_folders_that_differ_in_more(tmp_path):
    for name in ("one/Song.wav", "two/song.wav"):
        save(tmp_path / name, 10)
    inputs = [str(tmp_path / name) for name in ("one/Song.wav", "two/song.wav")]
    assert list(places(inputs, tmp_path / "o").values()) == ["Song", "song (2)"]


# The command.


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a model, and `call`."""
    folder = tmp_path_factory.mktemp("separate")
    save_small_model(folder / "small.safetensors")
    variables = {
        "JAX_COMPILATION_CACHE_DIR": str(folder / "jax"),
        "JAX_PLATFORMS": "cpu",
        "PYTHONIOENCODING": "utf-8:strict",
    }

    def call(*args, **options):
        done = subprocess.run(
            [sys.executable, ROOT / "separate.py", "--model=small.safetensors", *args],
            cwd=folder, env=os.environ | variables, encoding="utf-8",
            capture_output=True, timeout=120, **options,
        )  # fmt: skip
        assert "Traceback" not in done.stderr
        return done

    return SimpleNamespace(folder=folder, call=call)


def test_help_and_wrong_flags_need_no_jax():
    for flag in ("--help", "--stemz=x", "--gains=x", "--start=x", "--format=wma"):
        code = (
            "import sys\nsys.modules['jax'] = None\nfrom sep.cli import separate\n"
            f"sys.argv = ['separate.py', {flag!r}, 'x.wav']\nseparate.run()"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert "Traceback" not in done.stderr
        assert done.returncode == 1  # of help, too: absl's way
        if flag == "--help":
            assert "--skip_existing" in done.stdout
        else:
            assert done.stderr.startswith("error: ")


def test_scripts_read_json(place):
    save(place.folder / "json" / "a.wav", 16_000, 2)
    save(place.folder / "json" / "b.wav", 8000, 32)
    done = place.call("--json", "--out=json-out", "--minus=piano", "json")
    first, second, last = map(json.loads, done.stdout.splitlines())
    assert done.returncode == 1 and done.stderr == ""
    took = first.pop("took")
    assert 0 < took < 60
    assert first == {
        "recording": "json/a.wav", "status": "done", "error": "", "folder": "json-out/a",
        "outputs": ["json-out/a/minus_piano.wav"], "seconds": 1.0, "gain_db": 0.0,
    }  # fmt: skip
    assert (second["status"], second["outputs"]) == ("failed", [])
    assert "has 32 channels" in second["error"]
    counts = {"recordings": 2, "done": 1, "skipped": 0, "failed": 1, "seconds": 1.0}
    assert counts.items() <= last["summary"].items()


def test_every_wish_reaches_the_work(place):
    save(place.folder / "wish.wav", 16_000, 2)
    done = place.call(
        "--stems=violin", "--minus=violin", "--gains=piano=-inf", "--start=0:00.25",
        "--duration=0.5", "--format=flac", "--subtype=PCM_24", "--overlap=0.3",
        "--shifts=2", "--norefine", "--out=wish-out", "wish.wav",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    folder = place.folder / "wish-out" / "wish"
    for name in ("violin", "minus_violin", "remix"):
        info = soundfile.info(folder / f"{name}.flac")
        assert (info.frames, info.subtype) == (8000, "PCM_24")
    how = json.loads((folder / "separation.json").read_text())["how"]
    expected = {
        "outputs": {"violin": [0, 1], "minus_violin": [1, 0], "remix": [0, 1]},
        "container": "flac", "subtype": "PCM_24", "overlap": 0.3, "shifts": 2,
        "refine": False, "start": 0.25, "duration": 0.5, "page": False,
    }  # fmt: skip
    assert {name: how[name] for name in expected} == expected


def test_quiet_is_quiet_but_for_errors(place):
    save(place.folder / "quiet.wav")
    done = place.call("--quiet", "--out=quiet-out", "quiet.wav")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = place.call("--quiet", "--out=quiet-out", "quiet.wav", "none.wav")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: none.wav: no such file\n"


def on_terminal(words, folder):
    """What a command writes to a terminal of 120 columns."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("4H", 30, 120, 0, 0))
    env = os.environ | {"JAX_PLATFORMS": "cpu"}
    process = subprocess.Popen(words, stdout=its, stderr=its, cwd=folder, env=env)
    os.close(its)
    written = b""
    with contextlib.suppress(OSError):  # which is how it ends
        while block := os.read(ours, 4096):
            written += block
    os.close(ours)
    assert process.wait() == 0, written
    return written.decode()


def test_a_person_sees_how_far_it_is_and_a_summary(place):
    for number in range(3):
        save(place.folder / "many" / f"{number}.wav", 80_000 + number)
    words = [sys.executable, ROOT / "separate.py", "--model=small.safetensors"]
    seen = on_terminal([*words, "--out=m", "many"], place.folder)
    bar = r"\d\.wav: +\d+% \|.*\| \d+/15 s, [\d.]+x \[[\d:]+ left\]"
    assert re.search(bar, seen), seen
    assert "3 recordings: 3 separated, 0 skipped, 0 failed; 15 s of sound" in seen
    done = place.call("--out=m", "--skip_existing", "many")
    assert done.stdout.count("finished already in m/") == 3
    assert "0 separated, 3 skipped, 0 failed" in done.stdout


def test_three_at_a_time_are_as_good_as_one_by_one(place):
    for number in range(5):
        save(place.folder / "jobs" / f"{number}.wav", 30_000 + 5000 * number, 2, 22050)
    for jobs in (1, 3):
        assert place.call(f"--jobs={jobs}", f"--out=jobs{jobs}", "jobs").returncode == 0
    for path in (place.folder / "jobs1").rglob("*.wav"):
        other = place.folder / "jobs3" / path.relative_to(place.folder / "jobs1")
        assert path.read_bytes() == other.read_bytes()


ODD = [
    "two words.wav", "it's \"quoted\".wav", "new\nline.wav", "🎻.wav", "-dash.wav",
    os.fsdecode(b"caf\xe9.wav"), "tab\t.wav", "a.b.c.wav", " .wav", "$(x) `y` %s {z}.wav",
]  # fmt: skip


def test_odd_names_are_names(place):
    for name in ODD:
        save(place.folder / "odd" / name, 100)
    done = place.call("--out=odd-out", "--", *[f"odd/{name}" for name in ODD], "odd")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == len(ODD) + 1
    folders = {path.name for path in (place.folder / "odd-out").iterdir()}
    assert folders == {Path(name).stem for name in ODD}


WRONG = {
    "a stem that there is none of": (["--stems=cello", "x.wav"], "no stem 'cello', only"),
    "nothing left": (["--minus=piano,violin", "x.wav"], "leaves nothing"),
    "no gain": (["--gains=piano", "x.wav"], "--gains=piano=-6,violin=+3"),
    "no time": (["--start=soon", "x.wav"], "'soon' is not a time"),
    "no duration": (["--duration=0", "x.wav"], "--duration must be more than 0"),
    "after the end": (["--start=1:00", "x.wav"], "x.wav: ends before 60 s"),
    "mute and talkative": (["--quiet", "--json", "x.wav"], "choose one"),
    "no match": (["*.mp3"], "*.mp3: no sound file matches"),
    "address of nothing": (["--address=1.2.3.4:5", "x.wav"], "--address is for --engine"),
    "rate": (["--format=mp3", "odd.wav"], "odd.wav: mp3 does not support 12345 Hz"),
    "subtype": (
        ["--format=ogg", "--subtype=PCM_16", "x.wav"],
        "does not support PCM_16",
    ),
    "overwriting": (["--out=.", "x/piano.wav", "x.wav"], "piano.wav: would be overwritten"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_use_is_answered_in_one_line(place, name):
    save(place.folder / "x.wav")
    save(place.folder / "x" / "piano.wav")
    save(place.folder / "odd.wav", 100, 1, 12345)
    args, reason = WRONG[name]
    done = place.call("--out=wrong", *args)
    (line,) = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (1, "")
    assert line.startswith("error: ") and reason in line
    assert not (place.folder / "wrong").exists()
