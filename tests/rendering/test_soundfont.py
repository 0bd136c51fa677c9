"""SoundFonts: a file with one sine is written here, chunk by chunk, and played."""

import struct

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from sep.errors import UserError
from sep.rendering import RATE, midi, samplers
from sep.rendering.instruments import Instrument
from sep.rendering.performance import CONTROL_RATE, Performance, note_array

pytest.importorskip("tinysoundfont")

PRESET = 40
A4 = 69  # the sample's key: its period is 100 samples at 44 kHz
SECONDS = 2.0


def chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def chunks(name: bytes, **parts: bytes) -> bytes:
    content = b"".join(chunk(key.encode(), part) for key, part in parts.items())
    return chunk(b"LIST", name + content)


def soundfont() -> bytes:
    """SoundFont 2.01 with one preset, of one instrument, of one looped sine."""
    sine = 16000 * np.sin(2 * np.pi * np.arange(1000) / 100)
    preset, sample = "<20s3H3I", "<20s5IBb2H"
    loops, plays = (54, 1), (53, 0)  # generators: sampleModes, sampleID
    hydra = {
        "phdr": struct.pack(preset, b"tone", PRESET, 0, 0, 0, 0, 0)
        + struct.pack(preset, b"EOP", 0, 0, 1, 0, 0, 0),
        "pbag": struct.pack("<4H", 0, 0, 1, 0),
        "pmod": bytes(10),
        "pgen": struct.pack("<4H", 41, 0, 0, 0),  # instrument 0
        "inst": struct.pack("<20sH20sH", b"tone", 0, b"EOI", 1),
        "ibag": struct.pack("<4H", 0, 0, 2, 0),
        "imod": bytes(10),
        "igen": struct.pack("<6H", *loops, *plays, 0, 0),
        "shdr": struct.pack(sample, b"sine", 0, 1000, 0, 1000, 44000, A4, 0, 0, 1)
        + struct.pack(sample, b"EOS", *[0] * 9),
    }
    info = {"ifil": struct.pack("<2H", 2, 1), "isng": b"EMU8000\0", "INAM": b"sine"}
    samples = sine.astype("<i2").tobytes() + bytes(92)
    lists = chunks(b"INFO", **info) + chunks(b"sdta", smpl=samples)
    return chunk(b"RIFF", b"sfbk" + lists + chunks(b"pdta", **hydra))


@pytest.fixture(scope="module")
def sine(tmp_path_factory):
    path = tmp_path_factory.mktemp("soundfont") / "sine.sf2"
    path.write_bytes(soundfont())
    return Instrument("violin", "sine", "none needed", path=path, preset=PRESET)


def played(sine, rows, bend=0.0, expression=None, pedal=(), seconds=SECONDS):
    """Plays rows of (onset, duration, key): wave_TC; scalars are constant curves."""
    frames = int(seconds * CONTROL_RATE) + 1
    if expression is not None:
        expression = np.broadcast_to(expression, frames)
    bend = np.broadcast_to(bend, frames)
    performance = Performance(note_array(rows), bend, expression, list(pedal))
    return samplers.play(sine, np.random.default_rng(0), performance, seconds)


def sounding(wave_TC) -> tuple[float, float]:
    """Times of the first and the last audible sample, in seconds."""
    loud = np.flatnonzero(np.abs(wave_TC).max(1) > 1e-5)
    return loud[0] / RATE, loud[-1] / RATE


def key_of(wave_TC, begin: float, end: float) -> float:
    """MIDI key of a sine, from its upward zero crossings."""
    wave_T = wave_TC[int(begin * RATE) : int(end * RATE), 0].astype(float)
    up = np.flatnonzero((wave_T[:-1] < 0) & (wave_T[1:] >= 0))
    places = up + wave_T[up] / (wave_T[up] - wave_T[up + 1])
    return 69 + 12 * np.log2(RATE / np.diff(places).mean() / 440)


def level_db(wave_TC, begin: float, end: float) -> float:
    return 20 * np.log10(wave_TC[int(begin * RATE) : int(end * RATE)].std())


@pytest.mark.parametrize("key", [33, 57, A4, 76, 93])
def test_a_note_has_its_pitch_and_its_time(sine, key):
    wave_TC = played(sine, [(0.5, 1, key)])
    assert wave_TC.dtype == np.float32
    assert abs(key_of(wave_TC, 0.6, 1.4) - key) < 0.01
    begin, end = sounding(wave_TC)
    assert 0 <= begin - 0.5 < 5 / RATE
    assert 0 <= end - 1.5 < 0.015  # with the release
    np.testing.assert_allclose(wave_TC[:, 0], wave_TC[:, 1], atol=1e-6)


def test_notes_may_be_given_in_any_order(sine):
    rows = [(0.25 * i, 0.2, key) for i, key in enumerate([69, 60, 72, 65, 71])]
    wave_TC = played(sine, rows[::-1])
    for onset, _, key in rows:
        assert abs(key_of(wave_TC, onset + 0.03, onset + 0.19) - key) < 0.03
        gap_TC = wave_TC[int((onset + 0.22) * RATE) : int((onset + 0.249) * RATE)]
        assert np.abs(gap_TC).max() < 1e-5


@pytest.mark.parametrize("cents", [-190, -12.5, 7, 100, 199])
def test_the_bend_is_in_cents(sine, cents):
    wave_TC = played(sine, [(0, SECONDS, A4)], bend=cents)
    assert abs(100 * (key_of(wave_TC, 0.1, 1.9) - A4) - cents) < 0.5


def test_the_bend_varies_in_time_and_is_limited_to_its_range(sine):
    bend = np.repeat([0.0, 50.0, 1000.0, -1000.0], 50)
    bend = np.append(bend, bend[-1])
    wave_TC = played(sine, [(0, SECONDS, A4)], bend=bend)
    expected = 0, 50, midi.BEND_CENTS, -midi.BEND_CENTS
    for i, cents in enumerate(expected):
        found = key_of(wave_TC, 0.5 * i + 0.01, 0.5 * i + 0.49)
        assert abs(100 * (found - A4) - cents) < 1, cents


def test_expression_makes_it_softer(sine):
    note = [(0, SECONDS, A4)]
    levels = [
        level_db(played(sine, note, expression=value), 0, 2) for value in (127, 90, 60, 35)
    ]
    assert (np.diff(levels) < -3).all()
    none = played(sine, note)
    assert abs(levels[0] - level_db(none, 0, 2)) < 0.1
    falling = played(sine, note, expression=np.linspace(127, 30, 201))
    steps = [level_db(falling, t, t + 0.1) for t in np.arange(0, 1.9, 0.2)]
    assert (np.diff(steps) < 0).all()


def test_a_soft_touch_is_softer(sine):
    levels = []
    for velocity in (120, 80, 40):
        notes = note_array([(0, 1, A4)])
        notes["velocity"] = velocity
        performance = Performance(notes, np.zeros(101), None, [])
        levels.append(level_db(samplers.play(sine, None, performance, 1.0), 0, 1))
    assert (np.diff(levels) < -3).all()


def test_the_pedal_holds_notes(sine):
    pedal = [(0.1, True), (1.2, False)]
    assert sounding(played(sine, [(0, 0.3, A4)]))[1] < 0.32
    wave_TC = played(sine, [(0, 0.3, A4)], pedal=pedal)
    assert 1.2 <= sounding(wave_TC)[1] < 1.22
    wave_TC = played(
        sine, [(0, 0.05, A4)], pedal=pedal
    )  # it ends before the pedal goes down
    assert sounding(wave_TC)[1] < 0.07


@given(st.floats(0, 1.5), st.floats(0, 2))
@settings(max_examples=20)
def test_any_length_is_rendered_and_repeats_itself(sine, seconds, onset):
    wave_TC = played(sine, [(onset, 0.3, A4)], seconds=seconds)
    assert wave_TC.shape == (round(seconds * RATE), 2)
    assert np.isfinite(wave_TC).all()
    again = played(sine, [(onset, 0.3, A4)], seconds=seconds)
    np.testing.assert_array_equal(wave_TC, again)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.sf2", b""),
        ("text.sf2", b"no SoundFont\n" * 99),
        ("half.sf2", soundfont()[: len(soundfont()) // 2]),
        ("ohne Töne.sf3", b"RIFF\x04\0\0\0sfbk"),
        ("missing.sf2", None),
    ],
)
def test_a_corrupt_soundfont_is_named_in_one_line(sine, tmp_path, name, content):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match="no usable SoundFont") as error:
        played(sine._replace(path=path), [(0, 1, A4)])
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("preset", [0, PRESET + 1, 999])
def test_a_missing_preset_is_named(sine, preset):
    with pytest.raises(UserError, match=f"has no preset {preset} ") as error:
        played(sine._replace(preset=preset), [(0, 1, A4)])
    assert str(error.value).startswith(str(sine.path))
    assert "\n" not in str(error.value)
