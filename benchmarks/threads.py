"""Gives all parties of a benchmark the same number of threads."""

import os
import sys


def pin(threads: int) -> None:
    """Restricts this process, and the thread pools of all libraries, to some processors.

    Call it before those libraries are imported. Exits with a message if it is impossible.
    """
    if not hasattr(os, "sched_setaffinity"):
        sys.exit("--threads: only Linux can restrict JAX to a number of threads")
    processors = sorted(os.sched_getaffinity(0))
    if threads > len(processors):
        sys.exit(f"--threads={threads}: there are only {len(processors)} processors")
    os.sched_setaffinity(0, processors[:threads])  # XLA sizes its thread pool by this
    for library in ("OMP", "MKL", "OPENBLAS", "NUMBA"):
        os.environ[f"{library}_NUM_THREADS"] = str(threads)
    os.environ["JAX_PLATFORMS"] = "cpu"
