r"""Runs notebooks and saves them with what they showed.

  python notebooks/run.py
  python notebooks/run.py --only=compare

Each runs from a fresh start, in its own folder. Saved are numbers and pictures, without
times, versions and sounds, so that a run that shows the same changes nothing. A notebook
with an error stays as it was. (make notebooks does this to all of them.)
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
    """What the command does once its flags are parsed."""
    cli.expect_no_arguments(argv)
    paths = {path.stem: path for path in sorted(FOLDER.glob("*.ipynb"))}
    if unknown := set(_ONLY.value) - set(paths):
        raise UserError(f"no notebook {min(unknown)}; there are {', '.join(paths)}")
    for name in _ONLY.value or paths:
        notebook = nbformat.read(paths[name], as_version=4)
        execute(notebook, name)
        with replacing(paths[name]) as part:
            nbformat.write(clean(notebook), part)


def execute(notebook: NotebookNode, name: str) -> None:
    """Runs all cells in a new kernel; their outputs take the place of the old.

    Raises:
      UserError: a cell fails; its traceback is on standard error.
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
    """The same notebook, changed: without what differs from run to run and is no result.

    Sounds go too: they would be nearly all of the file, and hardly a viewer plays them.
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
    """Outputs without progress, and with what was printed in one piece.

    It comes in pieces of chance. Progress is all that goes to standard error.
    """
    found = []
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
