"""Recordings on a Ray cluster: actors with one compiled model each.

Ray finds a place for each actor, and tells when one is gone, with its process or its node:
another then takes over what it had in hand. Recordings and outputs must have the same
paths on all nodes. Ray comes with the extra `cluster`.
"""

import contextlib
import os
import socket
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from sep.errors import UserError
from sep.runtime.cache import remember_compilations
from sep.separation.jobs import FAILED, Outcome, Request, Worker
from sep.separation.recordings import Task

RETRIES = 3  # of a recording, after nodes or processes that were lost


def run(
    request: Request,
    tasks: list[Task],
    jobs: int,
    tell: Callable[[int, float], None],
    address: str = "",
) -> Iterator[tuple[int, Outcome]]:
    """See `engines`. By default one actor a GPU, or where there is none, a node.

    `tell` hears of whole recordings only. Without an `address` of a cluster, Ray is
    started here for as long as it is needed.

    Raises:
      UserError: there is no Ray, no such cluster, or the model or the request is none.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise UserError(
            "--engine=ray needs Ray: pip install '.[cluster]' in Sep's folder"
        ) from None
    _expect_someone(address)
    try:
        ray.init(
            address or None,
            log_to_driver=False,
            logging_level="ERROR",
            **({} if address else {"include_dashboard": False}),
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"--address={address}: no Ray cluster there ({reason})") from None
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(sys.stderr))  # Ray tells of losses
        stack.callback(ray.shutdown)
        gpus = int(ray.cluster_resources().get("GPU", 0))
        nodes = sum(node["Alive"] for node in ray.nodes())
        # An actor that asks for no CPUs finds a place on any node that is left.
        options = {"num_cpus": 0, "num_gpus": int(gpus > 0)}
        actor = ray.remote(**options, scheduling_strategy="SPREAD")(_Actor)
        actor = partial(actor.remote, _absolute(request))
        # More than there are GPUs would wait for one for ever.
        count = min(jobs or gpus or nodes, gpus or len(tasks), len(tasks))
        for number, outcome in _spread(ray, actor, tasks, count):
            tell(number, outcome.seconds)
            yield number, outcome


def _expect_someone(address: str) -> None:
    """Raises UserError where nobody listens: Ray would try for many minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():  # "auto", or none
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise UserError(f"--address={address}: no Ray cluster there ({error})") from None


def _spread(ray, actor: Callable, tasks: list[Task], count: int) -> Iterator:
    """Gives each actor that is free a task; one that is lost leaves it to a new one."""
    waiting, tries = deque(range(len(tasks))), Counter()
    free, busy = [actor() for _ in range(count)], {}
    while waiting or busy:
        while waiting and free:
            number, its = waiting.popleft(), free.pop()
            here = Task(*(path.absolute() for path in tasks[number]))
            busy[its.separate.remote(here)] = number, its
        (result,), _ = ray.wait(list(busy))
        number, its = busy.pop(result)
        try:
            outcome = ray.get(result)._replace(task=tasks[number])
        except ray.exceptions.RayError as error:
            its = actor()
            tries[number] += 1
            if tries[number] <= RETRIES:
                waiting.appendleft(number)
            else:
                what = " ".join(str(error).split())
                reason = f"{tasks[number].recording}: lost {RETRIES + 1} times ({what})"
                yield number, Outcome(tasks[number], FAILED, reason)
        else:
            yield number, outcome
        free.append(its)


class _Actor:
    """A worker in a process of its own, on some node."""

    def __init__(self, request: Request):
        remember_compilations()
        self._worker = Worker(request)

    def separate(self, task: Task) -> Outcome:
        return self._worker(task)


def _absolute(request: Request) -> Request:
    """A request whose model is found from other folders, too."""
    path = Path(request.model).absolute()
    return request._replace(model=str(path)) if path.exists() else request
