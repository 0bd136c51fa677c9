"""separate.py: flags, output, and names of files."""

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
import threading
from pathlib import Path

import pytest
import soundfile
from sounds import noise, save

from sep import audio
from sep.cli.reporting import TextReporter
from sep.separation.engines import local
from sep.separation.jobs import Request
from sep.separation.recordings import plan_tasks

RATE = 16000  # the small model's


def test_help_and_wrong_flags_do_not_import_jax():
    code = (
        "import sys\n"
        "sys.modules['jax'] = None\n"
        "from absl import flags\n"
        "from sep.cli import separate\n"
        "for flag in ('--help', '--stemz=x', '--gains=x', '--start=x', '--format=wma'):\n"
        "    flags.FLAGS.unparse_flags()\n"
        "    sys.argv = ['separate.py', flag, 'x.wav']\n"
        "    try:\n"
        "        separate.run()\n"
        "    except SystemExit as end:\n"
        "        print(f'status {end.code}', flush=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.count("status 1") == 5  # absl's status of --help is 1, too
    assert "--skip_existing" in done.stdout
    lines = done.stderr.splitlines()
    assert len(lines) == 4 and all(line.startswith("error: ") for line in lines)


def test_json_output(place):
    save(place.folder / "json" / "a.wav", noise(16_000, 2), RATE)
    save(place.folder / "json" / "b.wav", noise(8000, 32), RATE)
    done = place.run("--json", "--out=json-out", "--minus=piano", "json")
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


def test_every_flag_has_its_effect(place):
    save(place.folder / "flags.wav", noise(16_000, 2), RATE)
    done = place.run(
        "--stems=violin", "--minus=violin", "--gains=piano=-inf", "--start=0:00.25",
        "--duration=0.5", "--format=flac", "--subtype=PCM_24", "--overlap=0.3",
        "--shifts=2", "--norefine", "--out=flags-out", "flags.wav",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    folder = place.folder / "flags-out" / "flags"
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


def test_quiet_prints_errors_only(place):
    save(place.folder / "quiet.wav", noise())
    done = place.run("--quiet", "--out=quiet-out", "quiet.wav")
    assert done == (0, "", "")
    done = place.run("--quiet", "--out=quiet-out", "quiet.wav", "none.wav")
    assert done == (1, "", "error: none.wav: no such file\n")


@contextlib.contextmanager
def terminal(written):
    """Makes standard output and error a terminal of 120 columns.

    Args:
      written: list to which the text is appended when the context ends.
    """
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("4H", 30, 120, 0, 0))
    blocks = []

    def read():
        with contextlib.suppress(OSError):  # raised once the other end is closed
            while block := os.read(ours, 4096):
                blocks.append(block)

    reader = threading.Thread(target=read)
    reader.start()
    with (
        open(its, "w", encoding="utf-8") as screen,
        contextlib.redirect_stdout(screen),
        contextlib.redirect_stderr(screen),
    ):
        yield
    reader.join()
    os.close(ours)
    written.append(b"".join(blocks).decode())


def test_a_terminal_shows_a_progress_bar_and_a_summary(tmp_path, model, shared_models):
    for number in range(3):
        save(tmp_path / "in" / f"{number}.wav", noise(32_000 + number), RATE)
    tasks, written = plan_tasks([str(tmp_path / "in")], tmp_path / "out"), []
    with terminal(written), TextReporter(tasks, audio.WHOLE) as reporter:
        for outcome in local.run(Request(str(model)), tasks, 1, reporter.progress):
            reporter.add(*outcome)
    (text,) = written
    bar = r"\d\.wav: +\d+% \|.*\| \d+/6 s, [\d.]+x \[[\d:]+ left\]"
    assert re.search(bar, text), text
    assert "3 recordings: 3 separated, 0 skipped, 0 failed; 6 s of sound" in text
    assert reporter.exit_status == 0


def test_skipped_recordings_are_counted(place):
    for number in range(3):
        save(place.folder / "many" / f"{number}.wav", noise(900), RATE)
    assert place.run("--out=m", "many").stdout.count(" -> m/") == 3
    done = place.run("--out=m", "--skip_existing", "many")
    assert done.stdout.count("skipped, its outputs in m/") == 3
    assert "0 separated, 3 skipped, 0 failed" in done.stdout


def test_parallel_jobs_give_the_same_files(place):
    for number in range(4):
        wave_TC = noise(9000 + 3000 * number, 2)
        save(place.folder / "jobs" / f"{number}.wav", wave_TC, 22050)
    for jobs in (1, 3):
        assert place.run(f"--jobs={jobs}", f"--out=jobs{jobs}", "jobs").returncode == 0
    paths = list((place.folder / "jobs1").rglob("*.wav"))
    assert len(paths) == 8
    for path in paths:
        other = place.folder / "jobs3" / path.relative_to(place.folder / "jobs1")
        assert path.read_bytes() == other.read_bytes()


ODD = [
    "two words.wav", "it's \"quoted\".wav", "new\nline.wav", "🎻.wav", "-dash.wav",
    os.fsdecode(b"caf\xe9.wav"), "tab\t.wav", "a.b.c.wav", " .wav", "$(x) `y` %s {z}.wav",
]  # fmt: skip


def test_a_process_separates_files_with_unusual_names(place):
    for name in ODD:
        save(place.folder / "odd" / name, noise(100), RATE)
    done = place.run_process("--out=odd-out", "--", *[f"odd/{name}" for name in ODD], "odd")
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
    "quiet and JSON": (["--quiet", "--json", "x.wav"], "choose one"),
    "no match": (["*.mp3"], "*.mp3: no sound file matches"),
    "address without ray": (["--address=1.2.3.4:5", "x.wav"], "--address needs --engine"),
    "rate": (["--format=mp3", "odd.wav"], "odd.wav: mp3 does not support 12345 Hz"),
    "subtype": (
        ["--format=ogg", "--subtype=PCM_16", "x.wav"],
        "does not support PCM_16",
    ),
    "overwriting": (["--out=.", "x/piano.wav", "x.wav"], "piano.wav: would be overwritten"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_use_is_reported_in_one_line(place, name):
    save(place.folder / "x.wav", noise())
    save(place.folder / "x" / "piano.wav", noise())
    save(place.folder / "odd.wav", noise(100), 12345)
    args, reason = WRONG[name]
    done = place.run("--out=wrong", *args)
    (line,) = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (1, "")
    assert line.startswith("error: ") and reason in line
    assert not (place.folder / "wrong").exists()
