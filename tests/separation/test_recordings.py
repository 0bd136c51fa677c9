"""Recordings that inputs refer to, and the folders of their stems."""

from pathlib import Path

import pytest

from sep.errors import UserError
from sep.separation.recordings import plan_tasks


def touch(*paths):
    for path in map(Path, paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def folders(inputs, out):
    """Recording -> folder of its stems, relative to `out`."""
    return {
        str(task.recording): str(task.folder.relative_to(out))
        for task in plan_tasks(inputs, out)
    }


def test_folders_and_patterns_keep_the_tree(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    touch("in/a.wav", "in/deep/b.flac", "in/deep/er/a.wav", "in/[x].wav", "in/notes.txt")
    tree = {
        "in/[x].wav": "[x]",
        "in/a.wav": "a",
        "in/deep/b.flac": "deep/b",
        "in/deep/er/a.wav": "deep/er/a",
    }
    out = Path("out")
    assert folders(["in"], out) == folders(["in/**/*"], out) == tree
    assert folders(["in/[x].wav"], out) == {"in/[x].wav": "[x]"}  # the file exists
    assert folders(["in/*.wav"], out) == {"in/[x].wav": "[x]", "in/a.wav": "a"}
    assert folders(["in/**/a.wav", "in/a.wav"], out) == {
        "in/a.wav": "a",
        "in/deep/er/a.wav": "deep/er/a",
    }
    with pytest.raises(UserError, match=r"in/\*\.txt: no sound file matches"):
        plan_tasks(["in/*.txt"], out)


@pytest.mark.parametrize("name", ["...wav", "..wav", ".....flac"])
def test_names_of_dots_stay_below_out(tmp_path, name):
    touch(tmp_path / name)
    assert folders([str(tmp_path / name)], tmp_path / "out") == {str(tmp_path / name): name}


def test_links_to_folders_are_not_followed(tmp_path):
    touch(tmp_path / "in" / "a.wav")
    (tmp_path / "in" / "round").symlink_to(tmp_path / "in", target_is_directory=True)
    (tmp_path / "in" / "again").symlink_to(tmp_path / "in", target_is_directory=True)
    (tmp_path / "in" / "self").symlink_to("self")
    for given in ("in", "in/**/*.wav"):
        found = folders([str(tmp_path / given)], tmp_path / "out")
        assert list(found.values()) == ["a"]


def test_stems_of_an_earlier_run_are_no_recordings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    touch("in/a.wav", "in/stems/a/piano.wav")
    for given in ("in", "in/**/*.wav", "**/*.wav"):
        assert list(folders([given], Path("in/stems"))) == ["in/a.wav"]
    for out in ("in", "."):
        assert list(folders(["in/*.wav"], Path(out))) == ["in/a.wav"]
    assert list(folders(["in/**/*.wav"], Path("."))) == ["in/a.wav", "in/stems/a/piano.wav"]
    with pytest.raises(UserError, match=r"in/\*\*/\*.wav: stems would mix"):
        plan_tasks(["in/**/*.wav"], Path("in"))


def test_names_that_differ_in_case_only_get_different_folders(tmp_path):
    inputs = [str(tmp_path / name) for name in ("one/Song.wav", "two/song.wav")]
    touch(*inputs)
    assert list(folders(inputs, tmp_path / "o").values()) == ["Song", "song (2)"]
