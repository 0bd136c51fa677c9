"""The same number of threads for all parties of a benchmark."""

import os
import sys


def pin(threads: int) -> None:
    """Gives this process `threads` processors and tells every library to use them."""
    if not hasattr(os, "sched_setaffinity"):
        sys.exit("--threads: only Linux can pin JAX to a number of threads")
    processors = sorted(os.sched_getaffinity(0))
    if threads > len(processors):
        sys.exit(f"--threads={threads}: only {len(processors)} processors here")
    os.sched_setaffinity(0, processors[:threads])  # XLA sizes its thread pool by this
    for library in ("OMP", "MKL", "OPENBLAS", "NUMBA"):
        os.environ[f"{library}_NUM_THREADS"] = str(threads)
    os.environ["JAX_PLATFORMS"] = "cpu"
