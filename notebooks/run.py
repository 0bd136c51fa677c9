r"""Runs notebooks and saves them with their outputs.

  python notebooks/run.py
  python notebooks/run.py --only=compare

Each runs in a new kernel, in this folder. Text and pictures are saved, but no times,
versions and sounds: a run with the same results leaves the file unchanged. A notebook with
an error is not saved. `make notebooks` runs all of them.
"""

import sys
from pathlib import Path

import nbformat
from absl import flags
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from traitlets.config import Config

from sep import cli
from sep.errors import UserError
from sep.runtime.files import replacing
from sep.runtime.progress import progress_bar

_ONLY = flags.DEFINE_list("only", [], "Names of notebooks; default: all.")

FOLDER = Path(__file__).resolve().parent


def main(argv: list[str]) -> None:
    """Runs and saves the notebooks."""
    cli.expect_no_arguments(argv)
    paths = {path.stem: path for path in sorted(FOLDER.glob("*.ipynb"))}
    if unknown := set(_ONLY.value) - set(paths):
        raise UserError(f"unknown notebook {min(unknown)}; known: {', '.join(paths)}")
    for name in _ONLY.value or paths:
        notebook = nbformat.read(paths[name], as_version=4)
        execute(notebook, name)
        with replacing(paths[name]) as part:
            nbformat.write(clean(notebook), part)


def execute(notebook: NotebookNode, name: str) -> None:
    """Runs all cells in a new kernel and replaces their outputs.

    Raises:
      UserError: a cell fails; its traceback is printed to standard error.
    """
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        resources={"metadata": {"path": str(FOLDER)}},
        config=Config(KernelManager={"transport_encryption": "auto"}),
    )
    cells = list(enumerate(notebook.cells))
    with client.setup_kernel():
        for number, cell in progress_bar(cells, desc=name, unit="cell"):
            try:
                client.execute_cell(cell, number)
            except CellExecutionError as error:
                print(error.traceback, file=sys.stderr)
                reason = f"{error.ename}: {error.evalue}"
                raise UserError(f"{name}, cell {number + 1}: {reason}") from None


def clean(notebook: NotebookNode) -> NotebookNode:
    """Removes from a notebook all that differs between runs with the same results.

    Sounds are removed too: they would be most of the file, and few viewers play them.

    Returns:
      The notebook, which is changed in place.
    """
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = joined(cell.outputs)
            for output in cell.outputs:
                if "data:audio/" in output.get("data", {}).get("text/html", ""):
                    del output.data["text/html"]
    return notebook


def joined(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Removes standard error, which has progress only, and joins what was printed.

    Text arrives in pieces that differ between runs.
    """
    found: list[NotebookNode] = []
    for output in outputs:
        if output.get("name") == "stderr":
            continue
        before = found[-1] if found else {}
        if output.output_type == "stream" and output.name == before.get("name"):
            before.text += output.text
        else:
            found.append(output)
    return found


if __name__ == "__main__":
    cli.launch(main)
