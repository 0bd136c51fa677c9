"""Mixing: the sources sum to the mixture under any augmentation, and each stage works.

Compiling takes most of the time. Therefore a test has one program for as many settings as
it can tell apart, and programs are shared by settings and shapes.
"""

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


def timbre(**strengths):
    """Timbre settings that are off except for these."""
    off = dict.fromkeys(("pitch_semitones", *TIMBRES), 0.0)
    return TimbreSettings(**off | strengths)


def config(timbres=None, sources=("piano", "violin"), residual=False, **switches):
    """Arguments of `mix` that are off except for these."""
    off = dict.fromkeys(SWITCHES, 0.0) | {"band_limit_hz": 500.0}
    kinds = {"other": timbre()} | (timbres or {})
    return {
        "data": DataSettings(**off | switches, timbre=kinds),
        "names": output_names(sources, residual=residual),
        "sample_rate": RATE,
    }


def everything(**changes):
    """Arguments of `mix` with all augmentation."""
    switches = {**SWITCHES, "residual": True, **changes}
    return config({"other": timbre(**TIMBRES)}, **switches)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, shape).astype(np.float32)


PROGRAMS = {}


def program(arguments, shapes):
    """The compiled `mix` for these arguments and shapes."""
    key = repr(arguments), shapes, mixing.STAGES
    if key not in PROGRAMS:
        PROGRAMS[key] = jax.jit(lambda *arrays: mixing.mix(*arrays, **arguments))
    return PROGRAMS[key]


def mixed(stems, arguments, rooms=ROOMS, seed=0, first=0):
    """Mixture and sources of a batch; checks that the sources sum to the mixture."""
    mixer = program(arguments, (stems.shape, rooms.shape))
    index_B = first + np.arange(len(stems))
    mixture, sources = map(np.array, mixer(jax.random.key(seed), index_B, stems, rooms))
    scale = np.abs(sources).max() + 1e-30
    np.testing.assert_allclose(mixture / scale, sources.sum(1) / scale, atol=1e-6)
    return mixture, sources


def levelled(stems):
    """Stems at the level that each has without augmentation."""
    rms = np.sqrt((stems**2).mean((2, 3), keepdims=True))
    return stems * REFERENCE_RMS / np.sqrt(stems.shape[1]) / rms


@pytest.mark.slow  # two programs of 10 s each
@pytest.mark.parametrize(
    ("length", "channels", "rooms", "gain_db"),
    [(2, 1, NO_ROOMS, 0.0), (4097, 2, ROOMS, 200.0)],
)
@settings(max_examples=20, derandomize=True)
@given(
    loudness=st.sampled_from([0.0, 1e-30, 1e-3, 1.0, 6e4]),
    seed=st.integers(0, 2**32 - 1),
)
def test_all_stages_together(length, channels, rooms, gain_db, loudness, seed):
    stems = loudness * noise(2, 3, channels, length, seed=seed)
    stems[1, 0] = 0.0  # a silent stem among others
    loud = everything(gain_db=gain_db, level_db=gain_db)
    mixture, sources = mixed(stems, loud, rooms, seed)
    assert mixture.shape == (2, channels, length)
    assert sources.shape == stems.shape
    assert np.isfinite(sources).all()
    assert not sources[1, 0].any()


@pytest.mark.parametrize(("length", "channels"), [(2, 1), (T, 2)])
def test_with_every_switch_off_levelled_stems_are_summed(length, channels):
    stems = noise(3, 2, channels, length)
    _, sources = mixed(stems, config())
    np.testing.assert_allclose(sources, levelled(stems), rtol=1e-5)


@pytest.mark.parametrize("loudness", [0.0, 1e-30, 6e4])
def test_silent_and_very_loud_stems_stay_finite(loudness):
    stems = loudness * noise(3, 2, 2, T)
    stems[1, 0] = 0.0
    mixture, sources = mixed(stems, config())
    assert np.isfinite(mixture).all()
    assert not sources[1, 0].any()
    assert np.abs(sources).max() < 1


def test_mono_sources_are_not_placed():
    stems, placed = noise(4, 2, 1, T), config(swap=0.5, pan=0.5, width=0.5, mono=0.5)
    for got, expected in zip(mixed(stems, placed), mixed(stems, config()), strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("length", [0, 1])
def test_crops_of_one_sample_are_refused(length):
    with pytest.raises(ValueError, match="2 samples"):
        mixing.mix(
            jax.random.key(0), np.arange(1), noise(1, 2, 1, length), NO_ROOMS, **config()
        )


def test_an_example_depends_on_its_index_and_not_on_its_batch():
    stems, arguments = noise(4, 2, 2, 400), config(gain_db=6.0)
    _, whole = mixed(stems, arguments, first=6)
    _, half = mixed(stems[2:], arguments, first=8)
    np.testing.assert_allclose(half, whole[2:], atol=1e-5)
    _, again = mixed(stems, arguments, first=6)
    np.testing.assert_array_equal(whole, again)
    _, same_stems = mixed(np.repeat(stems[:1], 4, 0), arguments)
    assert len({wave.tobytes() for wave in same_stems}) == 4
    assert np.abs(mixed(stems, arguments, first=7)[1] - whole).max() > 1e-2
    assert np.abs(mixed(stems, arguments, first=6, seed=1)[1] - whole).max() > 1e-2


def test_a_new_stage_leaves_the_draws_of_others_unchanged(monkeypatch):
    drawn = []

    def invert(key, waves_SCT, setup):
        drawn.append(key)
        return -waves_SCT

    stems, arguments = noise(64, 2, 1, 400), config(gain_db=6.0)
    _, before = mixed(stems, arguments)
    number = 1 + max(stage.key_number or 0 for stage in mixing.STAGES)
    longer = (mixing.Stage(invert, number), *mixing.STAGES)
    monkeypatch.setattr(mixing, "STAGES", longer)
    _, after = mixed(stems, arguments)
    np.testing.assert_array_equal(after, -before)
    assert drawn


def test_every_stage_has_a_key_of_its_own():
    numbers = [stage.key_number for stage in mixing.STAGES if stage.key_number is not None]
    assert len(set(numbers)) == len(numbers)
    key = jax.random.key(0)
    split = jax.random.key_data(jax.random.split(key, 7)).tolist()
    folded = [jax.random.key_data(jax.random.fold_in(key, n)).tolist() for n in (7, 8)]
    assert len(set(map(tuple, split + folded))) == 9


def test_gains_and_levels_stay_within_their_limits():
    stems = noise(64, 2, 1, 400)
    _, sources = mixed(stems, config(gain_db=6.0))
    gain_db = 20 * np.log10(np.abs(sources / levelled(stems)).max((2, 3)))
    assert 5 < np.abs(gain_db).max() < 6.01
    assert np.abs(gain_db[:, 0] - gain_db[:, 1]).max() > 1  # independent of each other
    _, sources = mixed(stems, config(level_db=12.0))
    gain_db = 20 * np.log10(np.abs(sources / levelled(stems)).max((2, 3)))
    assert 10 < np.abs(gain_db).max() < 12.01
    np.testing.assert_allclose(gain_db[:, 0], gain_db[:, 1], atol=1e-3)


def test_chances_are_kept():
    stems = noise(200, 2, 2, 64)
    _, sources = mixed(stems, config(absent=0.25, polarity=0.25, swap=0.25, mono=0.25))
    plain = levelled(stems)
    absent = ~sources.any((2, 3))
    inverted = (sources.sum(2) * plain.sum(2)).sum(-1) < 0
    sources = np.where(inverted[:, :, None, None], -sources, sources)
    swapped = np.isclose(sources, plain[:, :, ::-1], atol=1e-5).all((2, 3))
    as_before = np.isclose(sources, plain, atol=1e-5).all((2, 3))
    middle = plain.mean(2, keepdims=True)
    folded = np.isclose(sources, middle, atol=1e-5).all((2, 3))
    np.testing.assert_array_equal(absent + swapped + as_before + folded, 1)
    present = ~absent
    mono = folded.any(1)
    np.testing.assert_array_equal(folded, mono[:, None] & present)  # all sources together
    assert 0.17 < absent.mean() < 0.33
    assert 0.17 < inverted[present].mean() < 0.33
    assert 0.17 < mono.mean() < 0.33
    assert 0.17 < swapped[present & ~mono[:, None]].mean() < 0.33


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
    side, before = sources[:, :, 0] - sources[:, :, 1], wide[:, :, 0] - wide[:, :, 1]
    scale_BS = np.sqrt((side**2).mean(-1) / (before**2).mean(-1))
    assert scale_BS.max() > 3 * scale_BS.min()


def test_diffuse_sources_are_wide_and_fold_to_the_original():
    stems = np.repeat(noise(16, 2, 1, T), 2, axis=2)  # in the middle
    _, sources = mixed(stems, config(diffuse=1.0))
    middle, side = sources.mean(2), (sources[:, :, 0] - sources[:, :, 1]) / 2
    level_BS = np.sqrt((side**2).mean(-1) / (middle**2).mean(-1))
    assert level_BS.min() < 0.2 and 0.7 < level_BS.max() < 1.2
    before = levelled(stems)[:, :, 0]
    gain_BS1 = (middle * before).sum(-1, keepdims=True) / (before**2).sum(-1, keepdims=True)
    assert (gain_BS1 < 1).all()  # the sides count for the level, too
    np.testing.assert_allclose(middle, gain_BS1 * before, atol=1e-5)


def test_soft_clipping_is_one_gain_for_all_sources():
    stems = noise(8, 2, 2, T)
    plain_mixture, plain = mixed(stems, config())
    mixture, sources = mixed(stems, config(clip=1.0, clip_db=12.0))
    gain = mixture / plain_mixture
    assert gain.max() <= 1 + 1e-5
    assert gain.min() < 0.7
    np.testing.assert_allclose(sources, plain * gain[:, None], rtol=1e-3, atol=1e-6)
    order = np.argsort(np.abs(plain_mixture), -1)  # a louder sample stays louder
    assert (np.diff(np.take_along_axis(np.abs(mixture), order, -1)) > -1e-6).all()


def test_a_room_is_its_impulse_response_at_some_level():
    length = filters.fft_length(1)  # the transform would wrap without padding
    in_rooms = config(room=1.0, shared=0.0)
    click = np.zeros((12, 2, 1, length), np.float32)
    click[..., 700] = 1.0
    _, sources = mixed(click, in_rooms)
    response = sources[:, :, 0] / sources[:, :, 0, 700:701]
    echo_BSR = response[..., [800, 950]]
    response[..., [700, 800, 950]] = 0.0
    np.testing.assert_allclose(response, 0.0, atol=1e-5)
    assert ((echo_BSR[..., 0] >= -1e-5) & (echo_BSR[..., 0] <= 0.5)).all()
    chosen_BS = np.abs(echo_BSR).argmax(-1)
    assert set(chosen_BS.ravel()) == {0, 1}
    assert (chosen_BS[:, 0] != chosen_BS[:, 1]).any()

    late = np.zeros_like(click)
    late[..., -50] = 1.0
    _, sources = mixed(late, in_rooms)
    assert np.abs(sources[..., :2000]).max() < 1e-6 * np.abs(sources).max()


def test_without_impulse_responses_there_is_no_room():
    stems = noise(2, 2, 1, 400)
    _, dry = mixed(stems, config(room=1.0), NO_ROOMS)
    np.testing.assert_allclose(dry, levelled(stems), rtol=1e-5)


def test_shared_keys_are_one_for_all_sources():
    keys = jax.random.split(jax.random.key(0), 50)
    shared = jax.jit(jax.vmap(filters.shared, (0, None, None)), static_argnums=1)
    for chance, distinct in ((0.0, {3}), (0.5, {1, 3}), (1.0, {1})):
        data = jax.random.key_data(shared(keys, 3, chance)).tolist()
        assert {len(set(map(tuple, of_sources))) for of_sources in data} == distinct


def test_treatment_and_sharing_are_independent():
    data = DataSettings(shared=0.5, room=0.5, band_limit=0.5, band_limit_hz=500.0)
    keys = jax.random.split(jax.random.key(0), 2000)
    rooms_RL = jnp.asarray(ROOMS)
    respond = jax.vmap(lambda key: filters.reverberation(key, 2, rooms_RL, data))
    limit = jax.vmap(lambda key: filters.band_limits(key, 2, data, 44100.0)[:, ::64])
    treatments = jax.jit(lambda keys: (respond(keys)[..., 1:] != 0, limit(keys) < 0))(keys)
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


def test_band_limits_cut_all_above_and_nothing_below():
    stems = noise(24, 2, 1, 4096)
    limit = {"band_limit": 1.0, "band_limit_hz": 1000.0}
    _, sources = mixed(stems, config(shared=0.0, **limit))
    ratio = np.abs(np.fft.rfft(sources)) / np.abs(np.fft.rfft(stems))
    smooth = ratio[:, :, 0, :2048].reshape(24, 2, 64, 32).mean(-1)
    smooth /= smooth[..., 1:8].mean(-1, keepdims=True)
    np.testing.assert_allclose(smooth[..., 1:14], 1.0, atol=0.2)  # under 900 Hz
    kept_BS = (smooth > 0.5).sum(-1)
    assert kept_BS.min() < 32  # 2 kHz
    assert kept_BS.max() == 64
    cut = kept_BS[kept_BS < 60]
    assert len(set(cut)) > 2
    assert (np.abs(kept_BS[:, 0] - kept_BS[:, 1]) > 3).any()


def test_a_band_limit_of_0_hz_stays_finite():
    for seed in range(4):
        curve_G = filters.low_pass(jax.random.key(seed), 0.0, RATE)
        assert np.isfinite(curve_G).all()


def test_noise_stays_below_its_level_and_in_the_residual():
    silence = np.zeros((32, 2, 1, T), np.float32)
    _, sources = mixed(
        silence, config(sources=("piano",), residual=True, noise=0.5, noise_db=-20.0)
    )
    assert not sources[:, 0].any()
    rms = np.sqrt((sources[:, 1] ** 2).mean((1, 2)))
    level_db = 20 * np.log10(rms[rms > 0] / REFERENCE_RMS)
    assert 8 <= len(level_db) <= 24
    assert -50.1 < level_db.min() < -40
    assert -30 < level_db.max() < -19.9


def test_equalisers_are_drawn_for_each_source():
    stems = np.repeat(noise(8, 1, 1, 400), 2, axis=1)
    _, sources = mixed(stems, config(equaliser_db=6.0))
    assert (np.abs(sources - levelled(stems)).max((2, 3)) > 1e-3).all()
    assert (np.abs(sources[:, 0] - sources[:, 1]).max((1, 2)) > 1e-3).all()


def test_a_source_has_its_own_timbre_and_others_share_one():
    timbres = {name: timbre(**{name: strength}) for name, strength in TIMBRES.items()}
    plain = config(timbres | {"piano": timbre()}, sources=("piano", *timbres, "cello"))
    plain["data"].timbre["other"] = timbre(body_db=9.0)
    stems = noise(8, len(plain["names"]), 1, 400)
    _, sources = mixed(stems, plain)
    change_BS = np.abs(sources - levelled(stems)).max((2, 3))
    assert change_BS[:, 0].max() < 1e-5  # the piano's
    assert ((change_BS[:, 1:] > 1e-4).mean(0) > 0.7).all()
