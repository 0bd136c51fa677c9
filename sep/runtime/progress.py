"""The progress bar that all commands share."""

import sys
from typing import Any

from tqdm import tqdm

_LOG_SECONDS = 30.0  # between two states of a bar in a log file


def progress_bar(*args: Any, **settings: Any) -> tqdm:
    """Returns tqdm's bar, redrawn rarely where standard error is not a terminal."""
    rarely = {"mininterval": _LOG_SECONDS, "maxinterval": _LOG_SECONDS}
    intervals = {} if sys.stderr.isatty() else rarely
    return tqdm(*args, dynamic_ncols=True, **intervals, **settings)
