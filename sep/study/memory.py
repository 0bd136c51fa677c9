"""Peak memory of a process."""

import math
import re
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak_memory_mb() -> float:
    """Returns the peak memory of this process so far in MB; NaN if it is unknown."""
    if _STATUS.exists():  # Linux, where ru_maxrss includes the peak of the parent process
        (line,) = re.findall(r"^VmHWM:\s+(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
        return int(line) * 1024 / 1e6
    if sys.platform == "darwin":
        import resource  # not on Windows

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return math.nan
