"""Many devices, and processes, as one: where arrays lie, and how processes agree.

Training is data parallel: every device holds the state and a run of a batch's rows.
"""

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from sep.errors import UserError

AUTO = "auto"  # in place of a coordinator: the cluster says who and where it is
_HEARTBEAT = 10  # seconds of silence after which a process counts as lost
LOST = (jax.errors.JaxRuntimeError, TimeoutError)  # what waiting for such a one raises
LOST_ONE = (
    "another process of this run has failed, or is out of reach: see what it said; the "
    "same commands go on from the last checkpoint"
)


def connect(coordinator: str, process: int | None, processes: int | None) -> None:
    """Joins the other processes of a run, before anything is computed.

    `coordinator` is HOST:PORT of process 0, or `AUTO` on TPU pods, Slurm and Open MPI.

    Raises:
      UserError: the numbers do not fit, or the others do not answer.
    """
    if coordinator != AUTO and None in (process, processes):
        raise UserError("--coordinator=HOST:PORT needs --process and --processes")
    # Its handler of SIGTERM would replace ours; `agreed` tells all processes.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            None if coordinator == AUTO else coordinator,
            processes,
            process,
            cluster_detection_method=None if coordinator == AUTO else "deactivate",
            heartbeat_timeout_seconds=_HEARTBEAT,
        )
    except (ValueError, TypeError, IndexError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise UserError(f"--coordinator={coordinator}: no connection ({reason})") from None


@contextlib.contextmanager
def connected() -> Iterator[None]:
    """Runs the work of one process of many; one that fails lets the others know.

    Alone it does nothing. A process with an error must not wait for the others, who
    may be waiting for it: it prints a line and is gone, which ends them.
    """
    if jax.process_count() == 1:
        yield
        return
    try:
        yield
    except (UserError, *LOST) as error:
        message = error if isinstance(error, UserError) else LOST_ONE
        print(f"error: {message}", file=sys.stderr, flush=True)
        os._exit(1)


@contextlib.contextmanager
def within_memory() -> Iterator[None]:
    """Says what a training run can do when there is not enough memory.

    Raises:
      UserError: there is not.
    """
    try:
        yield
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise UserError(
            "not enough memory to train; raise --config.train.accumulate, or lower "
            "--config.data.batch_size, --config.data.crop_seconds or, if it was while "
            "validating, --config.train.eval_seconds"
        ) from None


def leads() -> bool:
    """Whether this is the process, of all, that writes logs and talks."""
    return jax.process_index() == 0


def data_mesh() -> Mesh:
    """All devices of all processes in a row, which batches are split along."""
    # In the order of processes: each then holds the rows that it has read.
    devices = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
    return Mesh(np.array(devices), ("data",), axis_types=(AxisType.Auto,))


def everywhere(mesh: Mesh) -> NamedSharding:
    """Each device has all of an array."""
    return NamedSharding(mesh, PartitionSpec())


def by_rows(mesh: Mesh) -> NamedSharding:
    """Each device has a run of the first axis."""
    return NamedSharding(mesh, PartitionSpec("data"))


def replicate(mesh: Mesh, tree):
    """Arrays that are equal in all processes, on every device."""
    sharding = everywhere(mesh)
    return jax.tree.map(
        lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)), tree
    )


def join_rows(mesh: Mesh, rows: np.ndarray) -> jax.Array:
    """One batch of the rows that the processes have, each its own."""
    return jax.make_array_from_process_local_data(by_rows(mesh), rows)


def split_rows(mesh: Mesh, rows: np.ndarray) -> jax.Array:
    """One batch of rows that all processes have."""
    return jax.make_array_from_callback(rows.shape, by_rows(mesh), rows.__getitem__)


def agreed(wishes: Sequence[bool]) -> list[bool]:
    """For each wish whether some process has it; all must ask at the same moment."""
    if jax.process_count() == 1:
        return list(wishes)
    return multihost_utils.process_allgather(np.array(wishes)).any(0).tolist()
