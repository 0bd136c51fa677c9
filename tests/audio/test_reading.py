"""Sound files of every kind, intact and broken, are read in full or refused."""

import itertools
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from sounds import noise, save, tones

from sep import audio
from sep.audio import sndfile
from sep.errors import UserError

RATES = (8000, 22050, 44100, 48000, 96000)
# Suffix, subtype, largest error of a sample (None: lossy), most channels.
FORMATS = [
    ("wav", "PCM_16", 2.0**-15, 6),
    ("wav", "PCM_24", 2.0**-23, 6),
    ("wav", "FLOAT", 0.0, 6),
    ("flac", "PCM_16", 2.0**-15, 6),
    ("flac", "PCM_24", 2.0**-23, 6),
    ("aiff", "PCM_16", 2.0**-15, 6),
    ("ogg", "VORBIS", None, 5),  # a sixth is cut to bass
    ("mp3", "MPEG_LAYER_III", None, 2),
]
IN_OGG = {3: [0, 2, 1], 5: [0, 2, 1, 3, 4]}  # its order of WAV's channels: centre second


@pytest.mark.parametrize(("suffix", "subtype", "error", "channels"), FORMATS)
def test_every_format_reads_back(tmp_path, suffix, subtype, error, channels):
    for rate, count in itertools.product(RATES, range(1, channels + 1)):
        if suffix == "mp3" and rate > 48000:
            continue
        wave_CT = tones(count, 17_000)  # more than a block
        ordered_CT = wave_CT[IN_OGG.get(count, ...)] if suffix == "ogg" else wave_CT
        path = save(tmp_path / f"x.{suffix}", ordered_CT.T, rate, subtype=subtype)
        found_CT, found_rate = audio.read(path)
        assert (found_rate, found_CT.shape) == (rate, wave_CT.shape)
        assert found_CT.dtype == np.float32
        difference = np.abs(found_CT - wave_CT)
        limit = 0.05 if error is None else error
        assert (difference.mean() if error is None else difference.max()) <= limit
        survey = audio.survey(path)
        assert survey[:2] == (audio.Format(rate, count), wave_CT.shape[1])
        assert survey.rms == pytest.approx(np.sqrt((found_CT**2).mean()), rel=1e-4)


def test_a_constant_offset_does_not_count_as_level(tmp_path):
    wave_CT = tones(2)
    offset_CT = wave_CT + np.float32([[0.3], [-0.2]])
    levels = [
        audio.survey(save(tmp_path / "x.wav", found_CT.T, 44100, subtype="FLOAT")).rms
        for found_CT in (wave_CT, offset_CT, np.full((2, 90_000), 0.3, np.float32))
    ]
    assert levels[1] == pytest.approx(levels[0], rel=1e-6)
    assert levels[0] == pytest.approx(wave_CT.std(), rel=0.01) and levels[2] == 0


def test_blocks_are_bounded_and_make_up_the_file(tmp_path):
    path = save(tmp_path / "long.ogg", tones(2, 60_000).T, 44100)
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


def test_find_returns_sound_files_that_are_not_hidden(tmp_path):
    sound = ["b.FLAC", "a/deep/x.mp3", "a/y.aif"]
    others = [".b.wav", "a/.cache/x.wav", "a/notes.txt", "wav", "z.wav/cover.jpg"]
    for name in sound + others:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert audio.find(tmp_path) == sorted(tmp_path / name for name in sound)


def header_only(path):
    save(path, noise(0), 44100)


def cut_short(path):
    save(path, noise(60_000, 2), 44100)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def not_a_number(path):
    wave_CT = tones()
    wave_CT[0, 20_000] = np.nan
    save(path, wave_CT.T, 44100, subtype="FLOAT")


# Name: (function that makes the file, part of the error message).
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
    "cut.flac": (cut_short, "cannot be read as sound beyond 0.372 s (sample 16384): flac"),
    "nan.wav": (not_a_number, "not finite numbers, first at 0.454 s (sample 20000)"),
    "cut.wav": (cut_short, "is cut short: it ends at 0.680 s (sample 29"),
    "cut.rf64": (cut_short, "is cut short: it ends at 0.680 s (sample 29"),
    "cut.w64": (cut_short, "is cut short: it ends at 0.680 s (sample 29"),
    "cut.aiff": (cut_short, "is cut short: it ends at 0.680 s (sample 29"),
    "cut.au": (cut_short, "is cut short: it ends at 0.680 s (sample 29"),
    "cut.caf": (cut_short, "malformed"),
    "cut.ogg": (cut_short, "is cut short: it ends at "),
    "cut.mp3": (cut_short, "is cut short: it ends at "),
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
    path = save(tmp_path / "private.wav", tones().T)
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may read every file
    with pytest.raises(UserError, match=r"private\.wav: may not be read"):
        audio.survey(path)


@settings(max_examples=25)
@given(
    st.sampled_from([(44100, 48000), (96000, 44100), (8000, 44100), (44100, 22050)]),
    st.lists(st.integers(1, 5000), min_size=1, max_size=6),
    st.sampled_from([(1,), (2,), (2, 3)]),
)
def test_a_stream_is_resampled_like_a_whole_wave(rates, sizes, leading):
    wave = np.random.default_rng(0).uniform(-1, 1, (*leading, sum(sizes)))
    wave = wave.astype(np.float32)
    blocks = np.split(wave, np.cumsum(sizes)[:-1], axis=-1)
    found = np.concatenate(list(audio.resample(blocks, *rates)), -1)
    flat_TC = wave.reshape(-1, wave.shape[-1]).T
    expected = soxr.resample(flat_TC, *rates).T.reshape(*leading, -1)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_read_converts_to_the_given_rate(tmp_path):
    path = save(tmp_path / "x.flac", tones(2).T, 44100)
    wave_CT, rate = audio.read(path, 22050)
    assert (rate, wave_CT.shape) == (22050, (2, 15_000))
    np.testing.assert_allclose(wave_CT[:, 100:-100], tones(2)[:, 200:-200:2], atol=1e-3)


def test_an_mp3_without_a_count_of_its_samples_is_read_to_its_end(tmp_path):
    whole = save(tmp_path / "x.mp3", tones(2, 100_000).T, 44100).read_bytes()
    frames = [at for at in range(len(whole)) if whole[at : at + 2] == b"\xff\xfb"]
    after_count = next(at for at in frames if at > whole.find(b"Info"))
    (tmp_path / "x.mp3").write_bytes(whole[after_count:])
    assert audio.survey(tmp_path / "x.mp3").length >= 100_000


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000])
def test_a_wav_from_a_pipe_is_read_to_its_end(tmp_path, size):
    """The writer of a pipe cannot go back to fill in the sizes."""
    path = save(tmp_path / "x.wav", tones().T)
    whole = bytearray(path.read_bytes())
    for at in (4, whole.index(b"data") + 4):
        whole[at : at + 4] = size.to_bytes(4, "little")
    path.write_bytes(whole)
    assert audio.survey(path).length == 30_000


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_an_excerpt_has_the_samples_of_the_whole(tmp_path, suffix):
    path = save(tmp_path / f"x.{suffix}", tones(2, 60_000).T, 44100)
    whole_CT, _ = audio.read(path)
    for start, duration, expected in (
        (0.5, 0.25, slice(22050, 33075)),
        (1.0, float("inf"), slice(44100, None)),
        (1.0, 99.0, slice(44100, None)),
        (0.0, 1e-9, slice(0, 1)),
    ):
        blocks = list(audio.blocks(path, audio.Excerpt(start, duration)))
        found_CT = np.concatenate(blocks, 1)
        np.testing.assert_array_equal(found_CT, whole_CT[:, expected])
    with pytest.raises(UserError, match=f"x.{suffix}: ends before 2 s"):
        audio.survey(path, audio.Excerpt(2.0))


def test_headers_have_length_and_width(tmp_path):
    for name, subtype, bits in (
        ("a.wav", "PCM_U8", 8),
        ("b.wav", "PCM_32", 32),
        ("c.flac", "PCM_24", 24),
        ("d.wav", "FLOAT", 0),
        ("e.wav", "ULAW", 0),
        ("f.ogg", "VORBIS", 0),
        ("g.mp3", "MPEG_LAYER_III", 0),
        ("h.aiff", "PCM_16", 16),
    ):
        header = audio.header(save(tmp_path / name, tones().T, 44100, subtype=subtype))
        assert (header.length, header.bits) == (30_000, bits), name


def test_soundfile_has_the_private_names_that_commands_need(tmp_path):
    """`sndfile._command` needs names that a new version of soundfile may not have."""
    names = ("_snd.sf_command", "_ffi.new", "_ffi.buffer")
    with soundfile.SoundFile(tmp_path / "x.wav", "w", 8000, 1) as file:
        lost = [] if hasattr(file, "_file") else ["SoundFile._file"]
        for name in names:
            outer, inner = name.split(".")
            if not hasattr(getattr(soundfile, outer, None), inner):
                lost.append(name)
        assert not lost, (
            f"soundfile {soundfile.__version__} lacks {', '.join(lost)}: "
            "sep.audio.sndfile._command needs soundfile 0.13 or 0.14"
        )
        version = sndfile._command(file, 0x1000, 64)  # SFC_GET_LIB_VERSION
    assert version.startswith(b"libsndfile-")
