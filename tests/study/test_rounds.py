"""Probes choose learning rates; cells run once, and fail alone."""

import json
import os

import numpy as np
import pytest
from calls import answer, cores, grown
from studies import study_in

from sep.errors import Diverged, UserError
from sep.runtime import processes
from sep.runtime.processes import each_alone
from sep.study import rounds
from sep.study.memory import peak_memory_mb
from sep.study.plan import RESULT, Cell, cells


def chosen(outcome, monkeypatch, study, architectures=("fnn", "lstm")):
    """Rates that are chosen if `outcome(architecture, rate)` is that of each probe."""

    def outcomes(titled, jobs, commit):
        return [
            outcome(job.settings.model.architecture, job.settings.train.learning_rate)
            for _, job in titled
        ]

    monkeypatch.setattr(rounds, "outcomes", outcomes)
    planned = cells([("mel", name) for name in architectures], range(1))
    return rounds.chosen_rates(study, planned, {}, 1, "")


def test_the_best_probe_chooses_the_rate(tmp_path, monkeypatch):
    def outcome(architecture, rate):
        if rate == 1.0:
            return None, Diverged("no finite gradient")
        score = rate if architecture == "fnn" else -rate
        return {"curve": [[0.1, 0.0], [0.2, score]]}, None

    found = chosen(outcome, monkeypatch, study_in(tmp_path, (1e-3, 1e-2, 1.0)))
    assert found == {"fnn": 1e-2, "lstm": 1e-3}
    assert json.loads((tmp_path / "rates.json").read_text()) == found


def test_probes_that_fail_choose_nothing(tmp_path, monkeypatch):
    def outcome(architecture, rate):
        if (architecture, rate) == ("lstm", 1e-2):
            return None, UserError("its process died")
        return {"curve": [[0.1, 5.0]]}, None

    study = study_in(tmp_path, (1e-3, 1e-2))
    with pytest.raises(UserError, match="^its process died$"):
        chosen(outcome, monkeypatch, study)
    assert json.loads((tmp_path / "rates.json").read_text()) == {"fnn": 1e-3}
    with pytest.raises(UserError, match="^lstm diverges with all --rates; choose lower"):
        chosen(lambda *_: (None, Diverged("")), monkeypatch, study)


def test_a_single_rate_needs_no_probe(tmp_path, monkeypatch):
    found = chosen(None, monkeypatch, study_in(tmp_path))
    assert found == {"fnn": 1e-3, "lstm": 1e-3}


def test_cells_run_once_and_fail_alone(tmp_path, monkeypatch, capsys):
    study = study_in(tmp_path)
    planned = cells([("mel", "fnn"), ("mel", "lstm"), ("mel", "rnn")], [0])
    rates = {"fnn": 1e-3, "lstm": 1e-3, "rnn": 1e-3}
    done = study.job(planned[0], 1e-3)
    done.claim()
    (done.folder / RESULT).write_text('{"steps": 5}')
    errors = {"rnn": Diverged("no finite gradient")}
    ran = []

    def each(function, calls, jobs):
        for number, (job, commit) in enumerate(calls):
            name = job.settings.model.architecture
            ran.append((name, commit, jobs))
            yield number, None if name in errors else {}, errors.get(name)

    monkeypatch.setattr(processes, "each_alone", each)
    (error,) = rounds.train(study, planned, rates, 2, "abc")
    assert ran == [("lstm", "abc", 2), ("rnn", "abc", 2)]
    assert isinstance(error, Diverged)
    assert str(error) == "cell 3 of 3: rnn on mel, seed 0: no finite gradient"
    output = capsys.readouterr().out
    assert "cell 1 of 3" not in output and "cell 2 of 3: lstm on mel, seed 0\n" in output
    assert "failed: cell 3 of 3: rnn on mel" in output
    errors["rnn"] = RuntimeError("a fault in the program")
    with pytest.raises(RuntimeError, match="a fault in the program"):
        rounds.train(study, planned, rates, 2, "abc")


def test_a_report_needs_a_finished_cell(tmp_path):
    study = study_in(tmp_path)
    with pytest.raises(UserError, match="no cell is finished"):
        rounds.report(study)
    folder = study.place(Cell("mel", "fnn", 0))
    folder.mkdir(parents=True)
    result = {"representation": "mel", "architecture": "fnn", "seed": 0, "steps": 5}
    (folder / RESULT).write_text(json.dumps(result))
    assert study.finished() == {Cell("mel", "fnn", 0): result}


def test_processes_share_the_cores_and_fail_alone():
    found = sorted(each_alone(answer, [(3,), (-1,), (7,)], 2))
    numbers, results, errors = zip(*found, strict=True)
    assert numbers == (0, 1, 2)
    assert results[1:] == (None, None)
    value, process = results[0]
    assert value == 4 and process != os.getpid()
    negative, mistake = filter(None, errors)
    assert str(negative) == "negative" and isinstance(mistake, RuntimeError)
    for part in ("in answer", "StrangeError: 1 and 2"):  # the traceback and the message
        assert part in str(mistake)
    if hasattr(os, "sched_getaffinity"):
        shares = [share for _, share, _ in each_alone(cores, [(0,), (1,)], 2)]
        mine = os.sched_getaffinity(0)
        assert set.union(*shares) == mine
        assert len(mine) < 2 or not set.intersection(*shares)


def test_a_peak_of_memory_is_that_of_its_own_process():
    held = np.ones(50_000_000)  # 400 MB, of this process
    (_, (before, after), error), *_ = each_alone(grown, [(0,)], 1)
    assert error is None and held.nbytes == 400e6
    assert peak_memory_mb() > after + 100
    assert 150 < after - before < 300
