"""The check of a folder of stems, and the subcommands of `python -m sep.data`."""

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest
from commands import run_command
from corrupt import CORRUPT, UNUSUAL, add_corrupt
from hypothesis import given
from hypothesis import strategies as st
from sounds import noise, save

from sep.data import check, folders, stems
from sep.data.__main__ import SUBCOMMANDS, run
from sep.errors import UserError

SOURCES = ("piano", "violin")


@pytest.fixture
def data(tmp_path):
    """A folder of solos without faults."""
    for seed, split in enumerate(("train", "valid")):
        for at, source in enumerate(SOURCES):
            wave_TC = noise(80_000, 1 + at, seed=10 * seed + at)
            save(tmp_path / split / source / "a.wav", wave_TC, 16000)
    return tmp_path


def summary_of(data, sources=SOURCES, missing_is_silence=False):
    indices = {s: folders.index_of(data / s, sources) for s in check.NEEDED}
    paths = [p for i in indices.values() for source in sources for p in i.files(source)]
    return check.summarise(
        indices,
        {path: check.examine(path) for path in paths},
        crop_seconds=3.0,
        missing_is_silence=missing_is_silence,
    )


def test_a_report_has_the_known_numbers(tmp_path):
    # Four blocks: silence, a square wave of 0.5, silence, a sine of 0.1; two channels.
    block = stems.ACTIVITY_BLOCK
    time_T = np.arange(block)
    square_T, sine_T = np.where(time_T % 64 < 32, 0.5, -0.5), np.sin(time_T * np.pi / 32)
    wave_T = np.concatenate([0 * square_T, square_T, 0 * square_T, 0.1 * sine_T])
    path = save(tmp_path / "a.wav", np.stack([wave_T, wave_T], 1), 22050, subtype="FLOAT")
    report = check.examine(path)
    assert report.format == (22050, 2)
    assert report.length == 4 * block
    assert report.seconds == pytest.approx(4 * block / 22050)
    assert report.power == pytest.approx((0.5**2 + 0.1**2 / 2) / 4, rel=1e-5)
    assert report.peak == 0.5
    assert report.active == 0.5
    assert (report.clips, report.error) == (0, "")


def test_long_files_are_read_in_blocks(tmp_path):
    wave_TC = noise(100_000, 2) * np.linspace(1, 0, 100_000)[:, None]
    report = check.examine(save(tmp_path / "a.wav", wave_TC, subtype="FLOAT"))
    assert report.length == 100_000
    assert report.power == pytest.approx((wave_TC**2).mean(), rel=1e-5)
    assert report.peak == pytest.approx(np.abs(wave_TC).max())


def test_runs_of_three_samples_at_full_scale_are_clipping():
    wave_CT = np.zeros((2, 40), np.float32)
    wave_CT[0, 3:8] = 1  # five at once
    wave_CT[0, 10:12] = 1  # only two
    wave_CT[1, :3] = -1  # at the start
    wave_CT[1, 20:30] = np.linspace(1.1, 1.5, 10)  # loud, but not flat
    wave_CT[1, 31:36] = 0.9  # flat, but not loud
    assert check.clipped_runs(wave_CT) == 2


@given(st.lists(st.sampled_from([0.2, 1.0, -1.0, 32767 / 32768]), max_size=30))
def test_clipped_runs_are_counted_as_by_hand(samples):
    wave_T = np.array(samples, np.float32)
    runs, start = 0, 0
    for i in range(1, len(wave_T) + 1):
        if i == len(wave_T) or wave_T[i] != wave_T[start]:
            runs += i - start >= 3 and abs(wave_T[start]) > 0.99
            start = i
    assert check.clipped_runs(wave_T[None]) == runs


def test_minus_zero_equals_zero(tmp_path):
    paths = [
        save(tmp_path / f"{sign}.wav", np.copysign(np.zeros((9, 1)), sign), subtype="FLOAT")
        for sign in (1, -1)
    ]
    assert paths[0].read_bytes() != paths[1].read_bytes()
    assert check.examine(paths[0]).digest == check.examine(paths[1]).digest


def test_equal_samples_have_one_digest_in_any_format(tmp_path):
    wave_TC = np.round(noise(30_000, 2) * 2**15) / 2**15
    kinds = [("wav", "PCM_16"), ("flac", "PCM_16"), ("flac", "PCM_24"), ("aiff", "FLOAT")]
    digests = {
        check.examine(save(tmp_path / f"{i}.{end}", wave_TC, subtype=subtype)).digest
        for i, (end, subtype) in enumerate(kinds)
    }
    assert len(digests) == 1
    wave_TC[20_000, 1] += 2.0**-15
    for i, other_TC in enumerate((wave_TC, wave_TC.reshape(-1, 1))):
        digests.add(check.examine(save(tmp_path / f"other{i}.wav", other_TC)).digest)
    assert len(digests) == 3


@pytest.mark.parametrize("name", CORRUPT)
def test_corrupt_files_are_reported(tmp_path, name):
    make, message = CORRUPT[name]
    make(tmp_path / name)
    report = check.examine(tmp_path / name)
    assert report.error.startswith(f"{tmp_path / name}: ")
    assert message in report.error
    assert "\n" not in report.error


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_a_file_without_permission_is_reported(tmp_path):
    save(tmp_path / "a.wav", noise()).chmod(0)
    assert "may not be read" in check.examine(tmp_path / "a.wav").error


def test_a_folder_without_faults_has_no_findings(data):
    summary = summary_of(data)
    assert summary[1:] == ([], [], [])
    rms = f"{20 * np.log10(0.5 / 3**0.5):.1f}"
    assert summary.rows[1] == (
        ("train", "violin", "1", "0.00", "16000", "2", rms, "-6.0", "0 %", "0")
    )


def test_a_row_sums_up_its_files(data):
    for seed in range(12):  # 20 s each
        save(data / "train/piano" / f"{seed}.wav", noise(80_000, 2, seed=50 + seed), 4000)
    add_corrupt(data / "train/piano")
    quarter = 16 * stems.ACTIVITY_BLOCK
    wave_TC = np.concatenate([np.zeros((3 * quarter, 1)), 0.99 * np.sign(noise(quarter))])
    save(data / "train/piano/x.wav", wave_TC, 1311)  # 200 s, three quarters silent
    row = summary_of(data).rows[0]
    assert row[2:6] == (str(14 + len(CORRUPT)), "0.12", "1311/4000/16000", "1/2")
    power = (245 * 0.5**2 / 3 + 50 * 0.99**2) / 445  # by duration
    assert row[6:8] == (f"{10 * np.log10(power):.1f}", "-0.1")
    assert row[8:] == ("34 %", str(len(CORRUPT)))


def test_files_that_training_would_skip_are_warnings(data):
    bad = add_corrupt(data / "train/violin")
    save(data / "train/violin/silent.wav", np.zeros((80_000, 1)))
    save(data / "train/violin/clipped.wav", np.clip(9 * noise(80_000, seed=9), -1, 1))
    save(data / "train/song/violin.wav", noise(60_000, seed=5))
    save(data / "train/song/piano.wav", noise(50_000, seed=6))
    summary = summary_of(data)
    assert summary.errors == summary.notes == []
    text = "\n".join(summary.warnings)
    assert all(text.count(f"{path}: ") == 1 for path in bad)
    assert "silent.wav: is silent" in text
    assert "clipped.wav: is clipped" in text
    assert "song: its stems differ in length (piano 6.2 s, violin 7.5 s)" in text
    assert len(summary.warnings) == len(bad) + 3


def test_the_same_sound_in_two_splits_is_found(data):
    wave_TC = np.round(noise(80_000, seed=7) * 2**15) / 2**15
    save(data / "train/piano/x.wav", wave_TC)
    save(data / "train/piano/y.wav", wave_TC)
    save(data / "valid/song/piano.flac", wave_TC)
    save(data / "valid/song/violin.wav", np.zeros((80_000, 1)))
    save(data / "train/violin/silent.wav", np.zeros((80_000, 1)))  # not a duplicate
    summary = summary_of(data)
    (leak,) = [line for line in summary.warnings if "silent" not in line]
    assert leak.startswith(f"{data}/valid/song/piano.flac: has the same sound")
    assert f"{data}/train/piano/x.wav" in leak
    assert summary.notes == [
        f"{data}/train/piano/y.wav: has the same sound as {data}/train/piano/x.wav"
    ]


def test_short_and_ignored_files_are_notes(data):
    save(data / "train/piano/b.wav", noise(20_000, seed=3), 8000)
    save(data / "train/tuba/b.wav", noise(20_000, seed=4), 8000)
    summary = summary_of(data)
    assert summary.errors == summary.warnings == []
    assert "ignored, neither source nor track: tuba" in summary.notes[0]
    assert "b.wav: is shorter (2.50 s)" in summary.notes[1]
    assert len(summary.notes) == 2


def test_what_training_would_fail_on_is_an_error(data):
    save(data / "train/song/piano.wav", noise(60_000, seed=5))
    (error,) = summary_of(data).errors
    assert "train/song: has no violin.*" in error
    assert summary_of(data, missing_is_silence=True).errors == []
    save(data / "train/song/violin.wav", noise(60_000, seed=6))
    (data / "valid/piano/a.wav").write_text("no sound")
    save(data / "valid/violin/a.wav", np.zeros((80_000, 1)))
    errors = summary_of(data).errors
    assert [e.partition(": ")[2][:20] for e in errors] == [
        "no recording can be ",
        "all recordings are s",
    ]


LAYOUTS = {
    "train/piano/1.wav valid/piano/1.wav train/harp/1.wav valid/harp/1.wav": "harp piano",
    "train/x/piano.wav train/x/tuba.wav train/x/mixture.wav "
    "valid/y/piano.wav valid/y/tuba.wav valid/y/mixture.wav": "piano tuba",
    "train/piano/a/b.mp3 valid/piano/c.wav train/x/piano.wav train/x/harp.wav "
    "valid/y/harp.wav valid/y/piano.wav": "harp piano",
    "train/piano/1.wav valid/piano/1.wav train/harp/1.wav": "harp piano",  # only in train
    # Solos beside tracks of the same names in both splits.
    "train/tuba/1.wav train/tuba/2.wav "
    + " ".join(
        f"{split}/{n}-x/{name}.wav"
        for split in ("train", "valid")
        for n in range(3)
        for name in ("harp", "tuba", "mixture")
    ): "harp tuba",
    "train/piano/001.wav train/harp/001.wav": "harp piano",  # a split is missing
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_names_of_sources_are_guessed_from_the_layout(tmp_path, layout):
    for name in layout.split():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert check.sources_of(tmp_path) == LAYOUTS[layout].split()


def test_a_folder_without_sources_is_an_error(tmp_path):
    (tmp_path / "train" / "piano").mkdir(parents=True)
    with pytest.raises(UserError, match="no stems found; it needs train/ and valid/"):
        check.sources_of(tmp_path)


def run_process(folder, *args):
    """Runs a subcommand as a process with an empty cache folder, which stays empty."""
    home = folder.parent / f"{folder.name}-home"
    home.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "sep.data", *args],
        env=os.environ | {"XDG_CACHE_HOME": str(home), "PYTHONIOENCODING": "utf-8"},
        capture_output=True, encoding="utf-8", timeout=60, check=False,
    )  # fmt: skip
    assert not list(home.iterdir())
    return done


def run_check(folder, *args):
    """Runs the check in this process; the cache folder is not used."""
    done = run_command("data_check", *args, folder=folder)
    assert not (folder / "cache").exists()
    return done


def test_the_command_prints_findings_and_its_status_is_the_verdict(data):
    done = run_check(data, data)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "ready to train: piano, violin"
    assert done.stderr == ""

    for seed, name in enumerate(UNUSUAL):
        save(data / "train/violin" / name, noise(80_000, seed=20 + seed))
    add_corrupt(data / "train/violin")
    done = run_process(data, "check", str(data), "--sources=piano,violin")
    assert done.returncode == 0, done.stderr
    warned = [line for line in done.stdout.splitlines() if line.startswith("warning: ")]
    assert len(warned) == len(CORRUPT)
    (row,) = [x for x in done.stdout.splitlines() if x.startswith("train  violin")]
    assert row.split()[2] == str(1 + len(UNUSUAL) + len(CORRUPT))
    done = run_check(data, data, "--strict")
    assert done.returncode == 1
    assert "not good enough under --strict: " in done.stdout.splitlines()[-1]

    (data / "valid").rename(data / "elsewhere")
    done = run_check(data, data, "--sources=piano,violin")
    assert done.returncode == 1
    last = done.stdout.splitlines()[-1]
    assert last.startswith(f"training would fail: {data}/valid: no such folder")


def test_rooms_that_training_would_refuse_are_an_error(data):
    save(data / "rooms" / "a.wav", np.ones((1, 1)))
    assert run_check(data, data).returncode == 0
    save(data / "rooms" / "silent.wav", np.zeros((9, 1)))
    done = run_check(data, data)
    assert done.returncode == 1
    assert "training would fail" in done.stdout.splitlines()[-1]
    assert "silent.wav: is silent" in done.stdout.splitlines()[-1]


@pytest.mark.parametrize("args", [(), ("chekc",), ("--strict",)])
def test_without_a_subcommand_all_are_listed(capsys, args):
    with pytest.raises(SystemExit) as error:
        run(["sep.data", *args])
    assert error.value.code == 2
    text = capsys.readouterr().err
    assert all(
        f"  {name} " in text and what in text for name, (_, what) in SUBCOMMANDS.items()
    )


def test_help_lists_all_subcommands(capsys):
    run(["sep.data", "--help"])
    assert "  check " in capsys.readouterr().out


def test_modules_of_subcommands_exist():
    missing = [m for m, _ in SUBCOMMANDS.values() if not importlib.util.find_spec(m)]
    assert missing == []


def test_help_of_a_subcommand_has_only_its_flags(tmp_path):
    done = run_process(tmp_path, "check", "--help")
    assert "Checks a folder of stems as training would read it" in done.stdout
    assert "--strict" in done.stdout
    assert "--instruments" not in done.stdout


@pytest.mark.parametrize("args", [(), ("a", "b"), ("nowhere",), ("--crop_seconds=x", ".")])
def test_wrong_arguments_give_one_line(tmp_path, args):
    done = run_check(tmp_path, *args)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
