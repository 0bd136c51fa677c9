"""From folders of recordings to stems in the cache."""

import os

import numpy as np
import pytest
import soundfile
from corrupt import CORRUPT, UNUSUAL, add_corrupt
from hypothesis import given
from hypothesis import strategies as st
from sounds import noise, save

from sep.data import folders, stems
from sep.errors import UserError

SOURCES = ("piano", "violin")


def load(split, sources=SOURCES, rate=8000, **options):
    options = {"strict": False, "missing_is_silence": False} | options
    return stems.load(split, sources, rate, str(split.parent / "cache"), **options)


@pytest.fixture
def split(tmp_path):
    """Two solos of each source, with different rates and formats."""
    for seed, source in enumerate(SOURCES):
        save(tmp_path / "train" / source / "a.wav", noise(4000, 2, seed))
        save(tmp_path / "train" / source / "deep" / "er" / "b.flac", noise(2000), 16000)
    return tmp_path / "train"


def add_track(split, name, lengths, rate=8000):
    for source, length in lengths.items():
        save(split / name / f"{source}.wav", noise(length, seed=length), rate)


def test_stems_are_decoded_once_to_one_rate(split, monkeypatch):
    first = load(split).solos
    assert [stem.wave_CT.shape for stem in first["piano"]] == [(2, 4000), (1, 1000)]
    assert [stem.length for stem in first["piano"]] == [4000, 1000]
    original, _ = soundfile.read(split / "piano" / "a.wav")
    np.testing.assert_allclose(first["piano"][0].wave_CT.T, original, atol=1e-3)
    assert first["piano"][0].wave_CT.flags.c_contiguous  # a channel is contiguous
    monkeypatch.setattr(stems.audio, "read", None)  # a call would fail
    again = load(split).solos
    for old, new in zip(first["violin"], again["violin"], strict=True):
        np.testing.assert_array_equal(old.wave_CT, new.wave_CT)
        np.testing.assert_array_equal(old.active_N, new.active_N)


def test_a_changed_file_is_decoded_again(split):
    load(split)
    save(split / "piano" / "a.wav", noise(500))
    assert load(split).solos["piano"][0].wave_CT.shape == (1, 500)


@pytest.mark.parametrize("kept", [0, 50, 1000, -10])
def test_a_damaged_cache_entry_is_replaced(split, kept):
    before = load(split).solos["piano"][0]
    whole = before.entry.read_bytes()
    before.entry.write_bytes(whole[:kept])
    after = load(split).solos["piano"][0]
    assert after.entry.read_bytes() == whole


def test_a_cache_that_cannot_be_written_is_an_error(split):
    (split.parent / "cache").write_text("in the way")
    with pytest.raises(UserError, match="cache/.*cannot be written"):
        load(split)


def test_activity_is_in_the_cache(split):
    music, pause = noise(stems.ACTIVITY_BLOCK), np.zeros((stems.ACTIVITY_BLOCK, 1))
    hiss = 1e-3 * noise(stems.ACTIVITY_BLOCK)  # below the silence threshold
    save(split / "piano" / "a.wav", np.concatenate([pause, music, hiss, pause, music[:9]]))
    for _ in range(2):
        stem = load(split).solos["piano"][0]
        assert stem.active_N.tolist() == [False, True, False, False, True]


@given(st.integers(1, 3 * stems.ACTIVITY_BLOCK), st.integers(1, 3), st.integers(0, 99))
def test_activity_is_the_level_of_each_block(length, channels, seed):
    random = np.random.default_rng(seed)
    level = 10.0 ** random.uniform(-5, 0, (1, length // stems.ACTIVITY_BLOCK + 1))
    level_1T = level.repeat(stems.ACTIVITY_BLOCK, 1)[:, :length]
    wave_CT = (level_1T * random.standard_normal((channels, length))).astype(np.float16)
    blocks = np.split(
        wave_CT.astype(np.float64), range(stems.ACTIVITY_BLOCK, length, 4096), axis=1
    )
    rms_N = np.array([np.sqrt((block**2).mean()) for block in blocks])
    sure_N = np.abs(rms_N / stems.QUIET - 1) > 1e-3
    active_N = stems.activity(wave_CT)
    assert active_N.shape == rms_N.shape
    np.testing.assert_array_equal(active_N[sure_N], (rms_N > stems.QUIET)[sure_N])


def test_tracks_are_kept_together_and_are_solos_too(split):
    add_track(split, "song", {"violin": 3000, "piano": 3000, "mixture": 3000})
    add_track(split, "another", {"violin": 2000, "piano": 2100})  # a codec's padding
    found = load(split)
    assert [{k: s.length for k, s in track.items()} for track in found.tracks] == [
        {"piano": 2100, "violin": 2000},
        {"piano": 3000, "violin": 3000},
    ]
    assert [stem.length for stem in found.solos["violin"]] == [4000, 1000, 2000, 3000]
    np.testing.assert_allclose(
        found.tracks[1]["violin"].wave_CT.T, noise(3000, seed=3000), atol=1e-3
    )


def test_tracks_without_solos_and_any_names_of_sources(tmp_path):
    sources = ("Flöte 1.2", "歌", "tuba")
    add_track(tmp_path / "train", "song", dict.fromkeys(sources, 1000))
    found = load(tmp_path / "train", sources)
    assert [len(found.solos[name]) for name in sources] == [1, 1, 1]
    assert list(found.tracks[0]) == list(sources)


def test_both_spellings_of_accents_are_equal(tmp_path):
    save(tmp_path / "train" / "Flo\u0308te" / "a.wav", noise())
    assert len(load(tmp_path / "train", ("Fl\u00f6te",)).solos["Fl\u00f6te"]) == 1


def test_a_missing_stem_is_an_error_unless_missing_is_silence(split):
    add_track(split, "song", {"piano": 3000})
    with pytest.raises(
        UserError, match=r"train/song: has no violin\.\*.*missing_is_silence"
    ):
        load(split)
    found = load(split, missing_is_silence=True)
    assert found.tracks[0]["violin"] is None
    assert found.tracks[0]["piano"].length == 3000
    assert len(found.solos["violin"]) == 2


def test_two_files_for_one_source_are_refused(split):
    add_track(split, "song", {"violin": 3000, "piano": 3000})
    save(split / "song" / "piano.flac", noise(3000))
    with pytest.raises(
        UserError, match="song: has more than one piano .piano.flac, piano.wav"
    ):
        load(split)


def test_stems_of_unequal_length_are_used_as_solos(split, capsys):
    add_track(split, "song", {"violin": 3000, "piano": 5000})
    found = load(split)
    assert found.tracks == []
    assert len(found.solos["violin"]) == 3
    assert (
        "song: its stems differ in length (piano 0.6 s, violin 0.4 s)" in lines(capsys)[0]
    )
    with pytest.raises(UserError, match="differ in length"):
        load(split, strict=True)


def test_one_warning_lists_what_is_neither_source_nor_track(split, capsys):
    save(split / "cello" / "a.wav", noise())
    save(split / "loose.wav", noise())
    (split / "notes.txt").write_text("no sound")
    save(split / ".hidden" / "a.wav", noise())
    found = load(split)
    assert list(found.solos) == list(SOURCES)
    assert len(warned := lines(capsys)) == 1
    assert warned[0].endswith("neither source nor track: cello, loose.wav")


def test_missing_sources_and_empty_folders_are_named(split):
    with pytest.raises(UserError, match=r"train/cello: .* missing.*found: none"):
        load(split, ("piano", "violin", "cello"))
    with pytest.raises(UserError, match=r"train/cello: .* missing.*found: violin.*1 more"):
        load(split, ("piano", "cello", "harp"))
    (split / "cello").mkdir()
    with pytest.raises(UserError, match="train/cello: no sound files"):
        load(split, ("piano", "cello"))
    with pytest.raises(UserError, match="nowhere: no such folder"):
        load(split.parent / "nowhere")


def test_a_folder_without_permission_is_named(split, monkeypatch):
    def listed(folder):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(folders.Path, "iterdir", listed)
    with pytest.raises(UserError, match=r"train: cannot be listed .*permissions"):
        load(split)


def lines(capsys):
    return [x for x in capsys.readouterr().err.splitlines() if x.startswith("warning")]


def test_corrupt_files_are_skipped_with_a_warning_each_and_counted(split, capsys):
    add_corrupt(split / "violin" / "deep")
    for seed, name in enumerate(UNUSUAL):
        save(split / "violin" / name, noise(1000, seed=seed))
    whole = load(split)
    warned = lines(capsys)
    assert len(whole.solos["violin"]) == 2 + len(UNUSUAL)
    assert len(warned) == len(CORRUPT) + 1
    assert (
        f"{len(CORRUPT)} of {4 + len(UNUSUAL) + len(CORRUPT)} files skipped" in warned[-1]
    )
    for name, (_, message) in CORRUPT.items():
        (line,) = [line for line in warned if f"/{name}: " in line]
        assert message in line


@pytest.mark.parametrize("name", CORRUPT)
def test_corrupt_files_are_refused_when_strict(split, name):
    make, message = CORRUPT[name]
    make(split / "violin" / name)
    with pytest.raises(UserError, match=f"{name}: .*{message}"):
        load(split, strict=True)


def test_a_track_with_a_corrupt_stem_is_not_used_as_a_track(split):
    add_track(split, "song", {"violin": 3000, "piano": 3000})
    (split / "song" / "violin.wav").write_bytes(b"")
    found = load(split, missing_is_silence=True)
    assert found.tracks == []
    assert [len(found.solos[name]) for name in SOURCES] == [3, 2]


def test_a_source_without_readable_recordings_is_an_error(split):
    for path in (split / "violin").rglob("*.*"):
        path.write_text("no sound")
    with pytest.raises(UserError, match="train: no recording of violin can be read"):
        load(split)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_a_file_without_permission_is_skipped(split, capsys):
    (split / "violin" / "a.wav").chmod(0)
    assert len(load(split).solos["violin"]) == 1
    assert "a.wav: may not be read" in lines(capsys)[0]


def test_links_are_followed_but_not_in_circles(split, tmp_path):
    save(tmp_path / "elsewhere" / "c.wav", noise(700))
    (split / "piano" / "more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(split / "piano")
    (split / "piano" / "c.wav").symlink_to(tmp_path / "elsewhere" / "c.wav")
    assert [stem.length for stem in load(split).solos["piano"]] == [4000, 700, 1000, 700]
