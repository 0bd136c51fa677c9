"""Takes one training step as one of several processes; saves its rows and the gradient.

python one_of_many.py PORT PROCESS PROCESSES FOLDER (run by test_devices.py)
"""

import sys
from pathlib import Path

import jax
import numpy as np
import optax
from builders import small_run
from flax.traverse_util import flatten_dict
from untrained import filled

from sep.data import pipeline, stems
from sep.model.separator import build
from sep.runtime.settings import changed
from sep.training import devices
from sep.training.step import init_state, make_train_step, mix_of

NAMES = ("piano", "violin")
RATE = 1e4  # learning rate: parameters move by so many gradients, with little rounding


def main(port: int, process: int, processes: int, folder: Path) -> None:
    """Writes FOLDER/PROCESS_of_PROCESSES.npz."""
    if processes > 1:
        devices.connect(f"localhost:{port}", process, processes)
    run = changed(
        small_run(1, "magnitude", "fnn"),
        {
            "data.batch_size": 8,
            "data.crop_seconds": 0.05,
            "data.cache": str(folder / f"cache-{processes}"),
            "train.accumulate": 2,
        },
    )
    found = stems.load(
        folder / "data" / "train", NAMES, 44100, run.data.cache,
        strict=True, missing_is_silence=False,
    )  # fmt: skip
    mesh = devices.data_mesh()
    assert mesh.size == 4 or processes == 1
    separator, optimiser = build(run.model), optax.sgd(RATE)
    rooms_RL = np.zeros((0, 100), np.float32)
    shapes = jax.eval_shape(
        lambda mixture_BCT: init_state(
            jax.random.key(0), separator, mixture_BCT, optimiser
        ),
        jax.ShapeDtypeStruct((8, 1, run.crop_length), np.float32),
    )
    state, rooms_RL = devices.replicate(mesh, (filled(shapes), rooms_RL))
    batches = pipeline.batches(
        found, NAMES, run.data, crop=run.crop_length, seed=1, first_step=0,
        process=process, processes=processes,
    )  # fmt: skip
    rows_BSCT = next(batches)
    before = jax.device_get(state.params)
    step = make_train_step(separator, optimiser, run.train, mix_of(run), mesh)
    arrays = state, devices.join_rows(mesh, rows_BSCT), rooms_RL
    program = step.lower(*arrays).compile()
    gathers = program.as_text().count("all-gather")
    state, metrics = program(*arrays)
    moved = jax.tree.map(lambda a, b: (a - b) / RATE, before, jax.device_get(state.params))
    leaves = {"/".join(path): leaf for path, leaf in flatten_dict(moved).items()}
    facts = {"rows": rows_BSCT, "loss": metrics["loss"], "gathers": gathers}
    np.savez(folder / f"{process}_of_{processes}.npz", **leaves, **facts)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]), Path(sys.argv[4]))
