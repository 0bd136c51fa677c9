"""Records: work that is the same goes on, other work is refused or done again."""

import json

import pytest

from sep.errors import UserError
from sep.runtime.record import Record, identity, is_unchanged


def record(folder, **asked):
    return Record(folder / "record.json", asked)


def claim(of):
    return of.claim("was made otherwise", "choose another --out", "a list of rooms")


def test_the_same_work_matches_and_is_claimed(tmp_path):
    made = record(tmp_path, seed=1, rates=(8000, 16000))
    assert made.matching() is None and claim(made) is None
    made.write({"count": 3})
    found = {"seed": 1, "rates": [8000, 16000], "count": 3}
    assert json.loads(made.path.read_text()) == found
    assert made.matching() == claim(made) == found
    made.remove()
    made.remove()
    assert made.matching() is None


def test_other_work_does_not_match_and_is_refused(tmp_path):
    record(tmp_path, seed=1, rate=8000).write()
    other = record(tmp_path, seed=2, rate=8000)
    assert other.matching() is None
    message = r"was made otherwise \(seed was 1 and is 2\); choose another --out$"
    with pytest.raises(UserError, match=message):
        claim(other)


@pytest.mark.parametrize("text", ["", "[]", "3", "{", '{"a": 1'])
def test_damaged_records_do_not_match_and_are_refused(tmp_path, text):
    made = record(tmp_path, seed=1)
    made.path.write_text(text)
    assert made.matching() is None
    with pytest.raises(UserError, match=r"record\.json: is not a list of rooms; choose"):
        claim(made)


def test_files_are_compared_by_time_and_then_by_contents(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    was = identity(path)
    path.touch()
    assert is_unchanged(path, was)
    path.write_bytes(b"abd")
    assert not is_unchanged(path, was)
    path.unlink()
    with pytest.raises(OSError, match="a"):
        is_unchanged(path, was)
