"""Parametric violins: in tune, alike to themselves, unlike each other."""

import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st

from sep.rendering import RATE, bowed_string
from sep.rendering.performance import CONTROL_RATE, NOTE, Performance


def line(rows, seconds, bend=0.0, expression=95.0, **fields):
    """A performance of (onset, duration, pitch) rows with level controls."""
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


def play(seed, performance, seconds):
    rng = np.random.default_rng(seed)
    return bowed_string.play(bowed_string.draw(rng), rng, performance, seconds)


def spectrum(wave):
    """Power by frequency, finely: (frequency, power)."""
    size = 2**18
    power = abs(np.fft.rfft(wave * np.hanning(len(wave)), size)) ** 2
    return np.fft.rfftfreq(size, 1 / RATE), power


def hertz(pitch):
    return 440 * 2 ** ((pitch - 69) / 12)


def cents_off(wave, pitch):
    """From the strongest of the first five harmonics' peaks."""
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


@pytest.mark.parametrize("pitch", range(55, 101, 5))
def test_in_tune(pitch):
    for seed in range(3):
        wave = play(seed, line([(0, 2.2, pitch)], 2.3), 2.3)
        assert abs(cents_off(wave[RATE // 5 : 2 * RATE], pitch)) < 5


def test_bends_by_cents():
    wave = play(1, line([(0, 2.2, 69)], 2.3, bend=50.0), 2.3)
    assert cents_off(wave[RATE // 5 : 2 * RATE], 69.5) == pytest.approx(0, abs=5)


def test_same_seed_same_bytes_and_another_another():
    performance = line([(0, 0.5, 60), (0.5, 0.5, 76)], 1)
    waves = [play(seed, performance, 1).tobytes() for seed in (5, 5, 6)]
    assert waves[0] == waves[1] != waves[2]


def test_draws_differ_in_colour():
    """Long-term spectra in thirds of octaves lie many dB apart."""
    scale = line([(i * 0.2, 0.2, 57 + 2 * i) for i in range(15)], 3)
    edges = np.geomspace(250, 8000, 16)
    colours = []
    for seed in range(6):
        frequency, power = spectrum(play(seed, scale, 3))
        bands = [
            power[(a <= frequency) & (frequency < b)].sum()
            for a, b in zip(edges[:-1], edges[1:], strict=True)
        ]
        colours.append(10 * np.log10(np.array(bands) / sum(bands)))
    for i in range(6):
        for j in range(i):
            assert np.std(colours[i] - colours[j]) > 3


def test_a_violin_keeps_its_body():
    """Two performances on one violin are alike, on two violins not."""
    scale = line([(i * 0.2, 0.2, 57 + 2 * i) for i in range(15)], 3)
    violins = [bowed_string.draw(np.random.default_rng(seed)) for seed in (0, 1)]
    edges = np.geomspace(250, 8000, 16)

    def colour(violin, seed):
        wave = bowed_string.play(violin, np.random.default_rng(seed), scale, 3)
        frequency, power = spectrum(wave)
        bands = [
            power[(a <= frequency) & (frequency < b)].sum()
            for a, b in zip(edges[:-1], edges[1:], strict=True)
        ]
        return 10 * np.log10(np.array(bands) / sum(bands))

    same = np.std(colour(violins[0], 0) - colour(violins[0], 1))
    assert same < 0.5 * np.std(colour(violins[0], 0) - colour(violins[1], 0))


def test_no_notes_no_sound():
    nothing = Performance(np.zeros(0, NOTE), np.zeros(0), None, [])
    wave = play(0, nothing, 0.5)
    assert wave.shape == (RATE // 2,) and not wave.any() and wave.dtype == np.float32


def test_silent_before_and_after():
    wave = play(0, line([(3.0, 0.5, 69)], 9), 9)
    assert abs(wave[: int(2.99 * RATE)]).max() < 1e-6
    assert abs(wave[8 * RATE :]).max() < 1e-6
    assert abs(wave[3 * RATE : 4 * RATE]).max() > 0.01


@pytest.mark.parametrize("pitch", [88, 94, 100])
def test_nothing_mirrored_below_the_note(pitch):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        violin = bowed_string.draw(rng)._replace(noise_db=-200.0, cutoff=np.full(4, 1e5))
        wave = bowed_string.play(violin, rng, line([(0, 1.4, pitch)], 1.5), 1.5)
        frequency, power = spectrum(wave[RATE // 2 : int(1.3 * RATE)])
        assert power[frequency < 0.9 * hertz(pitch)].sum() < 1e-5 * power.sum()


def test_brightness_reaches_up_to_the_limit_and_no_further():
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


def test_slurs_have_no_gap_and_separate_strokes_begin_anew():
    rows = [(i * 0.25, 0.25, 60 + 2 * i) for i in range(12)]
    for seed in range(4):
        rng = np.random.default_rng(seed)
        violin = bowed_string.draw(rng)._replace(
            attack=0.06, flutter_db=0.0, ring=0.04, cutoff=np.full(4, 5000.0)
        )
        flat = np.zeros(99, np.float32)
        flat[0] = 1
        violin = violin._replace(body_T=flat)
        slurred = line(rows, 3, slurred=[i > 0 for i in range(12)])
        dips = []
        for performance in (slurred, line(rows, 3)):
            wave = bowed_string.play(violin, np.random.default_rng(seed), performance, 3)
            dips.append(level(wave)[40:-80].min() - np.median(level(wave)))
        assert dips[0] > -8
        assert dips[1] < dips[0] - 3


def test_a_slur_glides_between_its_pitches():
    wave = play(2, line([(0, 1, 62), (1, 1, 68)], 2, slurred=[False, True]), 2)
    assert cents_off(wave[RATE // 5 : int(0.95 * RATE)], 62) == pytest.approx(0, abs=8)
    assert cents_off(wave[int(1.05 * RATE) : int(1.9 * RATE)], 68) == pytest.approx(
        0, abs=8
    )


def test_brief_strokes_are_short():
    violin = bowed_string.draw(np.random.default_rng(0))._replace(ring=0.05)
    lasting = []
    for brief in (False, True):
        performance = line([(0, 0.8, 71)], 1.5, brief=brief)
        wave = bowed_string.play(violin, np.random.default_rng(0), performance, 1.5)
        lasting.append((level(wave) > level(wave).max() - 20).sum() * 0.005)
    assert lasting[1] < 0.5 < lasting[0]


def test_a_string_rings_on_and_dies_away():
    violin = bowed_string.draw(np.random.default_rng(0))._replace(
        ring=0.1, noise_db=-200.0, flutter_db=0.0, body_T=np.ones(1, np.float32)
    )
    performance = line([(0, 0.6, 65)], 2)
    wave = bowed_string.play(violin, np.random.default_rng(0), performance, 2)
    decay = level(wave)
    held = np.median(decay[40:110])
    assert -12 < decay[125:135].mean() - held < -2  # 50 ms after the bow has left
    assert decay[200:210].mean() < held - 20
    assert decay[300:].max() < -100
    bowed, ringing = (
        (f * p).sum() / p.sum()
        for f, p in map(spectrum, (wave[16000:24000], wave[28000:36000]))
    )
    assert ringing < 0.9 * bowed  # the upper harmonics die first


def test_both_notes_of_a_double_stop_sound():
    for pair in ((55, 62), (64, 67), (69, 81)):
        both = play(3, line([(0, 1.5, key) for key in pair], 1.6), 1.6)[RATE // 3 : RATE]
        frequency, power = spectrum(both)
        for key in pair:
            near = abs(frequency / hertz(key) - 1) < 0.02
            assert power[near].max() > 1e-4 * power.max()


def test_strings():
    rng = np.random.default_rng(0)
    violin = bowed_string.draw(rng)._replace(high_position=0.0)
    notes = line([(i, 0.9, key) for i, key in enumerate((55, 61, 62, 70, 100))], 6).notes
    assert bowed_string._fingering(rng, violin, notes).tolist() == [0, 0, 1, 2, 3]
    pair = line([(0, 1, 76), (0, 1, 80)], 2).notes
    assert len(set(bowed_string._fingering(rng, violin, pair))) == 2


def test_louder_is_louder_and_brighter():
    rng = np.random.default_rng(0)
    violin = bowed_string.draw(rng)
    waves = [
        bowed_string.play(
            violin, np.random.default_rng(1), line([(0, 1.4, 69)], 1.5, velocity=v), 1.5
        )
        for v in (40, 110)
    ]
    assert waves[1].std() > 2 * waves[0].std()
    quiet, loud = (
        (f * p).sum() / p.sum() for f, p in (spectrum(w[RATE // 4 : RATE]) for w in waves)
    )
    assert loud > quiet
    hushed = bowed_string.play(
        violin, np.random.default_rng(1), line([(0, 1.4, 69)], 1.5, expression=40.0), 1.5
    )
    assert hushed.std() < waves[1].std() / 2


def test_bodies_resonate_where_violins_do():
    for seed in range(10):
        body_T = bowed_string.draw(np.random.default_rng(seed)).body_T
        frequency, response = scipy.signal.freqz(body_T, worN=2**15, fs=RATE)
        gain_db = 20 * np.log10(abs(response) + 1e-9)

        def band(low, high, frequency=frequency, gain_db=gain_db):
            return gain_db[(frequency > low) & (frequency < high)].max()

        assert band(250, 600) > band(60, 120) + 15
        assert abs(body_T[-1]) < 1e-3 * abs(body_T).max()  # it has died away


notes = st.lists(
    st.tuples(
        st.floats(-0.1, 1.5),
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
    seconds=st.floats(0, 1.2),
    curve=st.integers(0, 50),
    loud=st.floats(0, 127),
    seed=st.integers(0, 99),
)
@settings(max_examples=40)
def test_any_performance_any_length(rows, seconds, curve, loud, seed):
    performance = Performance(
        np.array(rows, NOTE),
        np.full(curve, 30.0),
        np.full(curve, loud) if curve else None,
        [],
    )
    wave = play(seed, performance, seconds)
    assert wave.shape == (round(seconds * RATE),) and wave.dtype == np.float32
    assert np.isfinite(wave).all()
    assert abs(wave).max(initial=0) <= 0.9 + 1e-6
