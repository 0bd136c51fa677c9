"""Engine that separates recordings on a Ray cluster, in actors with one model each.

Ray places the actors. If the process or the node of an actor is lost, Ray reports it, and a
new actor takes over the recording. Recordings, outputs and the model must have the same
paths on all nodes. Ray is installed with the extra `cluster`.
"""

import contextlib
import os
import socket
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sep.errors import UserError
from sep.runtime.cache import remember_compilations
from sep.separation.jobs import FAILED, Outcome, Request, Worker
from sep.separation.recordings import Task

RETRIES = 3  # retries of a recording after losses of its process or node


def run(
    request: Request,
    tasks: list[Task],
    jobs: int,
    progress: Callable[[int, float], None],
    address: str = "",
) -> Iterator[tuple[int, Outcome]]:
    """Separates recordings: see `sep.separation.engines`.

    By default there is one actor per GPU, or per node if there are no GPUs. `progress` is
    called for whole recordings only.

    Args:
      request: see `Request`.
      tasks: the recordings.
      jobs: number of actors; 0 takes the default.
      progress: see `sep.separation.engines`.
      address: address of a cluster. If empty, Ray runs on this machine until all is done.

    Raises:
      UserError: Ray is not installed, there is no cluster at the address, there is no such
        model, or it lacks a stem of the request.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise UserError(
            "--engine=ray: Ray is not installed; run pip install '.[cluster]' in Sep's "
            "folder"
        ) from None
    _check_address(address)
    _connect(ray, address)
    with contextlib.ExitStack() as stack:
        # Ray prints messages about lost processes; standard output is the command's.
        stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        stack.callback(ray.shutdown)
        gpus = int(ray.cluster_resources().get("GPU", 0))
        nodes = sum(node["Alive"] for node in ray.nodes())
        # An actor that requires no CPUs can be placed on every remaining node.
        options: dict[str, Any] = {"num_cpus": 0, "num_gpus": int(gpus > 0)}
        actor = ray.remote(**options, scheduling_strategy="SPREAD")(_Actor)
        portable = _with_absolute_paths(request)
        # With more actors than GPUs, some would wait for a GPU for ever.
        count = min(jobs or gpus or nodes, gpus or len(tasks), len(tasks))
        results = _separate_all(ray, lambda: actor.remote(portable), tasks, count)
        for number, outcome in results:
            progress(number, outcome.seconds)
            yield number, outcome


def _check_address(address: str) -> None:
    """Checks that the port of an address accepts connections; Ray retries for minutes.

    Raises:
      UserError: it does not.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():  # "auto", or empty
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise UserError(f"--address={address}: no Ray cluster there ({error})") from None


def _connect(ray: Any, address: str) -> None:
    """Connects to the cluster at an address, or starts Ray if it is empty.

    Raises:
      UserError: there is no cluster.
    """
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if not address:
        options["include_dashboard"] = False
    try:
        ray.init(address or None, **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"--address={address}: no Ray cluster there ({reason})") from None


def _separate_all(
    ray: Any, new_actor: Callable[[], Any], tasks: list[Task], count: int
) -> Iterator[tuple[int, Outcome]]:
    """Yields the number and the outcome of each task, in any order.

    A lost actor is replaced, and its task is given to the next free one.

    Args:
      ray: the module.
      new_actor: starts an actor.
      tasks: the recordings.
      count: number of actors.
    """
    waiting = deque(range(len(tasks)))
    losses: Counter[int] = Counter()
    free = [new_actor() for _ in range(count)]
    busy: dict[Any, tuple[int, Any]] = {}  # by the result that is awaited
    while waiting or busy:
        while waiting and free:
            number, actor = waiting.popleft(), free.pop()
            task = Task(*(path.absolute() for path in tasks[number]))
            busy[actor.separate.remote(task)] = number, actor
        (result,), _ = ray.wait(list(busy))
        number, actor = busy.pop(result)
        try:
            outcome = ray.get(result)._replace(task=tasks[number])
        except ray.exceptions.RayError as error:
            actor = new_actor()
            losses[number] += 1
            if losses[number] <= RETRIES:
                waiting.appendleft(number)
            else:
                cause = " ".join(str(error).split())
                reason = (
                    f"{tasks[number].recording}: its process or node was lost "
                    f"{losses[number]} times ({cause})"
                )
                yield number, Outcome(tasks[number], FAILED, reason)
        else:
            yield number, outcome
        free.append(actor)


class _Actor:
    """A worker in its own process, on one of the nodes."""

    def __init__(self, request: Request) -> None:
        remember_compilations()
        self._worker = Worker(request)

    def separate(self, task: Task) -> Outcome:
        return self._worker(task)


def _with_absolute_paths(request: Request) -> Request:
    """Makes a request's model path absolute: actors have other working directories."""
    path = Path(request.model).absolute()
    return request._replace(model=str(path)) if path.exists() else request
