"""Tests of examples/demo.py, with fewer training steps."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from compilation import optimised

from sep.model.names import DEFAULT_MODEL

DEMO = Path(__file__).parents[2] / "examples" / "demo.py"


@pytest.mark.slow
def test_demo_separates_scores_and_trains(tmp_path):
    command = [sys.executable, DEMO, f"--out={tmp_path}", "--steps=100"]
    done = subprocess.run(command, capture_output=True, text=True, env=optimised())
    assert done.returncode == 0, done.stderr
    stems = sorted(path.name for path in (tmp_path / "stems/mixture").iterdir())
    assert stems == ["piano.wav", "separation.json", "violin.wav"]
    with (tmp_path / "scores/results.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["system"] == DEFAULT_MODEL]
    gains = [float(row["value"]) for row in rows if row["metric"] == "si_sdri"]
    assert len(gains) == 2
    assert min(gains) > 7
    assert (tmp_path / "scores/page/index.html").is_file()
    (log,) = tmp_path.glob("run-*/metrics.jsonl")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(lines) == 100
    assert lines[-1]["loss"] < lines[0]["loss"] - 3
