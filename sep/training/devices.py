"""Data parallel training on several devices and processes.

Every device holds the whole state and some rows of each batch.
"""

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from sep.errors import UserError

AUTO = "auto"  # in place of a coordinator: the cluster's environment names it
_HEARTBEAT = 10  # seconds without a sign of life after which a process counts as lost
LOST_ERRORS = (jax.errors.JaxRuntimeError, TimeoutError)  # of waiting for a lost process
LOST_MESSAGE = (
    "another process of this run has failed or is out of reach; see its output, and repeat "
    "the same commands to resume from the last checkpoint"
)


def connect(coordinator: str, process: int | None, processes: int | None) -> None:
    """Connects to the other processes of a run, before anything is computed.

    Args:
      coordinator: HOST:PORT of process 0, or `AUTO` on TPU pods, Slurm and Open MPI.
      process: number of this process.
      processes: how many there are.

    Raises:
      UserError: the numbers do not fit, or the other processes do not answer.
    """
    if coordinator != AUTO and None in (process, processes):
        raise UserError("--coordinator=HOST:PORT needs --process and --processes")
    # Its handler of SIGTERM would replace ours; `any_process` informs all processes.
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
        raise UserError(
            f"--coordinator={coordinator}: no connection ({reason}); check the address, "
            "and that all processes are running"
        ) from None


@contextlib.contextmanager
def connected() -> Iterator[None]:
    """Runs the work of one of several processes; its errors end all of them.

    With a single process it does nothing. A process with an error must not wait for the
    others, which may be waiting for it. It prints one line and exits at once; the others
    then lose their connection and end as well.
    """
    if jax.process_count() == 1:
        yield
        return
    try:
        yield
    except (UserError, *LOST_ERRORS) as error:
        message = error if isinstance(error, UserError) else LOST_MESSAGE
        print(f"error: {message}", file=sys.stderr, flush=True)
        os._exit(1)


@contextlib.contextmanager
def within_memory() -> Iterator[None]:
    """Converts errors of too little memory to one that names the settings to lower.

    Raises:
      UserError: there is not enough memory.
    """
    try:
        yield
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise UserError(
            "not enough memory to train; raise --config.train.accumulate or lower "
            "--config.data.batch_size, --config.data.crop_seconds or, if this happened "
            "during validation, --config.train.eval_seconds"
        ) from None


def is_leader() -> bool:
    """Whether this is the process, of all, that writes logs and prints."""
    return jax.process_index() == 0


def data_mesh() -> Mesh:
    """Returns a mesh of all devices of all processes, along which batches are split."""
    # Sorted by process, so that each process holds the rows that it reads.
    devices = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
    return Mesh(np.array(devices), ("data",), axis_types=(AxisType.Auto,))


def everywhere(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of an array of which each device has a copy."""
    return NamedSharding(mesh, PartitionSpec())


def by_rows(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of an array that is split along its first axis."""
    return NamedSharding(mesh, PartitionSpec("data"))


def replicate(mesh: Mesh, tree: Any) -> Any:
    """Copies a tree of arrays, equal in all processes, to every device."""
    sharding = everywhere(mesh)
    return jax.tree.map(
        lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)), tree
    )


def join_rows(mesh: Mesh, rows: np.ndarray) -> jax.Array:
    """Returns one batch, split by rows, from the different rows of each process."""
    return jax.make_array_from_process_local_data(by_rows(mesh), rows)


def split_rows(mesh: Mesh, rows: np.ndarray) -> jax.Array:
    """Returns one batch, split by rows, from rows that are the same in all processes."""
    return jax.make_array_from_callback(rows.shape, by_rows(mesh), rows.__getitem__)


def any_process(flags: Sequence[bool]) -> list[bool]:
    """Returns for each flag whether it is true in any process.

    All processes must call this at the same point of the program.
    """
    if jax.process_count() == 1:
        return list(flags)
    return multihost_utils.process_allgather(np.array(flags)).any(0).tolist()
