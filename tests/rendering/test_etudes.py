"""Generated duets: playable, complete, varied, the same for the same seed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sep.rendering import etudes
from sep.rendering.performance import NOTE

SEEDS = range(20)


def compose(seed, seconds=60.0):
    return etudes.compose(np.random.default_rng(seed), seconds)


@pytest.fixture(scope="module")
def duets():
    return [compose(seed) for seed in SEEDS]


def sounding(notes):
    """Number of notes that sound just after each onset."""
    ends = notes["onset"] + notes["duration"] - 1e-6
    at = notes["onset"][:, None] + 1e-7
    return ((notes["onset"] <= at) & (ends > at)).sum(1)


def check(notes, seconds, lowest, highest, at_once):
    assert notes.dtype == NOTE
    if not len(notes):
        return
    assert (np.diff(notes["onset"]) >= 0).all()
    assert notes["onset"].min() >= 0
    assert (notes["duration"] > 0.01).all()
    assert (notes["onset"] + notes["duration"]).max() <= seconds + 1e-9
    assert lowest <= notes["pitch"].min() and notes["pitch"].max() <= highest
    assert notes["velocity"].min() >= 1 and notes["velocity"].max() <= 127
    assert sounding(notes).max() <= at_once
    for pitch in np.unique(notes["pitch"]):
        same = notes[notes["pitch"] == pitch]
        ends = same["onset"] + same["duration"]
        assert (ends[:-1] <= same["onset"][1:] + 1e-9).all()


@given(seed=st.integers(0, 2**32), seconds=st.floats(0, 60))
@settings(max_examples=25)
def test_playable_at_any_length(seed, seconds):
    melody, piano = compose(seed, seconds)
    check(melody, seconds, 55, 100, 2)
    check(piano, seconds, 21, 108, 10)


def test_a_key_struck_twice_is_kept_once():
    rows = [(0.0, 1.0, 60, 80, False, False)] * 2 + [(0.5, 1.0, 60, 80, False, False)]
    notes = etudes._playable(rows, 1.2)
    assert notes["onset"].tolist() == [0, 0.5]
    assert notes["duration"] == pytest.approx([0.5, 0.7])


def test_same_seed_same_notes():
    for first, again in zip(compose(3), compose(3), strict=True):
        assert first.tobytes() == again.tobytes()
    assert compose(3)[0].tobytes() != compose(4)[0].tobytes()


def test_the_whole_range_is_used(duets):
    violin = np.concatenate([melody["pitch"] for melody, _ in duets])
    piano = np.concatenate([piano["pitch"] for _, piano in duets])
    assert set(range(55, 101)) == set(violin)
    assert set(range(30, 97)) <= set(piano)
    assert (violin > 88).mean() > 0.05 and (violin < 62).mean() > 0.03


def test_violin_has_what_songs_lack(duets):
    melody = np.concatenate([melody for melody, _ in duets])
    fast = melody["duration"] < 0.15
    assert 0.2 < fast.mean() < 0.8
    assert 0.2 < melody["slurred"].mean() < 0.8
    assert 0.02 < melody["brief"].mean() < 0.3
    assert (melody["duration"] > 1).any()
    double = [(sounding(melody) == 2).mean() for melody, _ in duets if len(melody)]
    assert 0.03 < np.mean(double) < 0.6
    step = np.diff(melody["pitch"])
    assert step.max() > 12  # leaps
    back = (abs(step) < 3) & (abs(step) > 0) & fast[1:] & melody["slurred"][1:]
    trill = back[2:] & back[1:-1] & back[:-2] & (step[2:] == -step[1:-1])
    assert (trill & (step[1:-1] == -step[:-2])).mean() > 0.03


def test_double_stops_fit_the_hand(duets):
    for melody, _ in duets:
        onsets, first, count = np.unique(
            melody["onset"], return_index=True, return_counts=True
        )
        pairs = first[count == 2]
        apart = melody["pitch"][pairs + 1] - melody["pitch"][pairs]
        assert ((apart >= 1) & (apart <= 16)).all()


def test_slurs_join_notes_without_a_gap(duets):
    for melody, _ in duets:
        ends = melody["onset"] + melody["duration"]
        for i in np.flatnonzero(melody["slurred"]):
            assert abs(ends[:i] - melody["onset"][i]).min() < 1e-6
        assert not (melody["slurred"] & melody["brief"]).any()


def test_each_part_plays_and_rests(duets):
    grid = np.arange(0, 60, 0.1)[:, None]
    states = []
    for duet in duets:
        violin, piano = (
            ((n["onset"] <= grid) & (grid < n["onset"] + n["duration"])).any(1)
            for n in duet
        )
        states.append(2 * violin + piano)
    count = np.bincount(np.concatenate(states))
    silent, piano_alone, violin_alone, both = count / count.sum()
    assert silent > 0.01 and piano_alone > 0.05 and violin_alone > 0.05 and both > 0.4


def test_both_parts_share_harmony(duets):
    """Long notes of the violin rarely clash by a semitone with the piano."""
    clash = together = 0
    for melody, piano in duets:
        for note in melody[melody["duration"] > 0.4]:
            middle = note["onset"] + 0.2
            held = piano[
                (piano["onset"] <= middle) & (piano["onset"] + piano["duration"] > middle)
            ]
            together += len(held)
            clash += np.isin((held["pitch"] - note["pitch"]) % 12, [1, 11]).sum()
    assert together > 100
    assert clash / together < 0.08  # 2/12 by chance
