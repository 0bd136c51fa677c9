"""Calls that tests run in other processes, each of which imports this file: it is small."""

import os

import numpy as np

from sep.errors import UserError
from sep.study.memory import peak_memory_mb


class StrangeError(Exception):
    """An exception that can be pickled but not unpickled."""

    def __init__(self, one, other):
        super().__init__(f"{one} and {other}")


def answer(number):
    """Returns number + 1 and the process id; some numbers fail, each in its own way."""
    if number < 0:
        raise UserError("negative")
    if number == 7:
        raise StrangeError(1, 2)
    return number + 1, os.getpid()


def cores(_):
    """Returns the cores that the process may use."""
    return os.sched_getaffinity(0)


def grown(_):
    """Returns the peaks before and after the process has used 200 MB."""
    before = peak_memory_mb()
    np.ones(25_000_000).sum()
    return before, peak_memory_mb()
