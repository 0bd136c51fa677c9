"""Stems are written together or not at all, bit by bit, and never clipped."""

import resource

import numpy as np
import pytest
import soundfile
from sounds import files_in, tones

from sep import audio
from sep.audio import Encoding, encodings
from sep.errors import UserError

WAV_16 = Encoding("wav", "PCM_16")


def test_an_error_while_writing_leaves_all_as_it_was(tmp_path):
    old = tmp_path / "old" / "piano.wav"
    audio.write(old, tones(), 8000)
    before = old.read_bytes()
    for folder in (old.parent, tmp_path / "new" / "deep"):
        paths = [folder / "piano.wav", folder / "violin.wav"]
        with (
            pytest.raises(KeyboardInterrupt),
            audio.writers(paths, audio.Format(8000, 1), 100, WAV_16) as (file, _),
        ):
            file.write(np.zeros((50, 1)))
            assert len(files_in(folder)) >= 2  # they are written in this folder
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
            audio.writers(paths, audio.Format(8000, 1), 9, WAV_16),
        ):
            pass
        assert files_in(tmp_path) == before


def test_a_full_disk_is_reported_and_leaves_nothing(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(UserError, match="free space"):
            audio.write(tmp_path / "out" / "x.wav", tones(), 8000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not files_in(tmp_path)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_files_too_large_for_wav_become_rf64(tmp_path, monkeypatch, subtype):
    size = {"PCM_16": 2, "PCM_24": 3, "FLOAT": 4}[subtype] * tones(2).size
    for limit, kind in ((size, "WAV"), (size - 1, "RF64")):
        monkeypatch.setattr(encodings, "_WAV_LIMIT", limit)
        path = tmp_path / f"{kind}.wav"
        audio.write(path, tones(2), 44100, subtype)
        info = soundfile.info(path)
        assert (info.format.removesuffix("EX"), info.subtype) == (kind, subtype)
        assert audio.read(path)[0].shape == tones(2).shape


def header(bits, rate=44100, channels=2):
    return audio.Header(audio.Format(rate, channels), 1000, bits, audio.About())


@pytest.mark.parametrize(
    ("container", "subtype", "bits", "expected"),
    [
        ("wav", "auto", 8, "PCM_8"),
        ("wav", "auto", 12, "PCM_16"),
        ("wav", "auto", 16, "PCM_16"),
        ("wav", "auto", 20, "PCM_24"),
        ("wav", "auto", 32, "PCM_32"),
        ("wav", "auto", 0, "FLOAT"),
        ("wav", "PCM_16", 0, "PCM_16"),
        ("flac", "auto", 16, "PCM_16"),
        ("flac", "auto", 32, "PCM_24"),
        ("flac", "auto", 0, "PCM_24"),
        ("ogg", "auto", 16, "auto"),
        ("mp3", "auto", 0, "auto"),
    ],
)
def test_outputs_are_as_wide_as_the_recording_if_possible(
    container, subtype, bits, expected
):
    chosen = audio.choose(container, subtype, header(bits))
    assert chosen == Encoding(container, expected)


@pytest.mark.parametrize(
    ("container", "subtype", "rate", "channels", "reason"),
    [
        (
            "mp3",
            "auto",
            96000,
            2,
            "not support 96000 Hz, only 8000, .*; choose --format=wav",
        ),
        ("mp3", "auto", 44100, 3, "at most 2 channels here, not 3; choose --format=wav"),
        ("ogg", "auto", 44100, 6, "at most 2 channels"),
        ("ogg", "PCM_16", 44100, 2, "ogg does not support PCM_16; leave --subtype out"),
        (
            "flac",
            "FLOAT",
            44100,
            2,
            "not support FLOAT; choose --subtype=PCM_8 or PCM_16 or",
        ),
    ],
)
def test_what_a_container_does_not_support_is_refused(
    container, subtype, rate, channels, reason
):
    with pytest.raises(UserError, match=reason):
        audio.choose(container, subtype, header(16, rate, channels))


def copied(source, target, encoding):
    """Copies a file in blocks of 7000 samples; asserts that no gain was needed."""
    wave_CT = np.concatenate(list(audio.blocks(source, dtype="float64")), 1)
    sound = audio.probe(source)
    with audio.unclipped([target], sound, wave_CT.shape[1], encoding) as outputs:
        for start in range(0, wave_CT.shape[1], 7000):
            outputs.write(wave_CT[None, :, start : start + 7000])
    assert outputs.gain == 1


@pytest.mark.parametrize(
    ("suffix", "subtype", "bits"),
    [
        ("wav", "PCM_U8", 8),
        ("wav", "PCM_16", 16),
        ("wav", "PCM_24", 24),
        ("wav", "PCM_32", 32),
        ("wav", "FLOAT", 0),
        ("flac", "PCM_S8", 8),
        ("flac", "PCM_16", 16),
        ("flac", "PCM_24", 24),
    ],
)
def test_copies_are_bit_identical(tmp_path, suffix, subtype, bits):
    integers = np.random.default_rng(0).integers(-(2**31), 2**31, (50_000, 3), np.int32)
    integers[:2] = [[-(2**31)] * 3, [2**31 - 1] * 3]  # full scale
    source, target = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    wave_TC = integers if bits else integers.astype(np.float32) / 2**20  # beyond full scale
    soundfile.write(source, wave_TC, 44100, subtype)
    encoding = audio.choose(suffix, "auto", audio.header(source))
    copied(source, target, encoding)
    assert soundfile.info(target).subtype == subtype
    kind = "int32" if bits else "float32"
    before, after = (soundfile.read(path, dtype=kind)[0] for path in (source, target))
    np.testing.assert_array_equal(after, before)


def test_samples_become_the_nearest_integers():
    wave = np.float64([0, 0.49, 0.51, -0.49, -0.51, 1.49, 32767.4, 40000, -40000]) / 2**15
    found = audio.writing.quantised(wave, 16) / 2**16
    np.testing.assert_array_equal(found, [0, 0, 1, 0, -1, 1, 32767, 32767, -32768])


@pytest.mark.parametrize("peak", [0.5, 32767 / 32768, 1.0, 1.7, -1.0, -1.7])
@pytest.mark.parametrize(("container", "subtype"), [("wav", "PCM_16"), ("flac", "PCM_24")])
def test_files_that_would_clip_get_one_gain(tmp_path, peak, container, subtype):
    waves_OCT = np.float64([tones(2, 40_000), 0.1 * tones(2, 40_000)])
    waves_OCT[0, 1, 39_000] = peak
    paths = [tmp_path / f"{name}.{container}" for name in "ab"]
    encoding = Encoding(container, subtype)
    with audio.unclipped(paths, audio.Format(44100, 2), 40_000, encoding) as outputs:
        for start in range(0, 40_000, 9000):
            outputs.write(waves_OCT[..., start : start + 9000])
    step = 2.0 ** (1 - encoding.bits)
    limit = 1 - step if peak > 0 else 1
    fits = peak < 1 - step / 2 if peak > 0 else -peak <= 1
    assert outputs.gain == (1 if fits else pytest.approx(limit / abs(peak)))
    for path, wave_CT in zip(paths, waves_OCT, strict=True):
        found_TC = soundfile.read(path)[0]
        # Half a step of rounding; at 24 bits, a quarter more from the spooled floats.
        error = np.abs(found_TC - outputs.gain * wave_CT.T).max()
        assert error <= (0.5 if encoding.bits == 16 else 0.75) * step + 1e-12
    assert files_in(tmp_path) == [path.name for path in paths]


@pytest.mark.parametrize(("container", "most"), [("ogg", 0.03), ("mp3", 0.06)])
@pytest.mark.parametrize("channels", [1, 2])
def test_lossy_outputs_have_exact_lengths(tmp_path, container, most, channels):
    wave_CT = 3 * tones(channels, 100_001)
    path = tmp_path / f"x.{container}"
    encoding, sound = Encoding(container, "auto"), audio.Format(44100, channels)
    with audio.unclipped([path], sound, 100_001, encoding) as outputs:
        outputs.write(wave_CT[None])
    found_CT, rate = audio.read(path)
    assert (rate, found_CT.shape) == (44100, wave_CT.shape)
    assert outputs.gain == pytest.approx(1 / 1.5, rel=1e-3)
    np.testing.assert_allclose(found_CT, outputs.gain * wave_CT, atol=most)


def test_tags_speakers_and_the_time_of_a_broadcast_are_kept(tmp_path):
    about = audio.About(
        {"title": "Sonate Nº 9", "artist": "A. B.", "date": "1803"},
        (2, 3, 4, 11, 9, 10),  # left, right, centre, bass, rear left, rear right
        offset=3_600_000,
    )
    first, second = tmp_path / "a.wav", tmp_path / "b.wav"
    sound, encoding = audio.Format(48000, 6), Encoding("wav", "PCM_16")
    with audio.writers([first], sound, 100, encoding, about) as (file,):
        file.write(np.zeros((100, 6)))
    found = audio.header(first).about
    assert found.tags == about.tags
    assert found.speakers == about.speakers
    with audio.writers([second], sound, 100, encoding, found._replace(offset=500)) as (f,):
        f.write(np.zeros((100, 6)))
    whole = second.read_bytes()
    at = whole.index(b"bext") + 8 + 338  # EBU Tech 3285: after what it describes
    assert int.from_bytes(whole[at : at + 8], "little") == 3_600_500
    tagged = tmp_path / "c.flac"
    with audio.writers([tagged], sound, 100, Encoding("flac", "PCM_16"), found) as (f,):
        f.write(np.zeros((100, 6)))
    assert audio.header(tagged).about.tags == about.tags


def test_equal_sounds_are_equal_files(tmp_path):
    for name in ("a.wav", "b.wav"):
        audio.write(tmp_path / name, tones(), 8000, "FLOAT")
    content = (tmp_path / "a.wav").read_bytes()
    assert content == (tmp_path / "b.wav").read_bytes()
    assert b"PEAK" not in content  # this chunk contains the time
