"""The progress bar that all commands share."""

import sys

from tqdm import tqdm

_LOG_SECONDS = 30.0  # between two states of a bar in a log file


def progress_bar(*args, **settings) -> tqdm:
    """Tqdm's bar; where standard error is no terminal it is drawn seldom."""
    seldom = {"mininterval": _LOG_SECONDS, "maxinterval": _LOG_SECONDS}
    often = {} if sys.stderr.isatty() else seldom
    return tqdm(*args, dynamic_ncols=True, **often, **settings)
