"""Rendered datasets: the plan, what is rendered and what is refused, and the command."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from absl import flags
from small_score import write_score
from sounds import save

from sep.errors import UserError
from sep.rendering import dataset, instruments, pieces
from sep.rendering.dataset import PlannedPiece
from sep.rendering.manifests import MANIFEST
from sep.runtime import processes

RATE = 44100


def in_this_process(function, calls, jobs, *, doing, unit):
    """Stands in for `processes.results`, which starts processes."""
    return (function(*call) for call in calls)


@pytest.fixture
def serial(monkeypatch):
    monkeypatch.setattr(processes, "results", in_this_process)


def prepare(catalogue, out, *, rooms=None, mixture=True, seed=3, seconds=1.0):
    return dataset.prepare(
        out,
        instruments.catalogue(catalogue, catalogue.parent),
        rooms,
        pieces.PieceOptions(seconds, start=None, variety=0.6, level_db=3.0),
        mixture=mixture,
        seed=seed,
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def rendered(command, orchestra, tmp_path_factory):
    """A dataset from two scores, a corrupt one and compositions, in one room."""
    folder = tmp_path_factory.mktemp("dataset")
    songs = folder / "songs"
    songs.mkdir()
    write_score(songs / "a song.musicxml")
    write_score(songs / "Lied nach Ü.musicxml")
    (songs / "corrupt.mxl").write_text("no score")
    hall_T = np.random.default_rng(0).normal(0, 0.1, RATE // 2)
    hall_T *= np.exp(-np.arange(RATE // 2) / 4000)
    save(folder / "rooms" / "hall.wav", hall_T, RATE)
    arguments = [f"--instruments={orchestra}", f"--scores={songs}", "--seconds=1"]
    arguments += [f"--rooms={folder / 'rooms'}", "--pieces=5", "--composed=0.4"]
    arguments += ["--seed=3", "--mixture", f"--out={folder / 'out'}"]
    with (
        pytest.MonkeyPatch.context() as patch,
        (folder / "stdout").open("w") as out,
        (folder / "stderr").open("w") as err,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        patch.setattr(processes, "results", in_this_process)
        command("render", *arguments)
    return SimpleNamespace(
        out=folder / "out",
        options=prepare(orchestra, folder / "out", rooms=folder / "rooms"),
        planned=dataset.plan(dataset.find_scores([str(songs)], None), 5, 0.4, 3),
        stdout=(folder / "stdout").read_text(),
        stderr=(folder / "stderr").read_text(),
    )


@pytest.fixture
def copied(rendered, tmp_path):
    """The same dataset, to change."""
    shutil.copytree(rendered.out, tmp_path / "out")
    options = rendered.options._replace(out=tmp_path / "out")
    return SimpleNamespace(out=tmp_path / "out", options=options, planned=rendered.planned)


# The plan


def test_a_plan_uses_each_score_before_any_again_and_composes_its_share():
    found = [Path(f"{i}.mid") for i in range(5)]
    names = [piece.score for piece in dataset.plan(found, 15, 0.0, 1)]
    rounds = [names[:5], names[5:10], names[10:]]
    assert all(sorted(scores) == found for scores in rounds)
    assert rounds[0] != rounds[1] or rounds[1] != rounds[2]
    composed = [piece.score is None for piece in dataset.plan(found, 1000, 0.3, 1)]
    assert 0.25 < np.mean(composed) < 0.35


def test_a_longer_plan_begins_like_a_shorter_one():
    found = [Path(f"{i}.mid") for i in range(3)]
    longer = dataset.plan(found, 20, 0.3, 7)
    assert longer[:8] == dataset.plan(found, 8, 0.3, 7)
    assert longer != dataset.plan(found, 20, 0.3, 8)
    assert [piece.number for piece in longer] == [*range(20)]


def test_a_plan_has_a_piece_for_each_score_or_100():
    assert len(dataset.plan([Path("a.mid")] * 3, None, 0.5, 0)) == 3
    composed = dataset.plan([], None, 0.0, 0)
    assert len(composed) == 100
    assert composed[7] == PlannedPiece(7, "00007-composed", None)


# What is rendered


def test_stems_are_in_time_sum_to_the_mixture_and_have_manifests(rendered):
    made = [path for path in rendered.out.iterdir() if path.is_dir()]
    kinds = [path.name.partition("-")[2] for path in made]
    assert {"composed", "a song", "Lied nach Ü"} >= set(kinds) > {"composed"}
    for folder in made:
        facts = json.loads((folder / MANIFEST).read_text())
        assert facts["piece"] == folder.name
        assert facts["seed"] == 3
        assert set(facts["sources"]) == {"piano", "violin"}
        stems = []
        for source, about in facts["sources"].items():
            path = folder / f"{source}.flac"
            assert about["licence"]
            assert about["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
            assert about["notes"] and all(onset < 1 for onset, *_ in about["notes"])
            stems.append(soundfile.read(path, dtype="int16")[0])
        mixture, rate = soundfile.read(folder / "mixture.flac", dtype="int16")
        assert rate == RATE
        np.testing.assert_array_equal(mixture, sum(stems))
    rows = (rendered.out / "manifest.csv").read_text().splitlines()
    assert len(rows) == 1 + 2 * len(made)


def test_the_command_prints_a_table_and_what_it_skipped(rendered):
    made = len([path for path in rendered.out.iterdir() if path.is_dir()])
    lines = rendered.stdout.splitlines()
    assert lines[-1] == f"{made} pieces in {rendered.out}, {5 - made} skipped"
    assert re.fullmatch(r"piano +keys +\d+ +0\.\d  CC0", lines[1])
    assert made < 5
    for line in rendered.stderr.splitlines():
        assert re.fullmatch("skipped: .*corrupt.mxl: cannot be read as a score.*", line)


def test_a_piece_depends_on_the_options_and_its_number_only(rendered, copied):
    """Not on other pieces, or what was rendered before."""
    *_, last = [p for p in copied.planned if dataset.is_made(copied.options, p)]
    shutil.rmtree(copied.out / last.name)
    assert not dataset.is_made(copied.options, last)
    assert dataset.render_one(copied.options, last) is None
    assert contents(copied.out) == contents(rendered.out)


def test_only_what_is_missing_is_rendered_again(rendered, copied, serial):
    made = [p for p in copied.planned if dataset.is_made(copied.options, p)]
    times = {path: path.stat().st_mtime_ns for path in copied.out.glob("*/*")}
    (copied.out / made[0].name / "mixture.flac").unlink()
    without = copied.options._replace(mixture=False)
    assert dataset.render_missing(without, made, 1) == (made, 0)
    assert not (copied.out / made[0].name / "mixture.flac").exists()
    assert dataset.render_missing(copied.options, made, 1) == (made, 0)
    assert contents(copied.out) == contents(rendered.out)
    for path, time_ns in times.items():
        assert path.parent.name == made[0].name or path.stat().st_mtime_ns == time_ns


# What is refused


def test_other_options_are_refused(orchestra, rendered):
    (piece, *_) = [p for p in rendered.planned if dataset.is_made(rendered.options, p)]
    rooms = rendered.options.rooms
    for changes in ({"seed": 4}, {"seconds": 2.0}, {"rooms": None}):
        other = prepare(orchestra, rendered.out, **({"rooms": rooms} | changes))
        with pytest.raises(UserError, match="other instruments, seed or settings"):
            dataset.is_made(other, piece)
    sampled = orchestra.with_name("sampled.toml")
    with pytest.raises(UserError, match="other instruments, seed or settings"):
        dataset.is_made(prepare(sampled, rendered.out, rooms=rooms), piece)


def test_another_plan_is_refused(rendered):
    dataset.refuse_other_plan(rendered.out, rendered.planned[:1])  # a part of the same
    (piece, *_) = [p for p in rendered.planned if dataset.is_made(rendered.options, p)]
    other = piece._replace(name=f"{piece.number:05d}-other")
    with pytest.raises(UserError, match=f"{piece.name}: is of another set"):
        dataset.refuse_other_plan(rendered.out, [other])


def test_a_composed_piece_of_another_split_is_refused(orchestra, tmp_path):
    piece, song = PlannedPiece(0, "00000-composed", None), PlannedPiece(1, "1", Path("a"))
    other = tmp_path / "train" / piece.name / MANIFEST
    other.parent.mkdir(parents=True)
    other.write_text(json.dumps({"seed": 3, "settings": "x", "sources": {}}))
    for name, seed, is_refused in (
        ("valid", 3, True),
        ("valid", 4, False),
        ("train", 3, False),
        ("elsewhere", 3, False),
    ):
        options = prepare(orchestra, tmp_path / name, seed=seed)
        dataset.refuse_duplicates(options, [song])
        if is_refused:
            with pytest.raises(UserError, match="is the same composed piece"):
                dataset.refuse_duplicates(options, [piece])
        else:
            dataset.refuse_duplicates(options, [piece])


def test_a_dataset_without_any_piece_is_an_error(orchestra, tmp_path, serial, capfd):
    (tmp_path / "corrupt.mid").write_text("no score")
    planned = dataset.plan([tmp_path / "corrupt.mid"], 1, 0.0, 0)
    options = prepare(orchestra, tmp_path / "out")
    with pytest.raises(UserError, match="no piece could be rendered"):
        dataset.render_missing(options, planned, 1)
    assert "skipped: 00000-corrupt: " in capfd.readouterr().err


@pytest.mark.parametrize("text", ["", "[]", '{"settings": 1, "sources": {}}', "{"])
def test_a_file_that_is_no_manifest_is_named(orchestra, tmp_path, text):
    path = tmp_path / "00000-composed" / MANIFEST
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(UserError, match=f"{path}: is not the manifest of a piece"):
        dataset.is_made(
            prepare(orchestra, tmp_path), PlannedPiece(0, path.parent.name, None)
        )


@pytest.mark.parametrize(
    ("change", "error", "complaint"),
    [
        ("--scores=/nowhere", UserError, "/nowhere: no such score"),
        ("--instruments=/nowhere.toml", UserError, "/nowhere.toml: no catalogue"),
        ("--pieces=0", UserError, "at least 1"),
        ("--jobs=0", UserError, "at least 1"),
        ("--seconds=0.5", UserError, "from 1 to 3600"),
        ("--seed=-1", flags.Error, "seed"),
        ("--rooms=/nowhere", UserError, "/nowhere: no folder with impulse responses"),
        ("--rooms={}", UserError, "no folder with impulse responses"),
    ],
)
def test_wrong_flags_are_reported(command, orchestra, tmp_path, change, error, complaint):
    out = tmp_path / "out"
    with pytest.raises(error, match=complaint):
        command(
            *("render", f"--instruments={orchestra}", f"--out={out}"),
            change.format(tmp_path),
        )
    assert not out.exists()


# The command, as a process


def start(*arguments) -> subprocess.Popen:
    """Starts the command in a process group; sampled instruments are imported faster."""
    return subprocess.Popen(
        [sys.executable, "-m", "sep.data", "render", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"},  # no second start
    )


def wait_for(condition, seconds=60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def has_ended(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_killed_command_ends_its_processes_and_can_be_continued(orchestra, tmp_path):
    out, sampled = tmp_path / "out", orchestra.with_name("sampled.toml")
    arguments = [f"--instruments={sampled}", f"--out={out}", "--seconds=1", "--seed=5"]
    killed = start(*arguments, "--jobs=2", "--pieces=50")
    try:
        wait_for(lambda: list(out.glob(f"*/{MANIFEST}")) or killed.poll() is not None)
        killed.kill()
        killed.communicate(timeout=60)
        wait_for(lambda: has_ended(killed.pid))
    finally:
        if not has_ended(killed.pid):
            os.killpg(killed.pid, signal.SIGKILL)
    done = {path: path.stat().st_mtime_ns for path in out.glob(f"*/{MANIFEST}")}
    assert 0 < len(done) < 50
    count = len(done) + 1
    resumed = start(*arguments, "--jobs=1", f"--pieces={count}")
    printed, errors = resumed.communicate(timeout=120)
    assert resumed.returncode == 0, errors
    assert f"{count} pieces in {out}" in printed
    for path, time_ns in done.items():
        assert path.stat().st_mtime_ns == time_ns
    assert not list(out.rglob("*.part"))
    # The same files whatever the number of processes.
    options = prepare(sampled, tmp_path / "again", mixture=False, seed=5)
    planned = dataset.plan([], count, 0.3, 5)
    for piece in (planned[0], planned[-1]):
        assert dataset.render_one(options, piece) is None
        assert contents(out / piece.name) == contents(options.out / piece.name)


def test_an_error_of_the_command_is_one_line(tmp_path):
    out = tmp_path / "out"
    process = start("--instruments=/nowhere.toml", f"--out={out}")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert re.fullmatch("error: /nowhere.toml: no catalogue.*\n", errors)
    assert not out.exists()
