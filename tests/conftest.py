"""Shared fixtures: the real recordings that come with the project."""

from pathlib import Path

import pytest

from sep import audio

EXAMPLE = Path(__file__).parent.parent / "examples" / "duet"


@pytest.fixture(scope="session")
def duet():
    """The example: name -> wave (C, T), 24 s of stereo at 44.1 kHz."""
    names = ("mixture", "piano", "violin")
    return {name: audio.read(EXAMPLE / f"{name}.flac")[0] for name in names}


@pytest.fixture(scope="session")
def example_folder():
    """Where the example lies."""
    return EXAMPLE
