"""Work shared by processes that end with the command, however it ends."""

import concurrent.futures
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool

from sep.errors import UserError
from sep.runtime.progress import progress_bar


def results(
    function: Callable, calls: Iterable[tuple], jobs: int, *, doing: str, unit: str
) -> Iterator:
    """What `function` returns for each tuple of arguments, as they are done, with a bar.

    Raises:
      UserError: a process died; or what `function` raised.
    """
    calls = list(calls)
    spawn = multiprocessing.get_context("spawn")  # JAX's and soxr's threads do not fork
    jobs = min(jobs, max(1, len(calls)))
    with concurrent.futures.ProcessPoolExecutor(jobs, spawn, _follow_the_command) as pool:
        futures = [pool.submit(function, *call) for call in calls]
        done = concurrent.futures.as_completed(futures)
        try:
            for future in progress_bar(done, doing, len(futures), unit=unit):
                yield future.result()
        except BrokenProcessPool:
            raise UserError(
                f"a process died while {doing} (out of memory?); the same command goes on "
                "where it stopped, with fewer --jobs if need be"
            ) from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def each_alone(
    function: Callable, calls: Iterable[tuple], jobs: int
) -> Iterator[tuple[int, object, Exception | None]]:
    """Every call in a process of its own, `jobs` at once, each on its share of the cores.

    Calls are asked for when there is room for them.

    Yields:
      The call's number, its result, and its error (UserError if the process died), as
      they are done.
    """
    waiting, running = enumerate(calls), {}
    shares = shares_of_cores(jobs)
    try:
        while True:
            while shares and (call := next(waiting, None)):
                answer, process = _start(function, call[1], shares[-1])
                running[answer] = call[0], process, shares.pop()
            if not running:
                return
            for answer in multiprocessing.connection.wait(list(running)):
                number, process, share = running[answer]
                try:
                    result, error = answer.recv()
                except EOFError:
                    result, error = None, None
                process.join()
                if result is error is None and process.exitcode:
                    status = process.exitcode
                    error = UserError(
                        f"its process died with status {status} (out of memory?)"
                    )
                del running[answer]
                shares.append(share)
                yield number, result, error
    finally:
        for _, process, _ in running.values():
            process.terminate()
        for _, process, _ in running.values():
            process.join()


def shares_of_cores(jobs: int) -> list[set[int] | None]:
    """Cores for each of so many processes; None where the system pins nothing."""
    if not hasattr(os, "sched_getaffinity"):  # macOS, Windows
        return [None] * jobs
    cores = sorted(os.sched_getaffinity(0))
    return [set(cores[job::jobs] or cores) for job in range(jobs)]


def _start(function: Callable, arguments: tuple, cores: set[int] | None):
    """Where the answer will come from, and the process."""
    spawn = multiprocessing.get_context("spawn")
    answer, sender = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_answer, args=(sender, function, arguments, cores))
    process.start()
    sender.close()
    return answer, process


def _answer(sender, function: Callable, arguments: tuple, cores: set[int] | None) -> None:
    _follow_the_command()
    if cores:
        os.sched_setaffinity(0, cores)  # XLA starts as many threads as it may use cores
    try:
        sender.send((function(*arguments), None))
    except UserError as error:
        sender.send((None, error))
    except Exception:  # not all can be pickled, and where they came from would be lost
        sender.send((None, RuntimeError(traceback.format_exc())))


def _follow_the_command() -> None:
    """Ctrl-C is for the command; its processes finish what they have in hand.

    But if it is killed they would wait for work, with all their memory, for ever.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_the_command, daemon=True).start()


def _leave_with_the_command() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)
