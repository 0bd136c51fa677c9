"""Notes to stems: arranging, performing, playing; and catalogues of instruments."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from sep.errors import UserError
from sep.rendering import (
    arrangement,
    etudes,
    instruments,
    midi,
    performance,
    pieces,
    samplers,
)
from sep.rendering.performance import note_array
from sep.rendering.pitch import measure_pitch

RATE = 44100
DRY = np.zeros((0, 1))  # no rooms

NOTES = st.lists(
    st.tuples(st.floats(0, 20), st.floats(0.01, 3), st.integers(20, 110)),
    min_size=1,
    max_size=30,
)


@pytest.fixture(scope="module")
def catalogue(orchestra):
    return instruments.catalogue(orchestra, orchestra.parent)


def options(**changes):
    return pieces.PieceOptions(
        **{"seconds": 3, "start": None, "variety": 0.5, "level_db": 3} | changes
    )


def song(quarters):
    """A melody A4 B4 C5 D5 over chords of C major, as the notes of both parts."""
    beat = 60 / 90
    melody = [(i * beat, beat, (69, 71, 72, 74)[i % 4]) for i in range(quarters)]
    chords = [(i * beat, beat, key) for i in range(quarters) for key in (48, 52, 55)]
    return note_array(melody), note_array(chords)


# Notes


@given(NOTES, st.integers(0, 2**32))
@settings(max_examples=40)
def test_any_melody_becomes_one_for_the_violin(rows, seed):
    melody, piano = note_array(rows), note_array(rows[::-1])
    rng = np.random.default_rng(seed)
    for notes in (
        arrangement.for_violin(melody),
        arrangement.vary(rng, arrangement.for_violin(melody), piano)[0],
    ):
        assert len(notes)
        assert notes["pitch"].min() >= arrangement.LOWEST
        assert notes["pitch"].max() <= arrangement.HIGHEST
        assert (np.diff(notes["onset"]) >= 0).all()


@given(NOTES, st.integers(0, 2**32))
@settings(max_examples=40)
def test_performing_keeps_the_notes_and_their_order_in_time(rows, seed):
    rng, notes = np.random.default_rng(seed), note_array(rows)
    (played,) = performance.rubato(rng, [notes], 1.0)
    assert sorted(played["pitch"]) == sorted(notes["pitch"])
    assert (np.abs(played["onset"] - notes["onset"]) < 0.1 + 0.2 * notes["onset"]).all()
    for perform in (performance.at_piano, performance.at_violin):
        performed = perform(rng, played, 20.0, 5.0)
        assert len(performed.notes) == len(notes)
        assert performed.notes["velocity"].min() >= 1
        assert performed.notes["velocity"].max() <= 127
        assert (performed.notes["duration"] > 0).all()
        assert np.isfinite(performed.bend).all()


def test_a_violin_is_tuned_and_vibrates_around_its_tuning():
    notes = note_array([(i, 1, 60 + i) for i in range(20)])
    bends = [
        performance.at_violin(np.random.default_rng(seed), notes, 20.0, 12.0).bend
        for seed in range(20)
    ]
    assert abs(np.median(bends) - 12) < 2
    spread = [np.ptp(bend) for bend in bends]
    assert min(spread) < 40 < max(spread) < 160


def test_a_key_struck_again_is_not_cut_by_its_first_release():
    events = midi.timeline(note_array([(0, 2, 60), (1, 2, 60)]), [], 5)
    assert [(event.sample, event.kind) for event in events] == [
        (0, midi.ON),
        (RATE, midi.OFF),
        (RATE, midi.ON),
        (3 * RATE, midi.OFF),
    ]


def test_a_pedal_holds_notes_that_end_while_it_is_down():
    notes = note_array([(0, 1, 60), (2, 1, 62), (4, 1, 64)])
    pedal = [(0.5, True), (1.5, False), (4.5, True)]
    played = performance.Performance(notes, np.zeros(1), None, pedal)
    np.testing.assert_allclose(midi.held_on(played)["duration"], [1.5, 1, 5])


def test_both_play_in_short_composed_pieces():
    for seed in range(25):
        parts = etudes.duet(np.random.default_rng(seed), 4.0)
        assert all(map(len, parts))


# Sound


@pytest.mark.parametrize("name", ["strings", "bowed"])
def test_notes_sound_at_their_pitch_and_time(catalogue, name):
    (violin,) = (i for i in catalogue["violin"] if i.name == name)
    keys = [58, 67, 76, 88]
    notes = note_array([(0.5 + 0.5 * i, 0.4, key) for i, key in enumerate(keys)])
    steady = np.full(300, 20.0), np.full(300, 100.0)
    played = performance.Performance(notes, *steady, [])
    wave_TC = samplers.play(violin, np.random.default_rng(0), played, 3.0)
    assert wave_TC.shape == (3 * RATE, 2)
    assert wave_TC.dtype == np.float32
    assert np.abs(wave_TC[: RATE // 3]).max() < 1e-4 * np.abs(wave_TC).max()
    for i, key in enumerate(keys):
        begin = int((0.6 + 0.5 * i) * RATE)
        found = measure_pitch(wave_TC[begin : begin + RATE // 4, 0], RATE, key)
        assert abs(found.midi - key - 0.2) < 0.06, (key, found)


def test_brief_phrases_are_played_with_another_map_of_a_folder(orchestra, tmp_path):
    sfz = pytest.importorskip("sep.rendering.sfz")
    sample = orchestra.with_name("strings60.wav")
    for name, centre in (("sus", 72), ("spiccato", 60)):  # sus plays an octave too low
        text = f"<region> sample={sample} pitch_keycenter={centre}"
        (tmp_path / f"violin_{name}.sfz").write_text(text)
    violin = instruments.Instrument("violin", "folder", "CC0", path=tmp_path)
    notes = note_array([(i * 0.2, 0.2, 70) for i in range(5)])
    for brief, expected in ((False, 58), (True, 70)):
        notes["brief"] = brief
        played = performance.Performance(notes, np.zeros(1), np.full(200, 100.0), [])
        wave_TC = sfz.play(violin, np.random.default_rng(0), played, 1.0)
        assert abs(measure_pitch(wave_TC[:, 0], RATE).midi - expected) < 0.1


def test_a_piece_is_audible_to_its_end_and_within_full_scale(catalogue):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        stems = pieces.render(rng, song(12), catalogue, DRY, options())
        waves = {kind: stem.wave_CT.astype(int) for kind, stem in stems.items()}
        assert waves["piano"].shape == waves["violin"].shape
        assert waves["piano"].shape[1] <= 3 * RATE
        assert all(wave.std() > 300 for wave in waves.values())
        assert np.abs(sum(waves.values())).max() <= 32767
        ratio = 20 * np.log10(waves["piano"].std() / waves["violin"].std())
        assert abs(ratio) < 7
        for stem in stems.values():
            assert (stem.notes["onset"] < 3).all()


def test_a_room_sounds_on_after_the_last_note(catalogue):
    room_L = np.random.default_rng(0).normal(size=RATE) * np.exp(-np.arange(RATE) / 8000)
    room_L[0] = 1
    sampled = catalogue | {"violin": catalogue["violin"][:1]}  # it stops at once
    tails = []
    for rooms_RL in (DRY, room_L[None]):
        rng = np.random.default_rng(1)
        plain = options(variety=0.0, start=0.0, seconds=20.0)
        stem = pieces.render(rng, song(4), sampled, rooms_RL, plain)["violin"]
        end = (stem.notes["onset"] + stem.notes["duration"]).max()
        tail = stem.wave_CT[:, int((end + 0.35) * RATE) :].astype(float)
        tails.append(tail.std() / stem.wave_CT.std())
    assert tails[0] < 1e-3 and tails[1] > 0.01


def test_a_passage_without_one_part_is_refused(catalogue):
    melody, piano = note_array([(0, 1, 70)]), note_array([(100, 1, 50)])
    for parts in ((melody, piano), (melody[:0], piano), (melody, piano[:0])):
        for start in (0.0, None):
            with pytest.raises(UserError, match="nothing to play"):
                rng = np.random.default_rng(0)
                pieces.render(rng, parts, catalogue, DRY, options(start=start))


def test_an_instrument_that_is_silent_is_named(catalogue):
    silent = catalogue["violin"][0]._replace(lowest=100, highest=127)  # beyond its map
    broken = catalogue | {"violin": [silent]}
    with pytest.raises(UserError, match="strings: is silent in this violin part"):
        pieces.render(np.random.default_rng(0), song(4), broken, DRY, options())


# Catalogues


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("not toml", "not a TOML file"),
        ("[[piano]]\nname='a'\nlicence='b'\nmodel='bowed_string'", "has no [[violin]]"),
        ("violin = 3", "write [[violin]]"),
        ("[violin]\nname='a'", "write [[violin]]"),
        ("[[violin]]\nname='a'\nlicence='b'\nmodel='c'\nkind='d'", "kind is not a setting"),
        ("[[flute]]\nname='a'", "[[flute]] is not a kind of instrument; use [[piano]] or"),
        ("[[violin]]\nname='a'\npath='b.sfz'", "has no licence"),
        ("[[violin]]\nname='a'\nlicence='b'\npath='b.sfz'", "b.sfz is missing"),
        ("[[violin]]\nname='a'\nlicence='b'", "needs either a path or a model"),
        ("[[violin]]\nname='a'\nlicence='b'\nmodel='c'\nwieght=3", "wieght is not a"),
        (
            "[[violin]]\nname='a'\nlicence='b'\nmodel='c'\nweight='3'",
            "weight must be a number",
        ),
        (
            "[[violin]]\nname='a'\nlicence='b'\nmodel='c'\nweight=0",
            "weight must be above 0",
        ),
        ("[[violin]]\nname='a'\nlicence='b'\nmodel=''", "needs either a path or a model"),
        (
            "[[violin]]\nname='a'\nlicence='b'\nmodel='c'\nlowest=60\nhighest=65",
            "must span an octave",
        ),
    ],
)
def test_a_wrong_catalogue_is_reported_in_one_line(tmp_path, text, complaint):
    path = tmp_path / "wrong.toml"
    if "violin" in text:
        text += "\n[[piano]]\nname='p'\nlicence='b'\nmodel='bowed_string'"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        instruments.catalogue(path, tmp_path)
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_model_is_named():
    flute = instruments.Instrument("violin", "flute", "CC0", model="pipe")
    played = performance.Performance(note_array([(0, 1, 70)]), np.zeros(1), None, [])
    with pytest.raises(UserError, match="instrument flute: unknown kind pipe"):
        samplers.play(flute, np.random.default_rng(0), played, 1.0)
