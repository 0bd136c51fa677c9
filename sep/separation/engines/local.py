"""Engine that separates recordings in threads, which share one compiled model."""

import concurrent.futures
import threading
from collections.abc import Callable, Iterator

from sep.separation.jobs import Outcome, Request, Worker
from sep.separation.recordings import Task


class _Stopped(BaseException):
    """Ends the work of a thread; `Worker` does not catch it."""


def run(
    request: Request,
    tasks: list[Task],
    jobs: int,
    progress: Callable[[int, float], None],
) -> Iterator[tuple[int, Outcome]]:
    """Separates recordings: see `sep.separation.engines`.

    By default one recording is separated at a time, because a model uses all cores.

    Raises:
      UserError: there is no such model, or it lacks a stem of the request.
    """
    worker, stop = Worker(request), threading.Event()

    def separate(number: int, task: Task) -> tuple[int, Outcome]:
        def on_progress(seconds: float) -> None:
            if stop.is_set():
                raise _Stopped
            progress(number, seconds)

        return number, worker(task, on_progress)

    with concurrent.futures.ThreadPoolExecutor(jobs or 1) as pool:
        futures = [pool.submit(separate, *each) for each in enumerate(tasks)]
        try:
            for future in concurrent.futures.as_completed(futures):
                yield future.result()
        except BaseException:  # for example KeyboardInterrupt: the threads must end, too
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
