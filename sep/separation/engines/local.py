"""Recordings on this machine, in threads that share one compiled model."""

import concurrent.futures
import threading
from collections.abc import Callable, Iterator

from sep.separation.jobs import Outcome, Request, Worker
from sep.separation.recordings import Task


class _Stopped(BaseException):
    """Raised inside a job when the command ends early."""


def run(
    request: Request, tasks: list[Task], jobs: int, tell: Callable[[int, float], None]
) -> Iterator[tuple[int, Outcome]]:
    """See `engines`. By default one recording at a time: the model uses all cores.

    Raises:
      UserError: the model or the request is none.
    """
    worker, stop = Worker(request), threading.Event()

    def work(number: int, task: Task) -> tuple[int, Outcome]:
        def told(seconds: float) -> None:
            if stop.is_set():
                raise _Stopped
            tell(number, seconds)

        return number, worker(task, told)

    with concurrent.futures.ThreadPoolExecutor(jobs or 1) as pool:
        waiting = [pool.submit(work, *each) for each in enumerate(tasks)]
        try:
            for done in concurrent.futures.as_completed(waiting):
                yield done.result()
        except BaseException:  # Ctrl-C, say: what is in hand ends and leaves nothing
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
