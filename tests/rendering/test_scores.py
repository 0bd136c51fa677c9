"""Scores: reading them, their composers, and the split that each belongs to."""

import os
import re
import zipfile

import numpy as np
import pytest
from small_score import write_score

from sep.errors import UserError
from sep.rendering import dataset, scores


def test_a_score_is_read_into_its_two_parts(tmp_path):
    melody, piano = scores.read(write_score(tmp_path / "a.musicxml"))
    assert melody["pitch"][:4].tolist() == [69, 71, 72, 74]
    np.testing.assert_allclose(np.diff(melody["onset"]), 60 / 90)
    np.testing.assert_allclose(melody["duration"], 60 / 90)
    assert piano["pitch"][:3].tolist() == [48, 52, 55]
    assert len(piano) == 3 * len(melody)


def test_a_piano_is_recognised_by_its_chords_where_none_is_named(tmp_path):
    named, _ = scores.read(write_score(tmp_path / "a.musicxml"))
    melody, _ = scores.read(write_score(tmp_path / "b.musicxml", first="I", second="II"))
    np.testing.assert_array_equal(melody, named)


@pytest.mark.parametrize(
    ("name", "content"),
    [("text.mxl", b"not a zip"), ("empty.musicxml", b""), ("text.mid", b"no midi")],
)
def test_a_corrupt_score_is_named(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match="cannot be read as a score") as error:
        scores.read(path)
    assert name in str(error.value)
    assert "\n" not in str(error.value)


def test_a_score_without_a_melody_is_named(tmp_path):
    path = write_score(tmp_path / "solo.musicxml", first="Piano I", second="Piano II")
    with pytest.raises(UserError, match="no playable melody with piano"):
        scores.read(path)


def test_scores_are_found_in_folders(tmp_path):
    song = write_score(tmp_path / "song.xml")
    (tmp_path / "more").mkdir()
    tune = tmp_path / "more" / "tune.MID"
    tune.write_bytes(b"MThd")
    (tmp_path / "notes.txt").write_text("no score")
    assert scores.find([str(tmp_path), str(song)]) == [tune, song, song]
    with pytest.raises(UserError, match="notes.txt: no scores here"):
        scores.find([str(tmp_path / "notes.txt")])
    with pytest.raises(UserError, match="/nowhere: no such score"):
        scores.find(["/nowhere"])


def test_scores_of_one_split_are_chosen(tmp_path):
    write_score(tmp_path / "a.xml", composer="Brahms")
    write_score(tmp_path / "b.xml")
    assert dataset.find_scores([str(tmp_path)], None) == scores.find([str(tmp_path)])
    assert dataset.find_scores([str(tmp_path)], "test") == [tmp_path / "a.xml"]
    assert dataset.find_scores([], "test") == []
    with pytest.raises(UserError, match="no score belongs to the split train"):
        dataset.find_scores([str(tmp_path / "a.xml")], "train")


def test_held_out_composers_are_for_testing_only(tmp_path):
    by = {
        name: write_score(tmp_path / f"{i}.musicxml", composer=name)
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


def test_composers_are_found_in_every_kind_of_file(tmp_path):
    text = write_score(tmp_path / "plain.musicxml", composer="Franz Schubert").read_text()
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


def test_corrupt_or_strangely_named_scores_have_a_split(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.mxl")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.xml", np.random.default_rng(0).bytes(9000).hex())
    data = bytearray(path.read_bytes())
    data[40:400] = bytes(360)
    path.write_bytes(data)
    assert scores.composer(path) == ""
    assert scores.split_of(path) in ("train", "valid")
