"""The plan of a study: cells, budgets, folders that contain one study or one run."""

import json
import runpy
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from studies import RATE, study_in

from sep import audio
from sep.errors import UserError
from sep.runtime.settings import changed
from sep.study import excerpt
from sep.study.cell import with_steps
from sep.study.plan import Budget, Cell, cells, names_among
from sep.training.settings import RunSettings

CONFIGS = Path(__file__).parents[2] / "configs"


def test_cells_are_pairs_times_seeds():
    found = cells([("mel", "fnn"), ("mdct", "lstm")], range(2))
    assert found[:2] == [Cell("mel", "fnn", 0), Cell("mdct", "lstm", 0)]
    assert [cell.seed for cell in found] == [0, 0, 1, 1]
    assert len({cell.name for cell in found}) == 4
    assert names_among("representation", [], ["a", "b"]) == ["a", "b"]
    with pytest.raises(UserError, match="unknown representation 'c'; known: a, b"):
        names_among("representation", ["c"], ["b", "a"])


def test_budgets_determine_steps():
    run = RunSettings()
    found = with_steps(run, Budget(None, 2.0), 1e9, 10)
    assert found == changed(run, {"train.steps": 2000, "train.eval_every": 200})
    assert with_steps(run, Budget(7, None), 1e9, 10).train.eval_every == 1
    assert Budget(None, 2.0).share(0.1) == Budget(None, pytest.approx(0.2))
    assert Budget(30, None).share(0.1) == Budget(3, None)


def test_a_folder_contains_one_study(tmp_path):
    study = study_in(tmp_path)
    study.claim()
    study.claim()
    older = json.loads((tmp_path / "study.json").read_text())
    # Of a version without this setting and this architecture.
    del older["config"]["model"]["level_free"]
    del older["config"]["model"]["harmonic"]
    (tmp_path / "study.json").write_text(json.dumps(older))
    study.claim()
    with_changes = partial(changed, study.settings)
    study._replace(settings=with_changes({"seed": 7})).claim()  # each cell has a seed
    elsewhere = {"data.cache": "/elsewhere", "data.workers": 7}
    study._replace(settings=with_changes(elsewhere)).claim()
    others = {
        r"budget was \[5, None\] and is \[6, None\]; rates was \[0.001\] and is": {
            "budget": Budget(6, None),
            "rates": (1e-2,),
        },
        r"\(config.data.solos was 0.0 and is 0.3\); use its settings": {
            "settings": with_changes({"data.solos": 0.3})
        },
        r"tests.B was None and is .*; tests.A|tests.A was .* and is None; tests.B": {
            "tests": {"B": tmp_path / "test"}
        },
    }
    for message, changes in others.items():
        with pytest.raises(UserError, match=message):
            study._replace(**changes).claim()


def test_a_cells_folder_contains_one_run(tmp_path):
    job = study_in(tmp_path).job(Cell("mel", "fnn", 0), 1e-3)
    assert job.result is None
    job.claim()
    job.claim()
    elsewhere = {"data.cache": "/elsewhere", "data.workers": 7}
    job._replace(settings=changed(job.settings, elsewhere)).claim()
    other = job._replace(settings=changed(job.settings, {"seed": 1}))
    for refuses in (other.claim, lambda: other.result):
        with pytest.raises(UserError, match="mel-fnn-0: contains a run with another"):
            refuses()


def test_missing_files_are_named_before_anything_is_trained(tmp_path):
    study, wave_CT = study_in(tmp_path), np.full((1, 9000), 0.1)
    with pytest.raises(UserError, match="data/train: no such folder"):
        study.check()
    for name in ("piano", "violin"):
        for split in ("train", "valid"):
            audio.write(tmp_path / "data" / split / name / "a.wav", wave_CT, RATE)
    for name in ("song/mixture", "song/piano", "song/violin", "tune/mixture"):
        audio.write(tmp_path / "test" / f"{name}.wav", wave_CT, RATE)
    with pytest.raises(UserError, match=r"tune/piano\.\*: this file .* is missing"):
        study.check()
    for name in ("piano", "violin"):
        audio.write(tmp_path / "test/tune" / f"{name}.wav", wave_CT, RATE)
    study.check()


def test_the_excerpt_appears_complete_or_not_at_all(tmp_path):
    study, track = study_in(tmp_path), tmp_path / "test/song"
    waves = {
        name: np.full((1, 9000), 0.1 * n) for n, name in enumerate(("piano", "violin"))
    }
    waves["mixture"] = sum(waves.values())
    for name in ("mixture", "piano"):
        audio.write(track / f"{name}.wav", waves[name], RATE, "FLOAT")
    with pytest.raises(UserError, match="violin.*: this file of the track is missing"):
        excerpt.write(study, None, 0.25)
    assert not study.excerpt.exists()
    audio.write(track / "violin.wav", waves["violin"], RATE, "FLOAT")
    excerpt.write(study, None, 0.25)
    for name, wave_CT in waves.items():
        part_CT, rate = audio.read(study.excerpt / "song" / f"{name}.wav")
        np.testing.assert_allclose(part_CT, wave_CT[:, 3500:5500], atol=1e-6)
        assert rate == RATE
    excerpt.write(study, track, 0.25)
    with pytest.raises(UserError, match="excerpt: contains an excerpt of another track"):
        excerpt.write(study, tmp_path / "test/other", 0.25)


@pytest.mark.parametrize("name", ["original_waveform", "original_magnitude"])
def test_the_original_networks_differ_from_the_others_only_in_the_network(name):
    study, original = (
        runpy.run_path(str(CONFIGS / f"{file}.py"))["get_config"]().to_dict()
        for file in ("study", name)
    )
    for part in ("data", "train", "separation"):
        assert study[part] == original[part]
