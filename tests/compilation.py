"""How JAX compiles during the tests. Imported before JAX, so first in conftest.py.

Tests compile hundreds of small programs and run most of them once, so compiling has to be
fast, not the programs. All processes of a run share what they compile: the cache is new for
each run, and is removed at its end.
"""

import atexit
import os
import shutil
import tempfile

# Without optimisation, without the slow code generator for fusions, in one module.
FAST = (
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false "
    "--xla_cpu_parallel_codegen_split_count=1"
)


def prepare() -> None:
    """Sets JAX's environment for this process and all that it starts."""
    os.environ.setdefault("XLA_FLAGS", FAST)
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        folder = tempfile.mkdtemp(prefix="sep-tests-jax-")
        os.environ["JAX_COMPILATION_CACHE_DIR"] = folder
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")


def optimised() -> dict[str, str]:
    """The environment with optimised programs, for processes that compute for long."""
    return {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}


prepare()
