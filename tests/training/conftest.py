"""Ends the processes that tests of training started."""

import pytest
from training_runs import STARTED


@pytest.fixture(autouse=True)
def no_process_is_left():
    """What a test that fails leaves running, stopped ones included, would slow others."""
    yield
    while STARTED:
        STARTED.pop().kill()  # no harm to those that have ended
