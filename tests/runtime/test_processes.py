"""Calls in processes of their own: results, errors and deaths."""

import os

import pytest

from sep.errors import UserError
from sep.runtime import processes


def test_results_of_calls_are_yielded(capsys):
    calls = [("/a/b",), ("/c/d",)]
    found = processes.results(os.path.basename, calls, 2, doing="naming", unit="path")
    assert sorted(found) == ["b", "d"]
    assert "naming" in capsys.readouterr().err


def test_a_dead_process_is_reported_in_one_line(capsys):
    calls = processes.results(os._exit, [(9,)], 1, doing="naming", unit="path")
    with pytest.raises(UserError, match="^a process died while naming .*same command"):
        list(calls)


def test_calls_of_their_own_yield_results_errors_and_deaths():
    found = {}
    for function, argument in ((os.path.basename, "/a/b"), (os.listdir, "/none")):
        for _, result, error in processes.each_alone(function, [(argument,)], 1):
            found[function] = result, error
    assert found[os.path.basename] == ("b", None)
    result, error = found[os.listdir]
    assert result is None and "No such file or directory: '/none'" in str(error)
    ((number, result, error),) = processes.each_alone(os._exit, [(9,)], 1)
    assert (number, result) == (0, None)
    assert str(error) == "its process died with status 9 (out of memory?)"


def test_cores_are_shared_among_processes(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 5}, raising=False)
    assert processes.shares_of_cores(2) == [{0, 2}, {1, 5}]
    assert processes.shares_of_cores(5)[4] == {0, 1, 2, 5}  # more processes than cores
    monkeypatch.delattr(os, "sched_getaffinity")
    assert processes.shares_of_cores(2) == [None, None]
