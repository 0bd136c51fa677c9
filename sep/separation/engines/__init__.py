"""Engines separate many recordings, on this machine or on a cluster.

An engine is a function (request, tasks, jobs, progress) that yields (number, outcome) for
each task when it is done, in any order. All engines run `sep.separation.jobs.Worker`.

- request: see `Request`.
- tasks: the recordings; numbers are positions in this list.
- jobs: number of recordings that are separated at once; 0 takes the engine's default.
- progress: is called with the number of a task and the seconds of it that are separated.
"""

from collections.abc import Callable, Iterator

from sep.separation.engines import cluster, local
from sep.separation.jobs import Outcome, Request
from sep.separation.recordings import Task

Engine = Callable[
    [Request, list[Task], int, Callable[[int, float], None]], Iterator[tuple[int, Outcome]]
]

ENGINES: dict[str, Engine] = {"local": local.run, "ray": cluster.run}
