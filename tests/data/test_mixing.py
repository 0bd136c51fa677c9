"""Mixing: whatever is done to the sources, they sum to the mixture."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from builders import SWITCHES, TIMBRES
from hypothesis import given, settings
from hypothesis import strategies as st

from sep.data import filters, mixing
from sep.data.settings import DataSettings, TimbreSettings
from sep.model.names import REFERENCE_RMS, output_names

RATE = 8000
T = 1500
NO_ROOMS = np.zeros((0, 100), np.float32)
ROOMS = np.zeros((2, 300), np.float32)
ROOMS[:, 0] = 1.0
ROOMS[0, 100], ROOMS[1, 250] = 0.5, -0.5


def config(timbre=None, sources=("piano", "violin"), residual=False, **switches):
    """Arguments of `mix` with every switch off but these."""
    off = dict.fromkeys(("pitch_semitones", *TIMBRES), 0.0)
    kinds = {"other": TimbreSettings(**off | (timbre or {}))}
    chosen = dict.fromkeys(SWITCHES, 0.0) | {"band_limit_hz": 500.0, **switches}
    names = output_names(sources, residual=residual)
    return {
        "data": DataSettings(**chosen, timbre=kinds),
        "names": names,
        "sample_rate": RATE,
    }


def everything(**changes):
    """All switches on."""
    return config(TIMBRES, **{**SWITCHES, "residual": True, **changes})


def noise(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, shape).astype(np.float32)


PROGRAMS = {}


def compiled(settings, shapes):
    """The program for these settings and shapes, compiled once."""
    if (repr(settings), shapes) not in PROGRAMS:
        PROGRAMS[repr(settings), shapes] = compile_mix(settings, shapes)
    return PROGRAMS[repr(settings), shapes]


def compile_mix(settings, shapes):
    key, index_B = jax.random.key(0), np.zeros(shapes[0][0], int)
    empty = [np.zeros(shape, np.float32) for shape in shapes]
    mixer = jax.jit(lambda *arrays: mixing.mix(*arrays, **settings))
    quickly = {"xla_backend_optimization_level": 0}
    return mixer.lower(key, index_B, *empty).compile(compiler_options=quickly)


def mixed(stems_BSCT, settings, rooms=ROOMS, seed=0, first=0):
    mixer = compiled(settings, (stems_BSCT.shape, rooms.shape))
    index_B = first + np.arange(len(stems_BSCT))
    return [
        np.array(each) for each in mixer(jax.random.key(seed), index_B, stems_BSCT, rooms)
    ]


def levelled(stems_BSCT):
    rms = np.sqrt((stems_BSCT**2).mean((2, 3), keepdims=True))
    return stems_BSCT * REFERENCE_RMS / np.sqrt(stems_BSCT.shape[1]) / rms


@pytest.mark.parametrize(
    ("length", "channels", "rooms", "gain_db"),
    [(2, 1, NO_ROOMS, 0.0), (4097, 2, ROOMS, 200.0)],
)
@settings(max_examples=20, derandomize=True)
@given(
    loudness=st.sampled_from([0.0, 1e-30, 1e-3, 1.0, 6e4]),
    seed=st.integers(0, 2**32 - 1),
)
def test_sources_sum_to_the_mixture(length, channels, rooms, gain_db, loudness, seed):
    stems = loudness * noise(2, 3, channels, length, seed=seed)
    stems[1, 0] = 0.0  # a silent stem among others
    loud = everything(gain_db=gain_db, level_db=gain_db)
    mixture, sources = mixed(stems, loud, rooms, seed)
    assert mixture.shape == (2, channels, length)
    assert sources.shape == stems.shape
    assert np.isfinite(sources).all()
    assert not sources[1, 0].any()
    scale = np.abs(sources).max() + 1e-30
    np.testing.assert_allclose(mixture / scale, sources.sum(1) / scale, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("length", [2, T])
def test_with_every_switch_off_levelled_stems_are_summed(channels, length):
    stems = noise(3, 2, channels, length)
    mixture, sources = mixed(stems, config())
    np.testing.assert_allclose(sources, levelled(stems), rtol=1e-5)
    np.testing.assert_allclose(mixture, levelled(stems).sum(1), atol=1e-6)


@pytest.mark.parametrize("name", [*SWITCHES, *TIMBRES])
def test_every_switch_changes_something(name):
    stems = noise(8, 3, 2, 400)
    own = {"timbre": {name: TIMBRES[name]}} if name in TIMBRES else {name: SWITCHES[name]}
    _, plain = mixed(stems, config(residual=True))
    _, sources = mixed(stems, config(residual=True, **own))
    changed_BS = np.abs(sources - plain).max((2, 3)) > 1e-5
    if name == "noise":  # of the residual, which is last, and of nothing else
        np.testing.assert_allclose(sources[:, :2], plain[:, :2], atol=1e-7)
        assert changed_BS[:, 2].all()
        return
    assert changed_BS.mean() > 0.2


def test_mono_has_no_place():
    stems, placed = noise(4, 2, 1, T), config(swap=0.5, pan=0.5, width=0.5)
    for got, expected in zip(mixed(stems, placed), mixed(stems, config()), strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("length", [0, 1])
def test_crops_of_one_sample_are_refused(length):
    with pytest.raises(ValueError, match="2 samples"):
        mixing.mix(
            jax.random.key(0), np.arange(1), noise(1, 2, 1, length), NO_ROOMS, **config()
        )


def test_an_example_depends_on_its_index_and_not_on_its_batch():
    stems, both = noise(4, 2, 2, T), config(gain_db=6.0, room=1.0, equaliser_db=6.0)
    _, whole = mixed(stems, both, first=6)
    _, half = mixed(stems[2:], both, first=8)
    np.testing.assert_allclose(half, whole[2:], atol=1e-5)
    _, again = mixed(stems, both, first=6)
    np.testing.assert_array_equal(whole, again)
    _, same_stems = mixed(np.repeat(stems[:1], 4, 0), both)
    assert len({wave.tobytes() for wave in same_stems}) == 4
    assert np.abs(mixed(stems, both, first=7)[1] - whole).max() > 1e-2
    assert np.abs(mixed(stems, both, first=6, seed=1)[1] - whole).max() > 1e-2


def test_gains_and_levels_stay_within_their_limits():
    stems = noise(64, 2, 1, 400)
    _, sources = mixed(stems, config(gain_db=6.0))
    gain_db = 20 * np.log10(np.abs(sources / levelled(stems)).max((2, 3)))
    assert 5 < np.abs(gain_db).max() < 6.01
    assert np.abs(gain_db[:, 0] - gain_db[:, 1]).max() > 1  # each by itself
    _, sources = mixed(stems, config(level_db=12.0))
    gain_db = 20 * np.log10(np.abs(sources / levelled(stems)).max((2, 3)))
    assert 10 < np.abs(gain_db).max() < 12.01
    np.testing.assert_allclose(gain_db[:, 0], gain_db[:, 1], atol=1e-3)


def test_chances_are_kept():
    stems = noise(200, 2, 2, 64)
    _, sources = mixed(stems, config(absent=0.25))
    assert 0.17 < (~sources.any((2, 3))).mean() < 0.33
    _, sources = mixed(stems, config(polarity=0.25))
    assert 0.17 < ((sources * stems).sum((2, 3)) < 0).mean() < 0.33
    _, sources = mixed(stems, config(swap=0.25))
    swapped = np.isclose(sources, levelled(stems)[:, :, ::-1], atol=1e-5).all((2, 3))
    assert 0.17 < swapped.mean() < 0.33
    _, sources = mixed(stems, config(mono=0.25))
    mono = (sources[:, :, 0] == sources[:, :, 1]).all((1, 2))
    assert 0.17 < mono.mean() < 0.33
    np.testing.assert_allclose(sources.mean(2), levelled(stems).mean(2), atol=1e-6)


def test_panning_keeps_power_and_width_scales_the_sides():
    stems = np.repeat(noise(16, 2, 1, T), 2, axis=2)  # in the middle
    _, sources = mixed(stems, config(pan=1.0))
    power_BSC = (sources**2).mean(-1)
    np.testing.assert_allclose(
        power_BSC.sum(2), (levelled(stems) ** 2).mean(-1).sum(2), rtol=1e-4
    )
    assert (power_BSC.max(2) / power_BSC.min(2)).max() > 10
    _, sources = mixed(stems, config(width=1.0))
    np.testing.assert_allclose(sources, levelled(stems), atol=1e-6)  # no sides
    wide = noise(16, 2, 2, T)
    _, sources = mixed(wide, config(width=1.0))
    np.testing.assert_allclose(sources.sum(2), levelled(wide).sum(2), atol=1e-5)


def test_what_is_diffuse_is_wide_and_folds_to_what_it_was():
    stems = np.repeat(noise(16, 2, 1, T), 2, axis=2)  # in the middle
    _, sources = mixed(stems, config(diffuse=1.0))
    middle, side = sources.mean(2), (sources[:, :, 0] - sources[:, :, 1]) / 2
    level_BS = np.sqrt((side**2).mean(-1) / (middle**2).mean(-1))
    assert level_BS.min() < 0.2 and 0.7 < level_BS.max() < 1.2
    before = levelled(stems)[:, :, 0]
    gain_BS1 = (middle * before).sum(-1, keepdims=True) / (before**2).sum(-1, keepdims=True)
    assert (gain_BS1 < 1).all()  # the sides, too, count as loud
    np.testing.assert_allclose(middle, gain_BS1 * before, atol=1e-5)


def test_soft_clipping_is_one_gain_for_all_sources():
    stems = noise(8, 2, 2, T)
    plain_mixture, plain = mixed(stems, config())
    mixture, sources = mixed(stems, config(clip=1.0, clip_db=12.0))
    gain = mixture / plain_mixture
    assert gain.max() <= 1 + 1e-5
    assert gain.min() < 0.7
    np.testing.assert_allclose(sources, plain * gain[:, None], rtol=1e-3, atol=1e-6)
    order = np.argsort(np.abs(plain_mixture), -1)  # what is louder stays louder
    assert (np.diff(np.take_along_axis(np.abs(mixture), order, -1)) > -1e-6).all()


def test_a_room_is_its_impulse_response_at_some_level():
    click = np.zeros((12, 2, 1, T), np.float32)
    click[..., 700] = 1.0
    shapes = []
    for share in (0.0, 1.0):
        _, sources = mixed(click, config(room=1.0, shared=share))
        response = sources[:, :, 0] / sources[:, :, 0, 700:701]
        echo_BSR = response[..., [800, 950]]
        response[..., [700, 800, 950]] = 0.0
        np.testing.assert_allclose(response, 0.0, atol=1e-5)
        assert ((echo_BSR[..., 0] >= -1e-5) & (echo_BSR[..., 0] <= 0.5)).all()
        chosen_BS = np.abs(echo_BSR).argmax(-1)
        assert set(chosen_BS.ravel()) == {0, 1}
        shapes.append((chosen_BS[:, 0] != chosen_BS[:, 1]).any())
    assert shapes == [True, False]  # rooms of their own, and one for all
    _, dry = mixed(click, config(room=1.0), NO_ROOMS)
    np.testing.assert_array_equal(dry, mixed(click, config())[1])


def test_who_is_treated_and_what_is_shared_have_nothing_to_do_with_each_other():
    data = DataSettings(shared=0.5, room=0.5, band_limit=0.5, band_limit_hz=500.0)
    keys = jax.random.split(jax.random.key(0), 4000)
    rooms_RL = jnp.asarray(ROOMS)
    respond = jax.vmap(lambda key: filters.reverberation(key, 2, rooms_RL, data))
    limit = jax.vmap(lambda key: filters.band_limits(key, 2, data, 44100.0))
    treatments = respond(keys)[..., 1:] != 0, limit(keys) < 0
    for found in map(np.array, treatments):
        first, second = found.any(-1).T
        same = (found[:, 0] == found[:, 1]).all(-1) & first & second
        # Half of the time one draw for both, half of the time one for each.
        shares = [
            (first & ~second).mean(),
            (second & ~first).mean(),
            (first & second).mean(),
        ]
        np.testing.assert_allclose(shares, [1 / 8, 1 / 8, 3 / 8], atol=0.03)
        assert same.mean() > 0.22  # those with one draw


def test_an_echo_of_the_end_does_not_come_back_at_the_start():
    length = filters.fft_length(1)  # what a transform without padding would wrap
    click = np.zeros((4, 1, 1, length), np.float32)
    click[..., -50] = 1.0
    loud = config(sources=("piano",), room=1.0)
    _, sources = mixed(click, loud)
    assert np.abs(sources[..., :2000]).max() < 1e-6 * np.abs(sources).max()


def test_band_limits_cut_all_above_and_nothing_below():
    stems = noise(24, 2, 1, 4096)
    limit = {"band_limit": 1.0, "band_limit_hz": 1000.0}
    together = []
    for share in (0.0, 1.0):
        _, sources = mixed(stems, config(shared=share, **limit))
        ratio = np.abs(np.fft.rfft(sources)) / np.abs(np.fft.rfft(stems))
        smooth = ratio[:, :, 0, :2048].reshape(24, 2, 64, 32).mean(-1)
        smooth /= smooth[..., 1:8].mean(-1, keepdims=True)
        np.testing.assert_allclose(smooth[..., 1:14], 1.0, atol=0.2)  # under 900 Hz
        heard_BS = (smooth > 0.5).sum(-1)
        assert heard_BS.min() < 32  # 2 kHz
        assert heard_BS.max() == 64
        cut = heard_BS[heard_BS < 60]
        assert len(set(cut)) > 2
        together.append((np.abs(heard_BS[:, 0] - heard_BS[:, 1]) > 3).any())
    assert together == [True, False]


def test_a_band_may_end_anywhere():
    stems = noise(4, 2, 1, T)
    _, sources = mixed(stems, config(band_limit=1.0, band_limit_hz=0.0))
    assert np.isfinite(sources).all()


def test_noise_keeps_under_its_level():
    silence = np.zeros((32, 2, 1, T), np.float32)
    _, sources = mixed(
        silence, config(sources=("piano",), residual=True, noise=0.5, noise_db=-20.0)
    )
    assert not sources[:, 0].any()
    rms = np.sqrt((sources[:, 1] ** 2).mean((1, 2)))
    heard_db = 20 * np.log10(rms[rms > 0] / REFERENCE_RMS)
    assert 8 <= len(heard_db) <= 24
    assert -50.1 < heard_db.min() < -40
    assert -30 < heard_db.max() < -19.9


def test_a_source_has_its_own_timbre_and_others_share_one():
    settings = config({"body_db": 9.0}, sources=("piano", "cello"))
    off = dict.fromkeys(("pitch_semitones", *TIMBRES), 0.0)
    settings["data"].timbre["piano"] = TimbreSettings(**off)
    stems = noise(2, 2, 1, T)
    change = np.abs(mixed(stems, settings)[1] - levelled(stems)).max((0, 2, 3))
    assert change[0] < 1e-5
    assert change[1] > 1e-2
