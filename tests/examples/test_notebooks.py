"""Tests of the notebooks: the committed outputs are small, and are those of the code."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from compilation import optimised

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("nbclient")

ROOT = Path(__file__).parents[2]
NAMES = ("compare", "fnn_waveform", "wave_to_spectrogram")
TRAINS = ("fnn_waveform",)
MAX_BYTES = 500_000  # of a committed notebook
NUMBER = re.compile(r"[-+−]?\d+(?:\.\d+)?")


def committed(name):
    return nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)


def run(folder, *flags):
    """Runs run.py in a copy of the notebooks, as a user calls it."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, folder / "run.py", *flags],
        env=optimised() | {"PYTHONPATH": path, "JAX_PLATFORMS": "cpu"},
        encoding="utf-8",
        capture_output=True,
    )


@pytest.fixture
def copy(tmp_path):
    """A copy of notebooks/, without files that earlier runs wrote."""
    ignored = shutil.ignore_patterns("scores", ".*", "__pycache__")
    return shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks", ignore=ignored)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def kinds(cell):
    """Type and formats of each output of a cell."""
    return [(out.output_type, sorted(out.get("data", {}))) for out in cell.outputs]


def text(cell):
    """Text of the outputs of a cell."""
    shown = [(out.get("data", {}), out.get("text", "")) for out in cell.outputs]
    return "\n".join(
        data.get("text/markdown") or data.get("text/plain") or printed
        for data, printed in shown
    )


def write(path, *cells):
    """Writes a notebook of code cells, as an editor would save it."""
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
        metadata={"language_info": {"name": "python", "version": "3.0"}, "seen": "today"},
    )
    nbformat.write(notebook, path)


def test_all_notebooks_are_tested():
    assert tuple(sorted(p.stem for p in (ROOT / "notebooks").glob("*.ipynb"))) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_committed_notebook_is_small_and_was_run_in_order(name):
    path = ROOT / "notebooks" / f"{name}.ipynb"
    assert path.stat().st_size < MAX_BYTES
    notebook = committed(name)
    nbformat.validate(notebook)
    counts = [cell.execution_count for cell in code(notebook)]
    assert counts == list(range(1, len(counts) + 1))
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert not any(cell.metadata for cell in notebook.cells)
    outputs = [out for cell in code(notebook) for out in cell.outputs]
    assert {out.output_type for out in outputs} <= {"display_data", "execute_result"}
    assert sum("image/jpeg" in out.data for out in outputs) >= 2
    sounds = [out for out in outputs if "hear" in out.data.get("text/plain", "")]
    assert sounds and all(set(out.data) == {"text/plain"} for out in sounds)
    shown = "\n".join(text(cell) for cell in code(notebook))
    assert not re.search(r"/tmp|/home|/Users|\d\d:\d\d", shown)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_notebook_runs_with_the_committed_outputs(name, copy):
    done = run(copy, f"--only={name}")
    assert done.returncode == 0, done.stderr
    found = nbformat.read(copy / f"{name}.ipynb", as_version=4)
    kept = committed(name)
    assert [cell.source for cell in found.cells] == [cell.source for cell in kept.cells]
    for new, old in zip(code(found), code(kept), strict=True):
        assert kinds(new) == kinds(old), new.source
        assert NUMBER.sub("#", text(new)) == NUMBER.sub("#", text(old))
        # Other processors round differently, and training amplifies the differences.
        pairs = zip(NUMBER.findall(text(new)), NUMBER.findall(text(old)), strict=True)
        for pair in pairs:
            found, expected = (float(number.replace("−", "-")) for number in pair)
            tolerance = 0.1 + 1e-3 * abs(expected)
            if name in TRAINS:
                tolerance = 1.5 + 0.1 * abs(expected)
            assert abs(found - expected) <= tolerance, (pair, text(new))


@pytest.mark.slow
def test_run_with_the_same_outputs_leaves_the_file_unchanged(copy):
    path = copy / "sound.ipynb"
    write(
        path,
        "import sys\nfrom show import Players, duet\nprint(1, flush=True)\nprint(2)\n"
        "print('progress', file=sys.stderr)\nprint(3)",
        "sounds = Players(duet(1, 2))\nprint(len(sounds._repr_html_()) > 100_000)\nsounds",
    )
    assert run(copy, "--only=sound").returncode == 0
    first, second = code(nbformat.read(path, as_version=4))
    assert [(out.name, out.text) for out in first.outputs] == [("stdout", "1\n2\n3\n")]
    assert second.outputs[0].text == "True\n"
    assert second.outputs[1].data == {
        "text/plain": "Sound (mixture, piano, violin): run the notebook to hear it."
    }
    saved = path.read_bytes()
    assert b"3.0" not in saved and b"today" not in saved
    assert run(copy, "--only=sound").returncode == 0
    assert path.read_bytes() == saved


@pytest.mark.slow
def test_failing_notebook_is_reported_and_not_saved(copy):
    path = copy / "bad.ipynb"
    write(path, "a = 0", "1 / a")
    before = path.read_bytes()
    done = run(copy, "--only=bad")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "error: bad, cell 2: ZeroDivisionError: division by zero"
    )
    assert path.read_bytes() == before
    assert not list(copy.glob(".*.part"))


def test_unknown_notebook_is_refused(copy):
    done = run(copy, "--only=compare,contrast")
    assert done.returncode == 1
    assert done.stderr == f"error: unknown notebook contrast; known: {', '.join(NAMES)}\n"
