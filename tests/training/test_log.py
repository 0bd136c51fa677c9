"""The log of a run: cut back, written, and the line on its speed."""

import io

import pytest

from sep.errors import UserError
from sep.training.log import Log, throughput


def test_a_log_is_cut_back_to_the_restored_step(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "x": 3}\n{"step": 2, "x": 2}\n{"step": 3}\n{"st')
    log = Log(path, 2)
    assert path.read_text() == '{"step": 1, "x": 3}\n{"step": 2, "x": 2}\n'
    assert log.values("x") == [3, 2]
    log.write({"step": 3, "x": float("nan")})
    log.close()
    assert path.read_text().endswith('{"step": 3, "x": null}\n')
    log = Log(tmp_path / "none.jsonl", 2)
    assert log.values("x") == []
    log.close()


def test_a_log_that_cannot_be_written_is_an_error_of_one_line(tmp_path, monkeypatch):
    class Full(io.StringIO):
        name = "metrics.jsonl"

        def flush(self):
            raise OSError(28, "No space left on device")

    log = Log(tmp_path / "metrics.jsonl", 0)
    log.close()
    monkeypatch.setattr(log, "_file", Full())
    with pytest.raises(UserError, match=r"metrics\.jsonl: cannot be written \(No space"):
        log.write({"step": 1})


def test_throughput_and_the_time_that_is_left_are_one_line():
    assert throughput(0.5, 48.0, 7200) == (
        "0.50 s a step, 96.0 hours of audio an hour; 7200 more steps take 1 h 00 min "
        "without validation"
    )
