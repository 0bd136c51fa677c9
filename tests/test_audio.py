"""Sound files of every kind, good and bad, and stems that appear whole or not at all."""

import itertools
import os
import resource
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from sep import audio
from sep.errors import UserError

RATES = (8000, 22050, 44100, 48000, 96000)
# Suffix, subtype, the largest error of a sample (None: lossy), channels that it can hold.
FORMATS = [
    ("wav", "PCM_16", 2.0**-15, 6),
    ("wav", "PCM_24", 2.0**-23, 6),
    ("wav", "FLOAT", 0.0, 6),
    ("flac", "PCM_16", 2.0**-15, 6),
    ("flac", "PCM_24", 2.0**-23, 6),
    ("aiff", "PCM_16", 2.0**-15, 6),
    ("ogg", "VORBIS", None, 6),
    ("mp3", "MPEG_LAYER_III", None, 2),
]


def tones(channels=1, length=30_000):
    """Sines of low frequency, which every codec keeps: (C, T), peak 0.5."""
    time_T = np.arange(length)
    cycles_C1 = 1 / (100 + 17 * np.arange(channels)[:, None])
    return (0.5 * np.sin(2 * np.pi * cycles_C1 * time_T)).astype(np.float32)


def save(path, wave_CT, rate=44100, **options):
    soundfile.write(os.fsencode(path), wave_CT.T, rate, **options)
    return path


@pytest.mark.parametrize(("suffix", "subtype", "error", "channels"), FORMATS)
def test_every_format_reads_back(tmp_path, suffix, subtype, error, channels):
    for rate, count in itertools.product(RATES, range(1, channels + 1)):
        if suffix == "mp3" and rate > 48000:
            continue
        wave_CT = tones(count)
        path = save(tmp_path / f"x.{suffix}", wave_CT, rate, subtype=subtype)
        found_CT, found_rate = audio.read(path)
        assert (found_rate, found_CT.shape) == (rate, wave_CT.shape)
        assert found_CT.dtype == np.float32
        difference = np.abs(found_CT - wave_CT)
        limit = 0.05 if error is None else error
        assert (difference.mean() if error is None else difference.max()) <= limit
        survey = audio.survey(path)
        assert survey[:2] == (audio.Format(rate, count), wave_CT.shape[1])
        assert survey.rms == pytest.approx(np.sqrt((found_CT**2).mean()), rel=1e-4)


def test_blocks_are_small_and_make_up_the_whole(tmp_path):
    path = save(tmp_path / "long.ogg", tones(2, 100_000))
    blocks = list(audio.blocks(path))
    assert max(block.shape[1] for block in blocks) <= audio.BLOCK
    np.testing.assert_array_equal(np.concatenate(blocks, 1), audio.read(path)[0])


@pytest.mark.parametrize(
    "name",
    ["Für Elise, 音楽.wav", os.fsdecode(b"\xff\xe9.wav"), "-a b.wav", "100%s {x}.wav"],
)
def test_any_name_is_read_and_written(tmp_path, name):
    try:
        audio.write(tmp_path / name, tones(), 8000)
    except UserError:  # not every file system takes names that are not UTF-8
        pytest.skip("no such names on this file system")
    found_CT, _ = audio.read(tmp_path / name)
    np.testing.assert_allclose(found_CT, tones(), atol=2.0**-15)
    assert [path.name for path in audio.find(tmp_path)] == [name]


def test_find_sees_sound_and_nothing_hidden(tmp_path):
    sound = ["b.FLAC", "a/deep/x.mp3", "a/y.aif"]
    others = [".b.wav", "a/.cache/x.wav", "a/notes.txt", "wav", "z.wav/cover.jpg"]
    for name in sound + others:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert audio.find(tmp_path) == sorted(tmp_path / name for name in sound)


def header_only(path):
    save(path, np.zeros((1, 0), np.float32))


def cut_short(path):
    save(path, np.random.default_rng(0).uniform(-0.5, 0.5, (2, 60_000)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def not_a_number(path):
    wave_CT = tones()
    wave_CT[0, 20_000] = np.nan
    save(path, wave_CT, subtype="FLOAT")


BROKEN = {
    "missing.wav": (lambda path: None, "no such file"),
    "x" * 300: (lambda path: None, "name too long"),
    "folder.wav": (Path.mkdir, "is a folder"),
    "pipe.wav": (os.mkfifo, "pipe"),
    "empty.wav": (Path.touch, "is empty"),
    "header.wav": (header_only, "no samples"),
    "text.wav": (lambda path: path.write_text("la la la\n" * 99), "convert it"),
    "page.mp3": (lambda path: path.write_text("<html>\n" * 99), "unknown format"),
    "samples.raw": (lambda path: path.write_bytes(bytes(1000)), "convert it"),
    "cut.flac": (cut_short, "cannot be read as sound"),
    "nan.wav": (not_a_number, "not finite"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_named_in_one_line(tmp_path, name):
    make, reason = BROKEN[name]
    make(tmp_path / name)
    for reader in (audio.survey, audio.read):
        with pytest.raises(UserError) as error:
            reader(tmp_path / name)
        message = str(error.value)
        assert message.startswith(f"{tmp_path / name}: ")
        assert reason in message and "\n" not in message


def test_a_file_without_permission_is_named(tmp_path, monkeypatch):
    path = save(tmp_path / "private.wav", tones())
    monkeypatch.setattr(os, "access", lambda *_: False)  # for root may read everything
    with pytest.raises(UserError, match=r"private\.wav: may not be read"):
        audio.survey(path)


@settings(deadline=None, max_examples=25)
@given(
    st.sampled_from([(44100, 48000), (96000, 44100), (8000, 44100), (44100, 22050)]),
    st.lists(st.integers(1, 5000), min_size=1, max_size=6),
    st.sampled_from([(1,), (2,), (2, 3)]),
)
def test_a_stream_is_resampled_as_if_at_once(rates, sizes, leading):
    wave = np.random.default_rng(0).uniform(-1, 1, (*leading, sum(sizes)))
    wave = wave.astype(np.float32)
    blocks = np.split(wave, np.cumsum(sizes)[:-1], axis=-1)
    found = np.concatenate(list(audio.resample(blocks, *rates)), -1)
    flat_TC = wave.reshape(-1, wave.shape[-1]).T
    expected = soxr.resample(flat_TC, *rates).T.reshape(*leading, -1)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_read_converts_to_the_rate_that_is_asked_for(tmp_path):
    path = save(tmp_path / "x.flac", tones(2), 44100)
    wave_CT, rate = audio.read(path, 22050)
    assert (rate, wave_CT.shape) == (22050, (2, 15_000))
    np.testing.assert_allclose(wave_CT[:, 100:-100], tones(2)[:, 200:-200:2], atol=1e-3)


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_an_error_while_writing_leaves_all_as_it_was(tmp_path):
    old = tmp_path / "old" / "piano.wav"
    audio.write(old, tones(), 8000)
    before = old.read_bytes()
    for folder in (old.parent, tmp_path / "new" / "deep"):
        paths = [folder / "piano.wav", folder / "violin.wav"]
        with (
            pytest.raises(KeyboardInterrupt),
            audio.writers(paths, audio.Format(8000, 1), 100, "PCM_16") as (file, _),
        ):
            file.write(np.zeros(50))
            assert len(files_in(folder)) >= 2  # they do grow in this folder
            raise KeyboardInterrupt
    assert files_in(tmp_path) == ["old", "old/piano.wav"]
    assert old.read_bytes() == before


def test_files_that_cannot_be_written_leave_nothing(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "taken" / "b.wav").mkdir(parents=True)
    before = files_in(tmp_path)
    for folder in ("file", "taken"):
        paths = [tmp_path / folder / "a.wav", tmp_path / folder / "b.wav"]
        with (
            pytest.raises(UserError, match=f"{folder}: cannot be written .*; choose"),
            audio.writers(paths, audio.Format(8000, 1), 9, "FLOAT"),
        ):
            pass
        assert files_in(tmp_path) == before


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(UserError, match="free space"):
            audio.write(tmp_path / "out" / "x.wav", tones(), 8000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not files_in(tmp_path)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_what_is_too_large_for_wav_becomes_rf64(tmp_path, monkeypatch, subtype):
    size = {"PCM_16": 2, "PCM_24": 3, "FLOAT": 4}[subtype] * tones(2).size
    for limit, kind in ((size, "WAV"), (size - 1, "RF64")):
        monkeypatch.setattr(audio, "_WAV_LIMIT", limit)
        path = tmp_path / f"{kind}.wav"
        audio.write(path, tones(2), 44100, subtype)
        info = soundfile.info(path)
        assert (info.format.removesuffix("EX"), info.subtype) == (kind, subtype)
        assert audio.read(path)[0].shape == tones(2).shape
