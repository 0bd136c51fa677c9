"""Work shared by processes that end with the command, however it ends."""

import concurrent.futures
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool

from tqdm import tqdm

from sep.errors import UserError


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
            for future in tqdm(done, doing, len(futures), unit=unit, dynamic_ncols=True):
                yield future.result()
        except BrokenProcessPool:
            raise UserError(
                f"a process died while {doing} (out of memory?); the same command goes on "
                "where it stopped, with fewer --jobs if need be"
            ) from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def alone(function: Callable, *arguments):
    """What a function returns, or raises, in a process of its own, which starts and ends.

    If the command is to end before, the process gets SIGTERM and is waited for.

    Raises:
      UserError: the process died.
    """
    spawn = multiprocessing.get_context("spawn")
    answer, sender = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_answer, args=(sender, function, arguments))
    process.start()
    sender.close()
    try:
        result, error = answer.recv()
    except EOFError:
        process.join()
        raise UserError(
            f"its process died with status {process.exitcode} (out of memory?)"
        ) from None
    except BaseException:
        process.terminate()
        process.join()
        raise
    process.join()
    if error is not None:
        raise error
    return result


def _answer(sender, function: Callable, arguments: tuple) -> None:
    _follow_the_command()
    try:
        sender.send((function(*arguments), None))
    except Exception as error:
        sender.send((None, error))


def _follow_the_command() -> None:
    """Ctrl-C is for the command; its processes finish what they have in hand.

    But if it is killed they would wait for work, with all their memory, for ever.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_the_command, daemon=True).start()


def _leave_with_the_command() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)
