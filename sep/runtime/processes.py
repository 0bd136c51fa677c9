"""Work shared by processes that end with the command, even if it is killed."""

import concurrent.futures
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, TypeVar

from sep.errors import UserError
from sep.runtime.progress import progress_bar

T = TypeVar("T")


def results(
    function: Callable[..., T],
    calls: Iterable[tuple[Any, ...]],
    jobs: int,
    *,
    doing: str,
    unit: str,
) -> Iterator[T]:
    """Yields the results of calls as they are completed, and draws a progress bar.

    Args:
      function: a function that can be pickled.
      calls: the arguments of each call.
      jobs: processes.
      doing: what the calls do ("rendering"), for the bar and the message.
      unit: the bar's unit.

    Raises:
      UserError: a process died.
      Exception: a call raised it.
    """
    calls = list(calls)
    spawn = multiprocessing.get_context("spawn")  # a fork lacks JAX's and soxr's threads
    jobs = min(jobs, max(1, len(calls)))
    with concurrent.futures.ProcessPoolExecutor(jobs, spawn, _follow_the_command) as pool:
        futures = [pool.submit(function, *call) for call in calls]
        done = concurrent.futures.as_completed(futures)
        try:
            for future in progress_bar(done, doing, len(futures), unit=unit):
                yield future.result()
        except BrokenProcessPool:
            raise UserError(
                f"a process died while {doing} (out of memory?); run the same command "
                "again to continue, with fewer --jobs if needed"
            ) from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def each_alone(
    function: Callable[..., T], calls: Iterable[tuple[Any, ...]], jobs: int
) -> Iterator[tuple[int, T | None, Exception | None]]:
    """Runs every call in a process of its own, each on its share of the cores.

    Args:
      function: a function that can be pickled.
      calls: the arguments of each call. The next is taken when a process is free.
      jobs: processes at once.

    Yields:
      The call's index, its result, and its error (UserError if the process died), in the
      order of completion.
    """
    waiting = enumerate(calls)
    running: dict[Any, tuple[int, SpawnProcess, set[int] | None]] = {}
    shares = shares_of_cores(jobs)
    try:
        while True:
            while shares and (call := next(waiting, None)):
                answer, process = _start(function, call[1], shares[-1])
                running[answer] = call[0], process, shares.pop()
            if not running:
                return
            ready: list[Any] = multiprocessing.connection.wait(list(running))
            for answer in ready:
                number, process, share = running[answer]
                result, error = _finished(answer, process)
                del running[answer]
                shares.append(share)
                yield number, result, error
    finally:
        for _, process, _ in running.values():
            process.terminate()
        for _, process, _ in running.values():
            process.join()


def shares_of_cores(jobs: int) -> list[set[int] | None]:
    """Returns the cores for each of `jobs` processes; None without affinity."""
    if not hasattr(os, "sched_getaffinity"):  # macOS, Windows
        return [None] * jobs
    cores = sorted(os.sched_getaffinity(0))
    return [set(cores[job::jobs] or cores) for job in range(jobs)]


def _start(
    function: Callable[..., Any], arguments: tuple[Any, ...], cores: set[int] | None
) -> tuple[Connection, SpawnProcess]:
    """Starts a process; returns the connection for its answer, and the process."""
    spawn = multiprocessing.get_context("spawn")
    answer, sender = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_answer, args=(sender, function, arguments, cores))
    process.start()
    sender.close()
    return answer, process


def _finished(answer: Connection, process: SpawnProcess) -> tuple[Any, Exception | None]:
    """Waits for a process to end; returns its result and error."""
    try:
        result, error = answer.recv()
    except EOFError:
        result, error = None, None
    process.join()
    if result is error is None and process.exitcode:
        error = UserError(
            f"its process died with status {process.exitcode} (out of memory?)"
        )
    return result, error


def _answer(
    sender: Connection,
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    cores: set[int] | None,
) -> None:
    """Runs in the process: sends the result and error of a call."""
    _follow_the_command()
    if cores:
        os.sched_setaffinity(0, cores)  # XLA starts one thread per allowed core
    try:
        sender.send((function(*arguments), None))
    except UserError as error:
        sender.send((None, error))
    except Exception:  # some cannot be pickled, and pickling would lose the traceback
        sender.send((None, RuntimeError(traceback.format_exc())))


def _follow_the_command() -> None:
    """Ignores Ctrl-C, which the command handles, and ends when the command ends.

    Without the latter, processes of a killed command would wait for work, with all their
    memory, for ever.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_the_command, daemon=True).start()


def _leave_with_the_command() -> None:
    command = multiprocessing.parent_process()
    assert command is not None  # this is a child process
    command.join()
    os._exit(1)
