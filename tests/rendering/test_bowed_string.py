"""Parametric violins: in tune, each with one colour, different from each other."""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sep.rendering import RATE, bowed_string
from sep.rendering.performance import CONTROL_RATE, NOTE, Performance

SEEDS = range(4)  # of the violins that the tests share


@functools.cache
def drawn(seed):
    """A violin; drawing one takes longer than playing a second on it."""
    return bowed_string.draw(np.random.default_rng(seed))


def line(rows, seconds, bend=0.0, expression=95.0, **fields):
    """A performance of (onset, duration, pitch) rows with constant controls."""
    notes = np.zeros(len(rows), NOTE)
    notes["velocity"] = 80
    for name, column in zip(
        ("onset", "duration", "pitch"), zip(*rows, strict=True), strict=False
    ):
        notes[name] = column
    for name, value in fields.items():
        notes[name] = value
    count = int(seconds * CONTROL_RATE)
    return Performance(notes, np.full(count, bend), np.full(count, expression), [])


def play(violin, performance, seconds, seed=0):
    return bowed_string.play(violin, np.random.default_rng(seed), performance, seconds)


def spectrum(wave, size=2**18):
    """Frequency and power, at a fine resolution."""
    power = abs(np.fft.rfft(wave * np.hanning(len(wave)), size)) ** 2
    return np.fft.rfftfreq(size, 1 / RATE), power


def hertz(pitch):
    return 440 * 2 ** ((pitch - 69) / 12)


def cents_off(wave, pitch):
    """Deviation of the strongest of the first five harmonics."""
    frequency, power = spectrum(wave)
    best = []
    for n in range(1, 6):
        near = abs(frequency / (n * hertz(pitch)) - 1) < 0.03
        if near.any():
            top = np.flatnonzero(near)[power[near].argmax()]
            best.append((power[top], 1200 * np.log2(frequency[top] / (n * hertz(pitch)))))
    return max(best)[1]


def level(wave):
    """RMS of every 5 ms, in dB."""
    frames = wave[: len(wave) // 220 * 220].reshape(-1, 220).astype(float)
    return 10 * np.log10((frames**2).mean(1) + 1e-12)


def colour(violin, seed=0):
    """Spectrum of a scale in thirds of octaves, in dB."""
    scale = line([(i * 0.1, 0.1, 57 + 2 * i) for i in range(15)], 1.5)
    frequency, power = spectrum(play(violin, scale, 1.5, seed))
    edges = np.geomspace(250, 8000, 16)
    bands = [
        power[(a <= frequency) & (frequency < b)].sum()
        for a, b in zip(edges[:-1], edges[1:], strict=True)
    ]
    return 10 * np.log10(np.array(bands) / sum(bands))


@pytest.fixture(scope="module")
def colours():
    return [colour(drawn(seed)) for seed in SEEDS]


@pytest.mark.parametrize("pitch", range(55, 101, 5))
def test_in_tune(pitch):
    wave = play(drawn(pitch % len(SEEDS)), line([(0, 1.2, pitch)], 1.3), 1.3)
    assert abs(cents_off(wave[RATE // 5 : int(1.1 * RATE)], pitch)) < 5


def test_bends_by_cents():
    wave = play(drawn(1), line([(0, 1.2, 69)], 1.3, bend=50.0), 1.3)
    assert cents_off(wave[RATE // 5 : int(1.1 * RATE)], 69.5) == pytest.approx(0, abs=5)


def test_one_seed_gives_one_wave_and_another_seed_another():
    performance = line([(0, 0.2, 60), (0.2, 0.2, 76)], 0.5)
    violins = drawn(0), drawn.__wrapped__(0), drawn(1)
    waves = [play(violin, performance, 0.5).tobytes() for violin in violins]
    assert waves[0] == waves[1] != waves[2]
    assert play(drawn(0), performance, 0.5, seed=1).tobytes() != waves[0]


def test_draws_differ_in_colour(colours):
    """Long-term spectra in thirds of octaves differ by many dB."""
    for i in SEEDS:
        for j in range(i):
            assert np.std(colours[i] - colours[j]) > 3


def test_a_violin_keeps_its_body(colours):
    """Two performances on one violin are alike, those on two violins are not."""
    same = np.std(colours[0] - colour(drawn(0), seed=1))
    assert same < 0.5 * np.std(colours[0] - colours[1])


def test_no_notes_are_silence():
    nothing = Performance(np.zeros(0, NOTE), np.zeros(0), None, [])
    wave = play(drawn(0), nothing, 0.5)
    assert wave.shape == (RATE // 2,) and not wave.any() and wave.dtype == np.float32


def test_silent_before_and_after():
    violin = drawn(0)._replace(ring=0.05)
    wave = play(violin, line([(0.3, 0.3, 69)], 2.5), 2.5)
    assert abs(wave[: int(0.29 * RATE)]).max() < 1e-6
    assert abs(wave[2 * RATE :]).max() < 1e-6
    assert abs(wave[int(0.3 * RATE) : RATE]).max() > 0.01


@pytest.mark.parametrize("pitch", [88, 94, 100])
def test_nothing_is_aliased_below_the_note(pitch):
    for seed in SEEDS[:2]:
        violin = drawn(seed)._replace(noise_db=-200.0, cutoff=np.full(4, 1e5))
        wave = play(violin, line([(0, 0.9, pitch)], 1), 1)
        frequency, power = spectrum(wave[RATE // 2 : int(0.85 * RATE)])
        assert power[frequency < 0.9 * hertz(pitch)].sum() < 1e-5 * power.sum()


def test_harmonics_reach_the_limit_and_end_there():
    harmonics = bowed_string._harmonics(
        np.ones(100),
        np.ones(RATE),
        2 * np.pi * 1000 * np.arange(RATE) / RATE,
        np.full(RATE, 1000.0),
    )
    power = abs(np.fft.rfft(harmonics)) ** 2
    lines = power[1000:21001:1000] / power[1000]
    assert lines[:16] == pytest.approx(1, rel=1e-3)
    assert (np.diff(lines[15:20]) < -0.05).all()
    assert lines[20] < 1e-6


def test_slurs_have_no_gap_and_separate_strokes_do():
    rows = [(i * 0.25, 0.25, 60 + 2 * i) for i in range(8)]
    impulse = np.zeros(99, np.float32)
    impulse[0] = 1
    for seed in SEEDS[:2]:
        violin = drawn(seed)._replace(
            attack=0.06,
            flutter_db=0.0,
            ring=0.04,
            cutoff=np.full(4, 5000.0),
            body_T=impulse,
        )
        slurred = line(rows, 2, slurred=[i > 0 for i in range(8)])
        dips = []
        for performance in (slurred, line(rows, 2)):
            levels = level(play(violin, performance, 2, seed))
            dips.append(levels[40:-80].min() - np.median(levels))
        assert dips[0] > -8
        assert dips[1] < dips[0] - 3


def test_a_slur_glides_between_its_pitches():
    rows = [(0, 0.8, 62), (0.8, 0.8, 68)]
    wave = play(drawn(2), line(rows, 1.6, slurred=[False, True]), 1.6)
    first, second = (wave[int(a * RATE) : int((a + 0.6) * RATE)] for a in (0.15, 0.9))
    assert cents_off(first, 62) == pytest.approx(0, abs=8)
    assert cents_off(second, 68) == pytest.approx(0, abs=8)


def test_brief_strokes_are_short():
    violin = drawn(0)._replace(ring=0.05)
    seconds = []
    for brief in (False, True):
        levels = level(play(violin, line([(0, 0.8, 71)], 1.5, brief=brief), 1.5))
        seconds.append((levels > levels.max() - 20).sum() * 0.005)
    assert seconds[1] < 0.5 < seconds[0]


def test_a_string_rings_on_and_decays():
    violin = drawn(0)._replace(
        ring=0.1, noise_db=-200.0, flutter_db=0.0, body_T=np.ones(1, np.float32)
    )
    wave = play(violin, line([(0, 0.6, 65)], 2), 2)
    decay = level(wave)
    held = np.median(decay[40:110])
    assert -12 < decay[125:135].mean() - held < -2  # 50 ms after the bow has left
    assert decay[200:210].mean() < held - 20
    assert decay[300:].max() < -100
    bowed, ringing = (
        (f * p).sum() / p.sum()
        for f, p in map(spectrum, (wave[16000:24000], wave[28000:36000]))
    )
    assert ringing < 0.9 * bowed  # the upper harmonics decay first


def test_both_notes_of_a_double_stop_sound():
    for pair in ((55, 62), (64, 67), (69, 81)):
        wave = play(drawn(3), line([(0, 0.7, key) for key in pair], 0.8), 0.8)
        frequency, power = spectrum(wave[RATE // 5 : int(0.7 * RATE)])
        for key in pair:
            near = abs(frequency / hertz(key) - 1) < 0.02
            assert power[near].max() > 1e-4 * power.max()


def test_strings():
    violin = drawn(0)._replace(high_position=0.0)
    rng = np.random.default_rng(0)
    notes = line([(i, 0.9, key) for i, key in enumerate((55, 61, 62, 70, 100))], 6).notes
    assert bowed_string._fingering(rng, violin, notes).tolist() == [0, 0, 1, 2, 3]
    pair = line([(0, 1, 76), (0, 1, 80)], 2).notes
    assert len(set(bowed_string._fingering(rng, violin, pair))) == 2


def test_velocity_and_expression_make_it_louder_and_velocity_brighter():
    note = [(0, 0.8, 69)]
    soft, loud = (
        play(drawn(0), line(note, 0.9, velocity=velocity), 0.9) for velocity in (40, 110)
    )
    assert loud.std() > 2 * soft.std()
    centroids = [
        (f * p).sum() / p.sum()
        for f, p in (spectrum(wave[RATE // 4 : int(0.8 * RATE)]) for wave in (soft, loud))
    ]
    assert centroids[1] > centroids[0]
    hushed = play(drawn(0), line(note, 0.9, expression=40.0, velocity=110), 0.9)
    assert hushed.std() < loud.std() / 2


@pytest.mark.parametrize("seed", SEEDS)
def test_bodies_resonate_where_violins_do(seed):
    body_T = drawn(seed).body_T
    frequency = np.fft.rfftfreq(2**16, 1 / RATE)
    gain_db = 20 * np.log10(abs(np.fft.rfft(body_T, 2**16)) + 1e-9)

    def peak(low, high):
        return gain_db[(frequency > low) & (frequency < high)].max()

    assert peak(250, 600) > peak(60, 120) + 15
    assert abs(body_T[-1]) < 1e-3 * abs(body_T).max()  # it has decayed


notes = st.lists(
    st.tuples(
        st.floats(-0.1, 0.8),
        st.floats(0, 1),
        st.integers(50, 105),
        st.integers(1, 127),
        st.booleans(),
        st.booleans(),
    ),
    max_size=6,
)


@given(
    rows=notes,
    seconds=st.floats(0, 0.6),
    curve=st.integers(0, 50),
    loud=st.floats(0, 127),
    seed=st.sampled_from(SEEDS),
)
@settings(max_examples=30)
def test_any_performance_any_length(rows, seconds, curve, loud, seed):
    performance = Performance(
        np.array(rows, NOTE),
        np.full(curve, 30.0),
        np.full(curve, loud) if curve else None,
        [],
    )
    wave = play(drawn(seed), performance, seconds)
    assert wave.shape == (round(seconds * RATE),) and wave.dtype == np.float32
    assert np.isfinite(wave).all()
    assert abs(wave).max(initial=0) <= 0.9 + 1e-6
