"""Scores to stems: reading, arranging, performing, and the command, with real files."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings

from sep.errors import UserError
from sep.rendering import (
    arrangement,
    etudes,
    instruments,
    midi,
    performance,
    pieces,
    samplers,
    scores,
)
from sep.rendering.pitch import measure_pitch

RATE = 44100
SCORE = """<?xml version="1.0" encoding="UTF-8"?>
<score-partwise version="3.1">
  <identification><creator type="composer">{composer}</creator></identification>
  <part-list>
    <score-part id="P1"><part-name>{first}</part-name></score-part>
    <score-part id="P2"><part-name>{second}</part-name></score-part>
  </part-list>
  <part id="P1">{melody}</part>
  <part id="P2">{piano}</part>
</score-partwise>"""
ATTRIBUTES = "<attributes><divisions>1</divisions></attributes>"


def note(step: str, octave: int, chord: bool = False) -> str:
    mark = "<chord/>" if chord else ""
    pitch = f"<pitch><step>{step}</step><octave>{octave}</octave></pitch>"
    return f"<note>{mark}{pitch}<duration>1</duration><voice>1</voice></note>"


def score(path: Path, *, first="Voice", second="Piano", composer="Nobody", bars=8) -> Path:
    """A melody A4 B4 C5 D5 over chords of C major, a quarter each, at 90 a minute."""
    tune = "".join(note(s, o) for s, o in (("A", 4), ("B", 4), ("C", 5), ("D", 5)))
    chord = note("C", 3) + note("E", 3, True) + note("G", 3, True)

    def part(bar):
        return "".join(
            f'<measure number="{i + 1}">{ATTRIBUTES if i == 0 else ""}{bar}</measure>'
            for i in range(bars)
        )

    text = SCORE.format(
        composer=composer,
        first=first,
        second=second,
        melody=part(tune),
        piano=part(chord * 4),
    )
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def orchestra(tmp_path_factory) -> Path:
    """A catalogue with two small sampled instruments and the computed one."""
    folder = tmp_path_factory.mktemp("orchestra")
    time_T = np.arange(2 * RATE) / RATE
    for name, decay in (("keys", 2.0), ("strings", 0.0)):
        regions = []
        for key in (36, 60, 84):
            hertz = 440 * 2 ** ((key - 69) / 12)
            wave_T = sum(np.sin(2 * np.pi * n * hertz * time_T) / n for n in range(1, 6))
            wave_T *= 0.2 * np.exp(-decay * time_T)
            soundfile.write(folder / f"{name}{key}.wav", wave_T, RATE)
            regions.append(
                f"<region> sample={name}{key}.wav pitch_keycenter={key}"
                f" lokey={key - 12} hikey={key + 11}"
            )
        (folder / f"{name}.sfz").write_text("\n".join(regions))
    (folder / "all.toml").write_text(
        '[[piano]]\nname = "keys"\npath = "keys.sfz"\nlicence = "CC0"\n'
        '[[violin]]\nname = "strings"\npath = "strings.sfz"\nlicence = "CC0"\n'
        '[[violin]]\nname = "bowed"\nmodel = "bowed_string"\nlicence = "none needed"\n'
    )
    return folder / "all.toml"


def options(**changes):
    return pieces.Options(
        **{"seconds": 8, "start": None, "variety": 0.5, "level_db": 3} | changes
    )


def test_a_score_is_read_into_its_two_parts(tmp_path):
    melody, piano = scores.read(score(tmp_path / "a.musicxml"))
    assert melody["pitch"][:4].tolist() == [69, 71, 72, 74]
    np.testing.assert_allclose(np.diff(melody["onset"]), 60 / 90)
    np.testing.assert_allclose(melody["duration"], 60 / 90)
    assert piano["pitch"][:3].tolist() == [48, 52, 55]
    assert len(piano) == 3 * len(melody)


def test_a_piano_is_known_by_its_chords_where_none_is_named(tmp_path):
    named, _ = scores.read(score(tmp_path / "a.musicxml"))
    melody, _ = scores.read(score(tmp_path / "b.musicxml", first="I", second="II"))
    np.testing.assert_array_equal(melody, named)


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("text.mxl", b"not a zip", "cannot be read as a score"),
        ("empty.musicxml", b"", "cannot be read as a score"),
        ("text.mid", b"no midi", "cannot be read as a score"),
    ],
)
def test_a_spoilt_score_is_named(tmp_path, name, content, complaint):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=complaint) as error:
        scores.read(path)
    assert name in str(error.value)
    assert "\n" not in str(error.value)


def test_a_score_without_a_melody_is_named(tmp_path):
    path = score(tmp_path / "solo.musicxml", first="Piano I", second="Piano II")
    with pytest.raises(UserError, match="no playable melody with piano"):
        scores.read(path)


def test_held_out_composers_are_for_testing_only(tmp_path):
    by = {
        name: score(tmp_path / f"{i}.musicxml", composer=name)
        for i, name in enumerate(
            ["Robert Schumann", "Schumann, Robert", "Clara Schumann", "Gabriel Fauré", ""]
            + ["G. FAURE\u0301", "Faur&#233;", "Gabriel Faure (1845-1924)", "R. Schumann"]
            + ["Schumann", "C. Schumann", "Schumann, Clara (1819-1896)", "Fr. Schubert"]
        )
    }
    for name in ("Schumann Fantasie in C op 17", "Clara Schumann, arr. Brahms"):
        assert scores.is_held_out(name)
    named = tmp_path / "Schubert" / "D956_Quintet_in_C.mid"  # its file names no composer
    assert scores.split_of(named) == "test"
    splits = {name: scores.split_of(path) for name, path in by.items()}
    assert [name for name, split in splits.items() if split == "test"] == [
        "Robert Schumann",
        "Schumann, Robert",
        "Gabriel Fauré",
        "G. FAURE\u0301",
        "Faur&#233;",
        "Gabriel Faure (1845-1924)",
        "R. Schumann",
        "Schumann",
        "Fr. Schubert",
    ]


def test_composers_are_found_wherever_a_score_has_them(tmp_path):
    text = score(tmp_path / "plain.musicxml", composer="Franz Schubert").read_text()
    german = text.replace('type="composer"', 'type="composer" xml:lang="de"')
    assert german != text
    (tmp_path / "german.musicxml").write_text(german)
    wide = re.sub('encoding="[^"]*"', 'encoding="UTF-16"', text)
    (tmp_path / "wide.musicxml").write_text(wide, encoding="utf-16")
    with zipfile.ZipFile(tmp_path / "packed.mxl", "w") as archive:  # as the standard has it
        archive.writestr("mimetype", "application/vnd.recordare.musicxml")
        archive.writestr("META-INF/container.xml", "<container/>")
        archive.writestr("score.xml", text)
    for name in ("plain.musicxml", "german.musicxml", "wide.musicxml", "packed.mxl"):
        assert scores.composer(tmp_path / name) == "Franz Schubert"
    for name in ("schubert_d911.mid", "Brahms, Johannes/op49_4.mid"):  # MIDI has none
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"MThd")
        assert scores.split_of(path) == "test"
    (tmp_path / "song.mid").write_bytes(b"MThd")
    assert scores.split_of(tmp_path / "song.mid") != "test"


def test_scores_spoilt_or_strangely_named_have_a_split(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.mxl")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.xml", np.random.default_rng(0).bytes(9000).hex())
    data = bytearray(path.read_bytes())
    data[40:400] = bytes(360)
    path.write_bytes(data)
    assert scores.composer(path) == ""
    assert scores.split_of(path) in ("train", "valid")


NOTES = st.lists(
    st.tuples(st.floats(0, 20), st.floats(0.01, 3), st.integers(20, 110)),
    min_size=1,
    max_size=30,
)


@given(NOTES, st.integers(0, 2**32))
@settings(max_examples=60)
def test_any_melody_becomes_one_for_the_violin(rows, seed):
    melody, piano = performance.note_array(rows), performance.note_array(rows[::-1])
    rng = np.random.default_rng(seed)
    for notes in (
        arrangement.for_violin(melody),
        arrangement.vary(rng, arrangement.for_violin(melody), piano)[0],
    ):
        assert len(notes)
        assert notes["pitch"].min() >= arrangement.LOWEST
        assert notes["pitch"].max() <= arrangement.HIGHEST
        assert (np.diff(notes["onset"]) >= 0).all()


@given(NOTES, st.integers(0, 2**32))
@settings(max_examples=60)
def test_playing_keeps_the_notes_and_their_order_in_time(rows, seed):
    rng, notes = np.random.default_rng(seed), performance.note_array(rows)
    (human,) = performance.rubato(rng, [notes], 1.0)
    assert sorted(human["pitch"]) == sorted(notes["pitch"])
    assert (np.abs(human["onset"] - notes["onset"]) < 0.1 + 0.2 * notes["onset"]).all()
    for play in (performance.at_piano, performance.at_violin):
        played = play(rng, human, 20.0, 5.0)
        assert len(played.notes) == len(notes)
        assert played.notes["velocity"].min() >= 1
        assert played.notes["velocity"].max() <= 127
        assert (played.notes["duration"] > 0).all()
        assert np.isfinite(played.bend).all()


def test_a_violin_is_tuned_and_vibrates_around_its_tuning():
    notes = performance.note_array([(i, 1, 60 + i) for i in range(20)])
    bends = [
        performance.at_violin(np.random.default_rng(seed), notes, 20.0, 12.0).bend
        for seed in range(20)
    ]
    assert abs(np.median(bends) - 12) < 2
    spread = [np.ptp(bend) for bend in bends]
    assert min(spread) < 40 < max(spread) < 160


def test_a_key_struck_again_is_not_cut_by_its_first_release():
    notes = performance.note_array([(0, 2, 60), (1, 2, 60)])
    events = midi.timeline(notes, [], 5)
    assert [(sample, order) for sample, order, *_ in events] == [
        (0, midi.ON),
        (RATE, midi.OFF),
        (RATE, midi.ON),
        (3 * RATE, midi.OFF),
    ]


def test_a_pedal_holds_what_ends_while_it_is_down():
    notes = performance.note_array([(0, 1, 60), (2, 1, 62), (4, 1, 64)])
    pedal = [(0.5, True), (1.5, False), (4.5, True)]
    played = performance.Performance(notes, np.zeros(1), None, pedal)
    np.testing.assert_allclose(midi.held_on(played)["duration"], [1.5, 1, 5])


@pytest.mark.parametrize("name", ["strings", "bowed"])
def test_notes_sound_at_their_pitch_and_time(orchestra, name):
    catalogue = instruments.catalogue(orchestra, orchestra.parent)
    (violin,) = (i for i in catalogue["violin"] if i.name == name)
    keys = [58, 67, 76, 88]
    notes = performance.note_array([(0.5 + i, 0.8, key) for i, key in enumerate(keys)])
    steady = np.full(500, 20.0), np.full(500, 100.0)
    played = performance.Performance(notes, *steady, [])
    wave_TC = samplers.play(violin, np.random.default_rng(0), played, 5.0)
    assert wave_TC.shape == (5 * RATE, 2)
    assert wave_TC.dtype == np.float32
    assert np.abs(wave_TC[: RATE // 3]).max() < 1e-4 * np.abs(wave_TC).max()
    for i, key in enumerate(keys):
        begin = int((0.7 + i) * RATE)
        found = measure_pitch(wave_TC[begin : begin + RATE // 2, 0], RATE, key)
        assert abs(found.midi - key - 0.2) < 0.06, (key, found)


def test_a_piece_is_audible_whole_and_within_full_scale(orchestra, tmp_path):
    parts = scores.read(score(tmp_path / "a.musicxml", bars=12))
    catalogue = instruments.catalogue(orchestra, orchestra.parent)
    for seed in range(4):
        stems = pieces.render(np.random.default_rng(seed), parts, catalogue, (), options())
        waves = {kind: stem.wave_CT.astype(int) for kind, stem in stems.items()}
        assert waves["piano"].shape == waves["violin"].shape
        assert waves["piano"].shape[1] <= 8 * RATE
        assert all(wave.std() > 300 for wave in waves.values())
        assert np.abs(sum(waves.values())).max() <= 32767
        ratio = 20 * np.log10(waves["piano"].std() / waves["violin"].std())
        assert abs(ratio) < 7
        for stem in stems.values():
            assert (stem.notes["onset"] < 8).all()


def test_a_room_is_heard_after_the_last_note(orchestra, tmp_path):
    parts = scores.read(score(tmp_path / "a.musicxml", bars=2))
    catalogue = instruments.catalogue(orchestra, orchestra.parent)
    room_L = np.random.default_rng(0).normal(size=RATE) * np.exp(-np.arange(RATE) / 8000)
    room_L[0] = 1
    heard = []
    for rooms_RL in ((), room_L[None]):
        rng = np.random.default_rng(1)
        plain = options(variety=0.0, start=0.0, seconds=20.0)
        stem = pieces.render(rng, parts, catalogue, rooms_RL, plain)["piano"]
        end = (stem.notes["onset"] + stem.notes["duration"]).max()
        tail = stem.wave_CT[:, int((end + 0.35) * RATE) :].astype(float)
        heard.append(tail.std() / stem.wave_CT.std())
    assert heard[1] > 3 * heard[0]


def test_a_passage_without_one_part_is_refused(orchestra):
    melody = performance.note_array([(0, 1, 70)])
    piano = performance.note_array([(100, 1, 50)])
    catalogue = instruments.catalogue(orchestra, orchestra.parent)
    for parts in ((melody, piano), (melody[:0], piano), (melody, piano[:0])):
        for start in (0.0, None):
            with pytest.raises(UserError, match="nothing to play"):
                rng = np.random.default_rng(0)
                pieces.render(rng, parts, catalogue, (), options(start=start))


def test_both_play_in_short_composed_pieces():
    for seed in range(50):
        parts = etudes.duet(np.random.default_rng(seed), 4.0)
        assert all(map(len, parts))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("not toml", "not a TOML file"),
        ("[[piano]]\nname='a'\nlicence='b'\nmodel='bowed_string'", "has no [[violin]]"),
        ("violin = 3", "write [[violin]]"),
        ("[violin]\nname='a'", "write [[violin]]"),
        ("[[violin]]\nname='a'\nlicence='b'\nmodel='c'\nkind='d'", "kind is no setting"),
        ("[[flute]]\nname='a'", "[[flute]] is none of piano, violin"),
        ("[[violin]]\nname='a'\npath='b.sfz'", "has no licence"),
        ("[[violin]]\nname='a'\nlicence='b'\npath='b.sfz'", "b.sfz is missing"),
        ("[[violin]]\nname='a'\nlicence='b'", "needs either a path or a model"),
        ("[[violin]]\nname='a'\nlicence='b'\nmodel='c'\nwieght=3", "wieght is no setting"),
        (
            "[[violin]]\nname='a'\nlicence='b'\nmodel='c'\nweight='3'",
            "weight must be a number",
        ),
        (
            "[[violin]]\nname='a'\nlicence='b'\nmodel='c'\nweight=0",
            "weight must be above 0",
        ),
        ("[[violin]]\nname='a'\nlicence='b'\nmodel=''", "needs either a path or a model"),
        (
            "[[violin]]\nname='a'\nlicence='b'\nmodel='c'\nlowest=60\nhighest=65",
            "must span an octave",
        ),
    ],
)
def test_a_wrong_catalogue_is_told_in_one_line(tmp_path, text, complaint):
    path = tmp_path / "wrong.toml"
    if "violin" in text:
        text += "\n[[piano]]\nname='p'\nlicence='b'\nmodel='bowed_string'"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        instruments.catalogue(path, tmp_path)
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)


def command(*arguments, **kwargs):
    line = [sys.executable, "-m", "sep.data", "render", *map(str, arguments)]
    return subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs
    )


def finished(process) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def contents(folder: Path) -> dict:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_command_renders_resumes_and_repeats_itself(orchestra, tmp_path):
    score(tmp_path / "a song.musicxml")
    score(tmp_path / "Lied nach Ü.musicxml")
    (tmp_path / "spoilt.mxl").write_text("no score")
    shared = ["--instruments", orchestra, "--scores", tmp_path, "--seconds=3"]
    shared += ["--pieces=6", "--composed=0.2", "--seed=3", "--mixture"]
    first, second = tmp_path / "first", tmp_path / "second"
    killed = command(*shared, "--out", first, "--jobs=1", start_new_session=True)
    deadline = time.monotonic() + 60
    while not list(first.glob("*/manifest.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    done = {path: path.stat().st_mtime_ns for path in first.glob("*/manifest.json")}
    assert done
    status, out, err = finished(command(*shared, "--out", first, "--jobs=2"))
    assert status == 0, err
    assert "skipped" in err
    assert "spoilt.mxl: cannot be read as a score" in err
    assert "Traceback" not in err
    for path, time_ns in done.items():  # what was whole is not made again
        assert path.stat().st_mtime_ns == time_ns
    whole = contents(first)
    assert not [name for name in whole if name.endswith(".part")]
    status, _, err = finished(command(*shared, "--out", second, "--jobs=1"))
    assert status == 0, err
    assert contents(second) == whole
    rows = (first / "manifest.csv").read_text().splitlines()
    pieces_made = [p for p in first.iterdir() if p.is_dir()]
    assert len(rows) == 1 + 2 * len(pieces_made)
    for folder in pieces_made:
        facts = json.loads((folder / "manifest.json").read_text())
        assert facts["seed"] == 3
        assert set(facts["sources"]) == {"piano", "violin"}
        assert all(s["licence"] and s["sha256"] for s in facts["sources"].values())
        stems = [
            soundfile.read(folder / f"{s}.flac", dtype="int16")[0]
            for s in ("piano", "violin")
        ]
        mixture, rate = soundfile.read(folder / "mixture.flac", dtype="int16")
        assert rate == RATE
        np.testing.assert_array_equal(mixture, sum(stems))
    status, _, err = finished(command(*shared, "--out", first, "--seed=4"))
    assert status == 1
    assert "other instruments, seed or settings" in err
    for folder in pieces_made:  # what is gone is made again, and nothing else
        (folder / "mixture.flac").unlink()
    status, _, err = finished(command(*shared, "--out", first, "--nomixture"))
    assert (status, len(list(first.glob("*/mixture.flac")))) == (0, 0), err
    status, _, err = finished(command(*shared, "--out", first))
    assert status == 0, err
    assert contents(first) == whole
    twins = [*shared, "--composed=1", "--pieces=1"]
    for split, seed, expected in (("train", 3, 0), ("valid", 3, 1), ("valid", 4, 0)):
        status, _, err = finished(
            command(*twins, "--out", tmp_path / "data" / split, f"--seed={seed}")
        )
        assert status == expected, err
    (tmp_path / "spoilt.mxl").unlink()  # another plan
    status, _, err = finished(command(*shared, "--out", first))
    assert status == 1
    assert "is of another set" in err


def test_processes_end_with_a_command_that_is_killed(orchestra, tmp_path):
    line = ["--instruments", orchestra, "--out", tmp_path, "--seconds=3", "--jobs=2"]
    killed = command(*line, "--pieces=50", start_new_session=True)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("*/manifest.json")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    killed.kill()
    killed.wait()
    deadline = time.monotonic() + 60
    try:
        while time.monotonic() < deadline:
            os.killpg(killed.pid, 0)  # fails once all are gone
            time.sleep(0.05)
        os.killpg(killed.pid, signal.SIGKILL)
        pytest.fail("processes are left")
    except ProcessLookupError:
        pass
    killed.communicate()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (["--scores=/nowhere"], "/nowhere: no such score"),
        (["--instruments=/nowhere.toml"], "/nowhere.toml: no catalogue"),
        (["--pieces=0"], "at least 1"),
        (["--seed=-1"], "seed"),
        (["--rooms=/nowhere"], "/nowhere: no such folder"),
        (["--rooms=/dev"], "/dev: no such folder of impulse responses, or none in it"),
    ],
)
def test_wrong_flags_are_told_in_one_line(orchestra, tmp_path, change, complaint):
    line = ["--instruments", orchestra, "--out", tmp_path / "out", *change]
    status, _, err = finished(command(*line))
    assert status == 1
    assert complaint in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
