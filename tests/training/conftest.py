"""Ends the processes that tests of training started."""

import pytest
from training_runs import STARTED


@pytest.fixture(autouse=True)
def end_processes():
    """Processes that a failed test leaves, including stopped ones, would slow others."""
    yield
    while STARTED:
        STARTED.pop().kill()  # no effect on those that have ended
