"""Measured pitch, SFZ maps made from notes, and mended maps."""

import os
import re
import subprocess
import sys

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from sounds import noise, save

from sep.errors import UserError
from sep.rendering import maps, mending, regions
from sep.rendering.maps import NoteSample, key_of, layer_of
from sep.rendering.mending import KeyMeasurement
from sep.rendering.pitch import measure_pitch

RATE = 44100


def tone(midi, seconds=0.5, weights=(1, 0.5, 0.4, 0.3, 0.2, 0.1), rate=RATE, seed=0):
    """A note with harmonics of these weights, at random phases."""
    rng = np.random.default_rng(seed)
    hertz = 440 * 2 ** ((midi - 69) / 12)
    time = np.arange(round(seconds * rate)) / rate
    wave = np.zeros_like(time)
    for order, weight in enumerate(weights, 1):
        if order * hertz < 0.45 * rate:
            wave += weight * np.sin(2 * np.pi * order * hertz * time + rng.uniform(0, 6))
    return 0.3 * wave / len(weights)


# Pitch


@settings(max_examples=30)
@given(st.floats(24, 106), st.sampled_from([22050, 44100, 96000]), st.integers(0, 99))
def test_the_pitch_of_a_tone_is_measured_within_two_cents(midi, rate, seed):
    wave = tone(midi, 0.3, rate=rate, seed=seed)
    found = measure_pitch(wave, rate)
    assert abs(found.midi - midi) < 0.02 and found.certainty > 0.9


@pytest.mark.parametrize("midi", [43.2, 55.0, 67.3, 79.1, 95.0])
def test_noise_before_and_in_a_note_does_not_move_its_pitch(midi):
    rng = np.random.default_rng(1)
    quiet = 1e-4 * rng.standard_normal(RATE)
    wave = np.concatenate([quiet, tone(midi) + 0.005 * rng.standard_normal(RATE // 2)])
    assert abs(measure_pitch(wave, RATE).midi - midi) < 0.05


def test_vibrato_does_not_move_the_pitch():
    time = np.arange(2 * RATE) / RATE
    cents = 25 * np.sin(2 * np.pi * 5.5 * time)
    phase = 2 * np.pi * np.cumsum(440 * 2 ** (cents / 1200)) / RATE
    wave = sum(np.sin(n * phase) / n for n in range(1, 15))
    found = measure_pitch(wave, RATE, 69)
    assert abs(found.midi - 69) < 0.05 and found.certainty > 0.8


def test_noise_and_silence_have_no_certain_pitch():
    wave_T = noise(RATE)[:, 0]
    assert measure_pitch(wave_T, RATE).certainty < maps.UNSURE
    assert measure_pitch(wave_T, RATE, 69).certainty < maps.UNSURE
    assert measure_pitch(np.zeros(RATE), RATE, 69).certainty == 0


@given(st.integers(0, 3000))
@settings(max_examples=30)
def test_any_length_can_be_measured(length):
    found = measure_pitch(np.ones(length), RATE, 60)
    assert np.isfinite(found).all()
    assert np.isfinite(measure_pitch(tone(80)[:length], RATE)).all()


def test_an_expected_key_decides_octaves_but_hides_no_wrong_note():
    weak_odd = tone(55, weights=(0.03, 1, 0.12, 0.5, 0.1, 0.3))  # nearly an octave up
    assert abs(measure_pitch(weak_odd, RATE, 55).midi - 55) < 0.05
    for wrong in (67, 43, 74, 62, 70):
        assert abs(measure_pitch(tone(wrong), RATE, 55).midi - wrong) < 0.05


# Names


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("A4", 69), ("C4", 60), ("A#3v10", 58), ("violin_Gs3_1_piano_arco", 56),
        ("Bb3", 58), ("x-violin-g5", 79), ("Ds7", 99), ("A0v1", 21), ("C8", 108),
        ("ba648ac1", None), ("c9fb642d", None), ("take 12", None), ("audio3", None),
    ],
)  # fmt: skip
def test_keys_in_names(name, key):
    assert key_of(name) == key


@pytest.mark.parametrize(
    ("softer", "louder"),
    [
        ("A4v5", "A4v10"), ("A4_pianissimo", "A4_piano"), ("A4_piano", "A4_mezzo-piano"),
        ("A4_mezzo-piano", "A4_mezzo-forte"), ("A4_mezzo-forte", "A4_forte"),
        ("F#4_pp", "F#4_mf"), ("f4_p", "f4_f"), ("A4 velocity 3", "A4 velocity 12"),
    ],
)  # fmt: skip
def test_layers_in_names(softer, louder):
    assert 0 < layer_of(softer) < layer_of(louder)


@pytest.mark.parametrize("name", ["F4", "violin_Fs5_025", "c9fb642d"])
def test_no_layers_where_none_are_named(name):
    assert layer_of(name) == 0


# Maps from notes


def note(tmp_path, key, layer=0, cents=0.0, number=0):
    return NoteSample(
        tmp_path / f"{key}-{layer}-{number}.wav", key, layer, cents, -26.0, 100
    )


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(21, 108), st.integers(0, 3)), min_size=1))
def test_every_key_and_velocity_has_one_zone_of_each_turn(tmp_path_factory, drawn):
    place = tmp_path_factory.getbasetemp()
    notes = [note(place, key, layer, number=i) for i, (key, layer) in enumerate(drawn)]
    made = maps.build(notes, even=True, tune=True)
    assert len(made) == len(notes)
    first = [r for r in made if int(r.get("seq_position", 1)) == 1]
    assert (cover(first) == 1).all()
    for region in made:
        assert regions.number(region, "lokey") <= regions.number(region, "pitch_keycenter")
        assert regions.number(region, "pitch_keycenter") <= regions.number(region, "hikey")


def cover(zones):
    """Number of regions for each key and velocity (128, 128)."""
    count = np.zeros((128, 128), int)
    for region in zones:
        low, high, soft, loud = mending._zone(region)
        count[low : high + 1, soft : loud + 1] += 1
    return count


def test_a_key_takes_the_nearest_sample_tuned_and_evened(tmp_path):
    notes = [note(tmp_path, 60, cents=12.4), note(tmp_path, 67, cents=-3.0)]
    low, high = maps.build(notes, even=True, tune=True)
    assert (low["lokey"], low["hikey"], high["lokey"]) == ("0", "63", "64")
    assert (low["tune"], high["tune"], low["volume"]) == ("-12", "3", "6.0")
    plain = maps.build(notes, even=False, tune=False)[0]
    assert "tune" not in plain and "volume" not in plain


def test_a_map_is_read_as_it_was_written(tmp_path):
    inside = [
        note(tmp_path / "my samples", key, layer) for key in (60, 64) for layer in (1, 2)
    ]
    made = [{"ampeg_release": "0.2"} | r for r in maps.build(inside, even=True, tune=True)]
    regions.write(tmp_path / "a.sfz", made, "note")
    assert regions.read(tmp_path / "a.sfz") == made
    assert str(tmp_path) not in (tmp_path / "a.sfz").read_text()  # the folder may be moved
    regions.write(tmp_path / "elsewhere" / "b.sfz", made, "note")
    assert regions.read(tmp_path / "elsewhere" / "b.sfz") == made


def test_regions_inherit_from_groups_and_globals(tmp_path):
    (tmp_path / "a.sfz").write_text(
        "// comment\n/* <region> sample=gone.wav\nkey=1 */<control> default_path=s/\n"
        "<global> tune=3 volume=1\n"
        "<group> volume=2 lokey=10\n<region> sample=a b.wav key=60 // more\n"
        "<region>\nsample=c.wav\nvolume=5\n<group>\n<region> sample=d.wav hikey=9\n"
        "<group> pan=7\n<global> tune=4\n<region> sample=e.wav\n"
    )
    one, two, three, last = regions.read(tmp_path / "a.sfz")
    assert one["sample"] == str(tmp_path / "s" / "a b.wav")
    assert (one["tune"], one["volume"], one["lokey"], one["hikey"]) == (
        "3",
        "2",
        "10",
        "60",
    )
    assert (two["volume"], three["volume"], "lokey" in three) == ("5", "1", False)
    assert last == {"tune": "4", "sample": str(tmp_path / "s" / "e.wav")}


@pytest.mark.parametrize(
    "text",
    ["", "<global> tune=3", '#include "x.txt"\n<region> sample=a.wav', "<region> key=60",
     "<region> sample=*sine"],
)  # fmt: skip
def test_maps_that_cannot_be_mended_are_refused(tmp_path, text):
    (tmp_path / "a.sfz").write_text(text)
    with pytest.raises(UserError, match=re.escape(str(tmp_path / "a.sfz"))):
        regions.read(tmp_path / "a.sfz")


def test_a_map_that_is_not_there_is_named(tmp_path):
    sfz = pytest.importorskip("sep.rendering.sfz")
    with pytest.raises(UserError, match="no such SFZ map"):
        sfz.load(tmp_path / "nowhere" / "a.sfz")


# Mending


def measured(cents=0.0, level=-35.0, onset=0.0):
    return KeyMeasurement(60, cents, 1.0, level, onset)


def test_neighbours_replace_faulty_regions(tmp_path):
    original = maps.build([note(tmp_path, k) for k in (60, 62, 64)], even=False, tune=True)
    kept, lines = mending.mend(original, [measured(), measured(-560), measured(20)])
    assert [(r["lokey"], r["hikey"], r["tune"]) for r in kept] == [
        ("0", "62", "0"), ("63", "127", "-20"),
    ]  # fmt: skip
    assert "-560 cents" in lines[0] and "+20 cents" in lines[1]
    kept, lines = mending.mend(original, [measured(), measured(49), measured(level=-99)])
    assert [(r["lokey"], r["hikey"]) for r in kept] == [("0", "61"), ("62", "127")]
    with pytest.raises(UserError):
        mending.mend(original, [measured(100)] * 3)


def test_turns_are_numbered_again(tmp_path):
    original = maps.build([note(tmp_path, 60, number=i) for i in range(3)], even=0, tune=0)
    kept, _ = mending.mend(original, [measured(), measured(90), measured()])
    assert [(r["seq_length"], r["seq_position"]) for r in kept] == [("2", "1"), ("2", "2")]


@settings(max_examples=50)
@given(st.data())
def test_mended_layers_have_no_gap_and_no_overlap(tmp_path_factory, data):
    place = tmp_path_factory.getbasetemp()
    keys = data.draw(st.lists(st.integers(21, 108), min_size=1, max_size=8, unique=True))
    notes = [note(place, key, layer) for key in keys for layer in (1, 2)]
    original = maps.build(notes, even=False, tune=False)
    is_good = [data.draw(st.booleans()) for _ in notes]
    for layer in (0, 1):  # one of each layer stays
        is_good[layer * len(keys)] = True
    measurements = [measured(0 if good else 200) for good in is_good]
    kept, lines = mending.mend(original, measurements)
    assert len(kept) == sum(is_good)
    assert (cover(kept) == 1).all() and not any("gap" in line for line in lines)


def test_keys_and_opcodes_are_parsed():
    assert mending.parse_keys(["55", "58"], "--keys") == range(55, 59)
    assert regions.parse_opcodes(["a=1", " b = x y"], "--opcodes") == {"a": "1", "b": "x y"}
    for texts in ([], ["9"], ["9", "8"], ["-1", "5"], ["5", "128"], ["C4", "D4"]):
        with pytest.raises(UserError, match="--keys: must be two MIDI keys"):
            mending.parse_keys(texts, "--keys")
    for text in ("tune", "tune=", "=3"):
        with pytest.raises(UserError, match="--opcodes.*write opcode=value"):
            regions.parse_opcodes([text], "--opcodes")


# The command, with real files and the player


@pytest.fixture
def folder(tmp_path):
    """Notes of an instrument, and one file with each fault."""
    for name, midi in (("G3", 55.1), ("D4", 61.85), ("A4", 69.0), ("E5", 76.2)):
        save(tmp_path / "notes" / f"{name}.wav", tone(midi, 1.2, seed=3), RATE)
    save(tmp_path / "notes" / "C5.wav", tone(70.0, 1.2), RATE)  # another note
    save(tmp_path / "notes" / "C6.wav", np.zeros(RATE), RATE)
    save(tmp_path / "notes" / "D6.wav", noise(RATE), RATE)
    (tmp_path / "notes" / "E6.wav").write_text("not sound")
    return tmp_path / "notes"


def test_a_map_made_from_notes_plays_in_tune(command, folder, tmp_path, capfd):
    pytest.importorskip("pysfizz")
    out = tmp_path / "made.sfz"
    command("map", folder, f"--out={out}", "--report", "--keys=55,76")
    lines = capfd.readouterr().out.splitlines()
    left_out = [line for line in lines if "left out" in line]
    for name in ("C5.wav", "C6.wav", "D6.wav", "E6.wav"):
        assert sum(name in line for line in left_out) == 1
    assert len(left_out) == 4 and len(regions.read(out)) == 4
    assert "4 of 8 notes" in "\n".join(lines)
    table = [line.split() for line in lines[-23:-1]]
    assert [int(key) for key, *_ in table] == [*range(55, 77)]
    assert max(abs(float(cents)) for _, cents, _, _ in table) < 5
    levels = [float(level) for *_, level in table]
    assert max(levels) - min(levels) < 6
    assert re.fullmatch(r".*made.sfz: median \d.\d cents off, worst \d; .* dB", lines[-1])


def test_a_faulty_map_is_mended(command, tmp_path, capfd):
    pytest.importorskip("pysfizz")
    for name, midi in (("G3", 55), ("D4", 62), ("A4", 69), ("E5", 76)):
        save(tmp_path / f"{name}.wav", tone(midi, 1.2, seed=3), RATE)
    names = ("G3", "D4", "A4", "E5")
    notes = [maps.measure_note(tmp_path / f"{name}.wav") for name in names]
    faulty = maps.build(notes, even=True, tune=True)
    faulty[1]["pitch_keycenter"] = "66"
    faulty[2]["volume"] = "-90"
    faulty[3]["tune"] = "25"
    regions.write(tmp_path / "faulty.sfz", faulty, "faulty")
    mended = tmp_path / "new" / "mended.sfz"
    command("map", tmp_path / "faulty.sfz", f"--out={mended}")
    out = capfd.readouterr().out
    assert "D4.wav: -400 cents off" in out and "A4.wav: silent" in out
    assert "E5.wav: was +" in out and "2 of 4 regions" in out
    keys = mending.measure_keys(mended, range(50, 80, 6))
    assert max(abs(key.cents) for key in keys) < 6


def test_a_sample_that_begins_late_is_trimmed_in_a_map(tmp_path):
    pytest.importorskip("pysfizz")
    save(tmp_path / "C4.wav", np.concatenate([np.zeros(RATE // 2), tone(60, 1.0)]), RATE)
    (tmp_path / "a.sfz").write_text("<region> sample=C4.wav pitch_keycenter=60")
    original = regions.read(tmp_path / "a.sfz")
    measurements = [mending.measure_region(region) for region in original]
    (kept,), lines = mending.mend(original, measurements)
    assert "late" in lines[0] and 0.45 * RATE < int(kept["offset"]) < 0.5 * RATE
    assert mending.measure_region(kept).onset < mending.LATE


def test_onsets_are_trimmed(tmp_path):
    save(tmp_path / "C4.wav", np.concatenate([np.zeros(RATE), tone(60)]), RATE)
    assert RATE - 0.004 * RATE < maps.measure_note(tmp_path / "C4.wav").onset <= RATE


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a folder"),
        (["x.sfz"], "nothing to do"),
        (["x", "--out=y.wav"], "must end in .sfz"),
        (["x", "--report"], "needs one SFZ map"),
        (["x.sfz", "--report", "--keys=9"], "two MIDI keys"),
        (["x", "--out=y.sfz", "--opcodes=tune"], "opcode=value"),
    ],
)
def test_wrong_use_is_reported(command, arguments, message):
    with pytest.raises(UserError, match=re.escape(message)):
        command("map", *arguments)


def test_an_error_of_the_command_is_one_line():
    line = [sys.executable, "-m", "sep.data", "map", "nowhere.sfz", "--out=y.sfz"]
    environment = os.environ | {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}  # one start
    done = subprocess.run(line, capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 1
    assert re.fullmatch("error: nowhere.sfz: cannot be read.*\n", done.stderr)
