"""Shared fixtures: the recordings that come with the project, and a page in a browser."""

import compilation  # noqa: F401, I001 - sets JAX's environment, so it comes first

import signal
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from browser import browser
from hypothesis import settings

from sep import audio
from sep.listening_page import sound
from sep.listening_page.page import Line, PageTrack, write_page

# Background shells start processes with SIGINT ignored; the tests' processes must not be.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The time of an example depends on the machine more than on the code.
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
    """Folder of the example."""
    return EXAMPLE


@pytest.fixture(scope="session")
def chrome(tmp_path_factory):
    """A browser; tests that use it are skipped if none is installed."""
    with browser(tmp_path_factory.mktemp("browser")) as found:
        yield found


@pytest.fixture(scope="session")
def excerpt(tmp_path_factory, duet):
    """8.5 s of the example, from 3 s on: name -> (path, wave (C, T))."""
    folder = tmp_path_factory.mktemp("excerpt")
    found = {}
    for name, wave_CT in duet.items():
        part_CT = wave_CT[:, 3 * 44100 : 11 * 44100 + 22050]
        audio.write(folder / f"{name}.flac", part_CT, 44100)
        found[name] = folder / f"{name}.flac", part_CT
    return found


class Written(NamedTuple):
    """A page, and the samples of its two tracks: (source, system) -> wave (C, T)."""

    index: Path
    duet: dict
    wide: dict


@pytest.fixture(scope="session")
def written(tmp_path_factory, excerpt):
    """A page with segments of 1 s, so that a short recording has many of them.

    The first track is the excerpt, with noisy estimates that exceed full scale. The second
    has three channels of noise at 22.05 kHz, and a name that is markup.
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
        path, wave_CT = excerpt[source]
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
        PageTrack("duet", lines),
        PageTrack(name, [Line(name, "a", folder / "wide.wav", {})]),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sound, "SEGMENT_SECONDS", 1)
        index = write_page(folder / "page", "A page to test", tracks, name)
    return Written(index, waves, {(name, "a"): wide_CT})


@pytest.fixture
def page(chrome, written):
    """The page, newly opened.

    Fails at the end if the console has messages, or if a request left the page's folder.
    """
    chrome.open(written.index)
    yield chrome
    assert chrome.log() == []
    addresses = chrome.addresses()
    inside = (written.index.parent.absolute().as_uri() + "/", "blob:null/", "data:,")
    assert len(addresses) > 10
    assert [address for address in addresses if not address.startswith(inside)] == []
