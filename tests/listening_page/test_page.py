import base64
import html.parser
import io
import json
import re
import tracemalloc

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from sep import audio
from sep.audio.recut import recut
from sep.errors import UserError
from sep.listening_page import pictures, sound
from sep.listening_page.page import Line, PageTrack, write_page

Image = pytest.importorskip("PIL.Image")  # an independent PNG reader


def sound_file(path, wave_CT, rate=8000, subtype="FLOAT"):
    path.parent.mkdir(parents=True, exist_ok=True)
    audio.write(path, np.asarray(wave_CT, np.float32), rate, subtype)
    return path


def noise(shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def decode(folder, name, exponent):
    """Returns a line's samples (C, T) float64 from its FLAC data, and segment lengths."""
    segments = []
    for number in range(len(list((folder / "sound" / name).iterdir()))):
        text = (folder / "sound" / name / f"{number}.js").read_text()
        arguments = json.loads(re.fullmatch(r"sep_segment\((.*)\)\n", text)[1].join("[]"))
        assert arguments[:2] == [name, number]
        pairs = []
        for payload in arguments[2]:
            data, rate = soundfile.read(
                io.BytesIO(base64.b64decode(payload)), always_2d=True
            )
            assert rate == sound.NOMINAL_RATE
            pairs.append(data.T)
        segments.append(np.concatenate(pairs))
    lengths = [segment.shape[1] for segment in segments]
    return np.concatenate(segments, axis=1) * 2.0**exponent, lengths


class Reader(html.parser.HTMLParser):
    """The elements of a page, with their attributes, and its text."""

    def __init__(self, path):
        super().__init__()
        self.elements, self.text = [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)

    def with_class(self, name):
        return [a for _, a in self.elements if name in a.get("class", "").split()]


@settings(max_examples=50)
@given(st.lists(st.integers(0, 12)), st.integers(1, 7))
def test_recut_keeps_every_sample(lengths, size):
    blocks = np.split(
        np.arange(2 * sum(lengths)).reshape(2, -1), np.cumsum(lengths)[:-1], 1
    )
    found = list(recut(blocks, size))
    assert all(block.shape == (2, size) for block in found[:-1])
    assert not found or 0 < found[-1].shape[1] <= size
    np.testing.assert_array_equal(
        np.concatenate([np.empty((2, 0)), *found], 1),
        np.concatenate([np.empty((2, 0)), *blocks], 1),
    )


@pytest.mark.parametrize(
    ("wave_CT", "subtype"),
    [
        (noise((2, 100_001)), "PCM_16"),
        (noise((1, 80_000)), "PCM_24"),
        (np.array([[-1.0, 0.5, 1 - 2**-23]]), "PCM_24"),  # the full range
        (np.array([[-1.0, 32767 / 32768, 0]]), "PCM_16"),
        (noise((5, 40_001)), "PCM_24"),  # two pairs and a single channel
        (np.zeros((1, 1)), "PCM_16"),
    ],
)
def test_segments_hold_integer_samples_exactly(tmp_path, wave_CT, subtype):
    path = sound_file(tmp_path / "a.wav", wave_CT, subtype=subtype)
    expected_CT, _ = audio.read(path)
    write_page(tmp_path / "page", "", [PageTrack("", [Line("a", "b", path, {})])])
    extent = sound.measure(path)
    found_CT, lengths = decode(tmp_path / "page", "0-0", extent.exponent)
    np.testing.assert_array_equal(found_CT, expected_CT)
    assert all(length == 5 * 8000 for length in lengths[:-1])
    assert extent.length == expected_CT.shape[1]


@pytest.mark.parametrize("peak", [1e-30, 0.03, 1.0, 1 - 2**-24, 7.3])
def test_segments_hold_floats_to_half_a_step(tmp_path, peak):
    wave_CT = noise((2, 5000))
    wave_CT *= np.float32(peak) / np.abs(wave_CT).max()
    path = sound_file(tmp_path / "a.wav", wave_CT)
    write_page(tmp_path / "page", "", [PageTrack("", [Line("a", "b", path, {})])])
    exponent = sound.measure(path).exponent
    found_CT, _ = decode(tmp_path / "page", "0-0", exponent)
    assert peak <= 2.0**exponent <= 2.001 * peak
    assert np.abs(found_CT - wave_CT).max() <= 2.0 ** (exponent - 24)


def test_page_contains_all_samples_and_scores(tmp_path, excerpt):
    mixture, mixture_CT = excerpt["mixture"]
    lines = [
        Line("mixture", "mixture", mixture, {}),
        Line("piano", "reference", excerpt["piano"][0], {}),
        Line("piano", "mine", mixture, {"SI-SDR": -3.14159, "SAR": np.nan}),
    ]
    short = sound_file(tmp_path / "short.wav", noise((1, 100)))
    tracks = [
        PageTrack("duet", lines),
        PageTrack("short", [Line("voice", "reference", short, {})]),
    ]
    index = write_page(tmp_path / "new" / "page", "Title", iter(tracks), "A note.")
    assert index == tmp_path / "new" / "page" / "index.html"
    assert sorted(p.name for p in index.parent.iterdir()) == [
        "assets", "index.html", "pictures", "sound",
    ]  # fmt: skip
    assert list((tmp_path / "new").iterdir()) == [index.parent]
    page = Reader(index)
    found = page.with_class("line")
    assert [line["data-id"] for line in found] == ["0-0", "0-1", "0-2", "1-0"]
    for line, name in zip(found, ("mixture", "piano", "mixture"), strict=False):
        found_CT, _ = decode(index.parent, line["data-id"], int(line["data-exponent"]))
        np.testing.assert_array_equal(found_CT, excerpt[name][1])
    text = " ".join(" ".join(page.text).split())
    assert "Title A note." in text
    assert "SI-SDR −3.14 SAR –" in text
    first, second = page.with_class("track")
    assert (first["data-rate"], first["data-channels"]) == ("44100", "2")
    assert int(first["data-length"]) == mixture_CT.shape[1]
    assert (second["data-rate"], second["data-length"]) == ("8000", "100")
    checked = [a["id"] for tag, a in page.elements if tag == "input" and "checked" in a]
    assert checked[:2] == ["system-0-1", "system-1-0"]  # not the mixture
    for tag, attributes in page.elements:
        for address in (attributes.get("src"), attributes.get("href")):
            if tag in ("script", "link") and address and not address.startswith("data:"):
                assert (index.parent / address).is_file()


def test_names_are_escaped(tmp_path):
    nasty = "\"'><script>alert(1)</script> & 🎻 \\ \udcff __proto__"
    path = sound_file(tmp_path / "a'\"<b>.wav", noise((1, 100)))
    lines = [Line(nasty, nasty, path, {nasty: 1.0})]
    index = write_page(
        tmp_path / "p", nasty, [PageTrack(nasty, lines), PageTrack(nasty, lines)], nasty
    )
    page = Reader(index)
    scripts = [attributes for tag, attributes in page.elements if tag == "script"]
    assert all(
        set(a) == {"defer", "src"} and a["src"].startswith("assets/") for a in scripts
    )
    shown = nasty.replace("\udcff", "?")
    assert sum(shown in text for text in page.text) >= 8
    (solo, *_) = page.with_class("solo")
    assert solo["aria-label"] == f"Solo {shown}"
    known = (
        "html head meta title link script body header h1 h2 h3 p noscript label select",
        "option main div button span input section dl dt dd details",
        "summary kbd",
    )
    assert {tag for tag, _ in page.elements} == set(" ".join(known).split())


@pytest.mark.parametrize(
    ("wave_CT", "rate", "what"),
    [
        (noise((2, 1000)), 8000, "2 channels at 8000 Hz"),
        (noise((1, 1000)), 16000, "1 channel at 16000 Hz"),
        (noise((1, 999)), 8000, "999 samples"),
    ],
)
def test_lines_that_differ_in_format_are_refused(tmp_path, wave_CT, rate, what):
    first = sound_file(tmp_path / "first.wav", noise((1, 1000)))
    other = sound_file(tmp_path / "other.wav", wave_CT, rate)
    track = PageTrack("t", [Line("a", "x", first, {}), Line("b", "x", other, {})])
    with pytest.raises(UserError, match=rf"other\.wav: {what}, but .*first\.wav has"):
        write_page(tmp_path / "page", "", [track])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["first.wav", "other.wav"]


def test_page_is_written_completely_or_not_at_all(tmp_path):
    path = sound_file(tmp_path / "a.wav", noise((1, 1000)))
    track = PageTrack("old", [Line("a", "x", path, {})])
    missing = PageTrack("new", [Line("a", "x", tmp_path / "missing.wav", {})])
    folder = tmp_path / "page"

    def state():
        return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    with pytest.raises(UserError, match="missing.wav: no such file"):
        write_page(folder, "", [track, missing])
    assert not folder.exists()
    write_page(folder, "", [track, track])
    before = state()
    with pytest.raises(UserError, match="missing.wav: no such file"):
        write_page(folder, "", [track, missing])
    assert state() == before
    write_page(folder, "", [track])
    assert len(state()) < len(before)
    (folder / "my remix.wav").write_bytes(b"a remix")
    with pytest.raises(UserError, match="contains other files .my remix.wav."):
        write_page(folder, "", [track])
    assert (folder / "my remix.wav").read_bytes() == b"a remix"
    with pytest.raises(UserError, match="a.wav: cannot be written .Not a directory."):
        write_page(path, "", [track])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.wav", "page"]


def test_invalid_tracks_raise_value_error(tmp_path):
    path = sound_file(tmp_path / "a.wav", noise((1, 100)))
    line = Line("piano", "duet", path, {})
    for tracks, message in (
        ([], "tracks: empty"),
        ([PageTrack("t", [])], "t: no lines"),
        ([PageTrack("t", [line, line])], "system duet has source piano 2 times"),
    ):
        with pytest.raises(ValueError, match=message):
            write_page(tmp_path / "page", "", tracks)
    assert not (tmp_path / "page").exists()


@pytest.mark.slow
def test_memory_does_not_grow_with_length(tmp_path):
    peaks = []
    for seconds in (200, 800):  # long enough for full tiles at level 1
        path = tmp_path / f"{seconds}.wav"
        sound_format, encoding = audio.Format(8000, 1), audio.Encoding("wav", "PCM_16")
        with audio.writers([path], sound_format, seconds * 8000, encoding) as (file,):
            for second in range(seconds):
                file.write(noise(8000, second))
        track = PageTrack("t", [Line("a", "x", path, {})])
        tracemalloc.start()
        write_page(tmp_path / f"page {seconds}", "", [track])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


@pytest.mark.parametrize("rate", [8000, 44100, 48000])
@pytest.mark.parametrize("note", [24, 90, 132])  # columns of rows: C2, A4, F#6
def test_tone_appears_at_its_pitch_and_time(rate, note):
    frequency = pictures.LOWEST * 2 ** (note / pictures.ROWS_PER_OCTAVE)
    time_T = np.arange(2 * rate) / rate
    wave_T = np.sin(2 * np.pi * frequency * time_T) * (time_T >= 1)
    power_RN = np.concatenate(
        list(pictures.columns(np.split(wave_T[None].astype(np.float32), 20, 1), rate)), 1
    )
    assert power_RN.shape == (216, -(-2 * rate // pictures.hop_length(rate)))
    middle = power_RN[:, round(0.75 * power_RN.shape[1])]
    bin_width = rate / 2 ** round(np.log2(0.09 * rate))
    rows = bin_width / (frequency * np.log(2) / pictures.ROWS_PER_OCTAVE)
    assert abs(middle.argmax() + 0.5 - note) <= max(1, 0.5 * rows)
    assert 0.5 < middle.max() < 2.2  # full scale, with the loss between bins
    level_N = power_RN.sum(0)
    half = np.flatnonzero(level_N > level_N.max() / 8)[0]  # the start of the tone
    assert abs(half - 40) <= 3
    assert level_N[:35].max() < 1e-6 * level_N.max()


def test_columns_do_not_depend_on_block_lengths():
    wave_CT = noise((2, 12_345))
    whole_RN = np.concatenate(list(pictures.columns([wave_CT], 8000)), 1)
    parts = np.split(wave_CT, [1, 200, 4000, 4001, 12_300], 1)
    parts_RN = np.concatenate(list(pictures.columns(parts, 8000)), 1)
    np.testing.assert_allclose(parts_RN, whole_RN, rtol=1e-5)
    assert whole_RN.shape[1] == -(-12_345 // 200)


@pytest.mark.parametrize("length", [1, 5, 200, 201])
def test_short_recordings_have_columns(length):
    (power_RN,) = pictures.columns([np.ones((1, length), np.float32)], 8000)
    assert power_RN.shape == (216, -(-length // 200))
    assert power_RN.max() > 0


def test_levels_pool_by_eight():
    seconds = 80  # 3200 columns
    blocks = np.split(noise((1, seconds * 8000)), 100, 1)
    levels = pictures.num_levels(seconds * 8000, 8000)
    found = list(pictures.tiles(blocks, 8000, levels))
    assert levels == 2
    assert [(level, tile.shape[1]) for level, tile in found] == [
        (0, 1000), (0, 1000), (0, 1000), (0, 200), (1, 400),
    ]  # fmt: skip
    fine_RN = np.concatenate([tile for level, tile in found if level == 0], 1)
    np.testing.assert_allclose(
        found[-1][1], fine_RN.reshape(216, 400, 8).mean(2), rtol=1e-5
    )
    assert pictures.num_levels(3600 * 44100, 44100) == 4


def test_png_is_readable_and_in_order_of_power():
    power_RN = np.full((216, 30), 1e-12)
    power_RN[10, 3] = 1
    image = Image.open(io.BytesIO(pictures.png(pictures.shades(power_RN, 0))))
    assert image.size == (30, 216)
    colours = np.asarray(image.convert("RGB")).astype(int).sum(2)
    assert np.unravel_index(colours.argmax(), colours.shape) == (216 - 1 - 10, 3)
    assert len(np.unique(colours)) == 2
    shade_R1 = pictures.shades(10 ** np.linspace(-10, 1, 111)[:, None], 0)
    assert (np.diff(shade_R1[:, 0].astype(int)) >= 0).all()
    assert (shade_R1[0], shade_R1[-1]) == (0, 127)
    # The brightest shade is 12 dB below the peak, here 1 and 2.
    assert pictures.shades(np.array([[10**-1.2]]), 0) == 127
    assert pictures.shades(np.array([[10**-1.2]]), 1) < 127


def test_file_that_changes_while_it_is_read_is_reported(tmp_path, monkeypatch):
    path = sound_file(tmp_path / "a.wav", noise((1, 50_000)))
    measure = sound.measure

    def measure_and_cut(path):
        extent = measure(path)
        sound_file(path, noise((1, 1000)))
        return extent

    monkeypatch.setattr(sound, "measure", measure_and_cut)
    with pytest.raises(UserError, match=r"a\.wav: changed while it was read"):
        write_page(tmp_path / "page", "", [PageTrack("t", [Line("a", "x", path, {})])])
    assert list(tmp_path.iterdir()) == [path]
