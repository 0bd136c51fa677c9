"""Shared fixtures: the recordings that come with the project, and a page in a browser."""

import signal
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from browser import browser
from hypothesis import settings

from sep import audio
from sep.listening_page.page import Line, Track, write_page

# Of tests in the background shells have SIGINT ignored, and so would all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says more about the machine than about the code.
settings.register_profile("sep", deadline=None)
settings.load_profile("sep")

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


@pytest.fixture(scope="session")
def chrome(tmp_path_factory):
    """A browser; tests that need one skip where there is none."""
    with browser(tmp_path_factory.mktemp("browser")) as found:
        yield found


class Written(NamedTuple):
    """A page, and what its two tracks hold: (source, system) -> wave (C, T)."""

    index: Path
    duet: dict
    wide: dict


@pytest.fixture(scope="session")
def written(tmp_path_factory, duet):
    """The example with rough estimates, louder than full scale, and a track of noise.

    That one has three channels at 22.05 kHz, and a name that is markup.
    """
    folder = tmp_path_factory.mktemp("page with a space & 100%")
    rng = np.random.default_rng(0)
    waves, lines = {}, []
    for source, system in (
        ("mixture", "mixture"),
        ("piano", "reference"),
        ("piano", "rough"),
        ("violin", "reference"),
        ("violin", "rough"),
    ):
        path, wave_CT = EXAMPLE / f"{source}.flac", duet[source]
        if system == "rough":
            path = folder / f"{source}.wav"
            wave_CT = 3 * wave_CT + 0.01 * rng.standard_normal(wave_CT.shape)
            wave_CT = wave_CT.astype(np.float32)
            audio.write(path, wave_CT, 44100, "FLOAT")
        waves[source, system] = wave_CT
        lines.append(Line(source, system, path, {"SI-SDR": 1.0}))
    name = "\"'><script>throw 1</script> 🎻/\\"
    wide_CT = rng.uniform(-1, 1, (3, 22050 * 7 + 1)).astype(np.float32)
    audio.write(folder / "wide.wav", wide_CT, 22050, "FLOAT")
    tracks = [
        Track("duet", lines),
        Track(name, [Line(name, "a", folder / "wide.wav", {})]),
    ]
    index = write_page(folder / "page", "A page to test", tracks, name)
    return Written(index, waves, {(name, "a"): wide_CT})


@pytest.fixture
def page(chrome, written):
    """The page, freshly opened; at the end nothing may have gone wrong, or out."""
    chrome.open(written.index)
    yield chrome
    assert chrome.log() == []
    addresses = chrome.addresses()
    inside = (written.index.parent.absolute().as_uri() + "/", "blob:null/", "data:,")
    assert len(addresses) > 10
    assert [address for address in addresses if not address.startswith(inside)] == []
