"""Recordings on a Ray cluster: actors with one compiled model each.

Ray hands out the work, restarts actors whose node or process is gone, anywhere there is
room, and gives what they had in hand to them again. Recordings and outputs must have the
same paths on all nodes. Ray comes with the extra `cluster`.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from sep.errors import UserError
from sep.jobs import FAILED, Outcome, Request, Worker
from sep.recordings import Task

RETRIES = 3  # of a recording, after nodes or processes that were lost


def run(
    request: Request,
    tasks: list[Task],
    jobs: int,
    tell: Callable[[int, float], None],
    address: str = "",
) -> Iterator[tuple[int, Outcome]]:
    """See `sep.engines`. By default one actor a GPU, or where there is none, a node.

    `tell` hears of whole recordings only. Without an `address` of a cluster, Ray is
    started here for as long as it is needed.

    Raises:
      UserError: there is no Ray, no such cluster, or the model or the request is none.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        from ray.util import ActorPool
    except ImportError:
        raise UserError(
            "--engine=ray needs Ray: pip install 'sep-audio[cluster]'"
        ) from None
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
    try:
        gpus = int(ray.cluster_resources().get("GPU", 0))
        nodes = sum(node["Alive"] for node in ray.nodes())
        # An actor that asks for no CPUs finds a place on any node that is left.
        actor = ray.remote(
            max_restarts=-1,
            max_task_retries=RETRIES,
            num_gpus=1 if gpus else 0,
            scheduling_strategy="SPREAD",
        )(_Actor)
        where = _absolute(request, Path.cwd())
        count = min(jobs or gpus or nodes, len(tasks))
        pool = ActorPool([actor.remote(where) for _ in range(count)])
        for number, task in enumerate(tasks):
            here = Task(*(path.absolute() for path in task))
            pool.submit(lambda actor, value: actor.separate.remote(*value), (number, here))
        missing = dict(enumerate(tasks))
        while pool.has_next():
            try:
                number, outcome = pool.get_next_unordered()
            except ray.exceptions.RayError as error:
                lost = error
                continue
            outcome = outcome._replace(task=missing.pop(number))
            tell(number, outcome.seconds)
            yield number, outcome
        for number, task in missing.items():
            reason = f"{task.recording}: lost with its node, {RETRIES} times over ({lost})"
            yield number, Outcome(task, FAILED, " ".join(reason.split()))
    finally:
        ray.shutdown()


class _Actor:
    """A worker in a process of its own, on some node."""

    def __init__(self, request: Request):
        from sep.cli import remember_compilations

        remember_compilations()
        self._worker = Worker(request)

    def separate(self, number: int, task: Task) -> tuple[int, Outcome]:
        return number, self._worker(task)


def _absolute(request: Request, folder: Path) -> Request:
    """A request whose model is found from other folders, too."""
    path = folder / request.model
    return request._replace(model=str(path)) if path.exists() else request
