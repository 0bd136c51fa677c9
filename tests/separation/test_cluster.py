"""--engine=ray: real nodes, one of which is lost."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from small_model import save_small_model

pytest.importorskip("ray")
HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RECORDINGS = 50


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a model and recordings."""
    folder = tmp_path_factory.mktemp("cluster")
    save_small_model(folder / "small.safetensors")
    (folder / "in").mkdir()
    for number in range(RECORDINGS):
        random = np.random.default_rng(number)
        wave_TC = 0.1 * random.standard_normal((40_000 + 3000 * number, 2))
        soundfile.write(folder / "in" / f"{number:02}.wav", wave_TC, 22050)
    return folder


def run(folder, *words):
    """The lines of JSON that a command prints, the summary last."""
    variables = {"JAX_PLATFORMS": "cpu", "JAX_COMPILATION_CACHE_DIR": str(folder / "jax")}
    done = subprocess.run(
        [sys.executable, *words, "--model=small.safetensors", "--json", "in"], cwd=folder,
        env=os.environ | variables, capture_output=True, encoding="utf-8", timeout=250,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def stems(out):
    return {path.relative_to(out): path.read_bytes() for path in out.rglob("*.wav")}


@pytest.mark.slow
def test_with_two_nodes_one_of_them_killed_all_is_done_once_and_as_on_one_machine(folder):
    separate = ROOT / "separate.py"
    code, _ = run(folder, separate, "--out=local")
    assert code == 0
    code, (*lines, last) = run(folder, HERE / "two_nodes.py", "10", "--out=cluster")
    assert code == 0
    assert sorted(line["recording"] for line in lines) == sorted(
        f"in/{path.name}" for path in (folder / "in").iterdir()
    )
    assert {line["status"] for line in lines} == {"done"}
    assert last["summary"]["done"] == RECORDINGS
    assert stems(folder / "cluster") == stems(folder / "local")
    left = [p for p in (folder / "cluster").rglob("*") if p.name.startswith(".")]
    assert not left
    # An interrupted catalogue goes on, there or here: the manifest is the same.
    (folder / "cluster" / "07" / "violin.wav").unlink()
    code, lines = run(folder, separate, "--out=cluster", "--skip_existing")
    assert lines[-1]["summary"]["skipped"] == RECORDINGS - 1


def test_without_ray_the_error_names_it(tmp_path):
    code = (
        "import sys\nsys.modules['ray'] = None\nfrom sep.cli import separate\n"
        "sys.argv = ['separate.py', '--engine=ray', 'x.wav']\nseparate.run()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 1
    cure = "pip install '.[cluster]' in Sep's folder"
    assert done.stderr == f"error: --engine=ray needs Ray: {cure}\n"


def test_a_cluster_that_is_not_there_is_told(tmp_path):
    soundfile.write(tmp_path / "x.wav", np.zeros(100), 16000)
    separate = ROOT / "separate.py"
    done = subprocess.run(
        [sys.executable, separate, "--engine=ray", "--address=127.0.0.1:9", "x.wav"],
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: --address=127.0.0.1:9: no Ray")
