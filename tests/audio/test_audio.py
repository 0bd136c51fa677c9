"""Sound files of every kind, good and bad, and stems that appear whole or not at all."""

import itertools
import os
import resource
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from sep import audio
from sep.audio import Encoding, encodings
from sep.errors import UserError
from sep.runtime import files

WAV_16 = Encoding("wav", "PCM_16")
RATES = (8000, 22050, 44100, 48000, 96000)
# Suffix, subtype, the largest error of a sample (None: lossy), channels that it can hold.
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
        ordered_CT = wave_CT[IN_OGG.get(count, ...)] if suffix == "ogg" else wave_CT
        path = save(tmp_path / f"x.{suffix}", ordered_CT, rate, subtype=subtype)
        found_CT, found_rate = audio.read(path)
        assert (found_rate, found_CT.shape) == (rate, wave_CT.shape)
        assert found_CT.dtype == np.float32
        difference = np.abs(found_CT - wave_CT)
        limit = 0.05 if error is None else error
        assert (difference.mean() if error is None else difference.max()) <= limit
        survey = audio.survey(path)
        assert survey[:2] == (audio.Format(rate, count), wave_CT.shape[1])
        assert survey.rms == pytest.approx(np.sqrt((found_CT**2).mean()), rel=1e-4)


def test_levels_are_those_of_what_is_heard(tmp_path):
    wave_CT = tones(2)
    offset_CT = wave_CT + np.float32([[0.3], [-0.2]])
    levels = [
        audio.survey(save(tmp_path / "x.wav", found_CT, subtype="FLOAT")).rms
        for found_CT in (wave_CT, offset_CT, np.full((2, 90_000), 0.3, np.float32))
    ]
    assert levels[1] == pytest.approx(levels[0], rel=1e-6)
    assert levels[0] == pytest.approx(wave_CT.std(), rel=0.01) and levels[2] == 0


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
    path = save(tmp_path / "private.wav", tones())
    monkeypatch.setattr(os, "access", lambda *_: False)  # for root may read everything
    with pytest.raises(UserError, match=r"private\.wav: may not be read"):
        audio.survey(path)


@settings(max_examples=25)
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
            audio.writers(paths, audio.Format(8000, 1), 100, WAV_16) as (file, _),
        ):
            file.write(np.zeros((50, 1)))
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
            audio.writers(paths, audio.Format(8000, 1), 9, WAV_16),
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
        monkeypatch.setattr(encodings, "_WAV_LIMIT", limit)
        path = tmp_path / f"{kind}.wav"
        audio.write(path, tones(2), 44100, subtype)
        info = soundfile.info(path)
        assert (info.format.removesuffix("EX"), info.subtype) == (kind, subtype)
        assert audio.read(path)[0].shape == tones(2).shape


def test_an_mp3_without_a_count_of_its_samples_is_read_to_its_end(tmp_path):
    whole = save(tmp_path / "x.mp3", tones(2, 200_000)).read_bytes()
    frames = [at for at in range(len(whole)) if whole[at : at + 2] == b"\xff\xfb"]
    after_count = next(at for at in frames if at > whole.find(b"Info"))
    (tmp_path / "x.mp3").write_bytes(whole[after_count:])
    assert audio.survey(tmp_path / "x.mp3").length >= 200_000


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000])
def test_a_wav_from_a_pipe_is_read_to_its_end(tmp_path, size):
    """Its writer could not go back to fill in the sizes."""
    path = save(tmp_path / "x.wav", tones())
    whole = bytearray(path.read_bytes())
    for at in (4, whole.index(b"data") + 4):
        whole[at : at + 4] = size.to_bytes(4, "little")
    path.write_bytes(whole)
    assert audio.survey(path).length == 30_000


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_an_excerpt_is_the_same_samples(tmp_path, suffix):
    path = save(tmp_path / f"x.{suffix}", tones(2, 60_000))
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


def test_headers_say_what_stems_keep(tmp_path):
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
        header = audio.header(save(tmp_path / name, tones(), subtype=subtype))
        assert (header.length, header.bits) == (30_000, bits), name


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
def test_outputs_are_as_wide_as_recordings_if_they_can(container, subtype, bits, expected):
    chosen = audio.choose(container, subtype, header(bits))
    assert chosen == Encoding(container, expected)


@pytest.mark.parametrize(
    ("container", "subtype", "rate", "channels", "reason"),
    [
        ("mp3", "auto", 96000, 2, "no 96000 Hz, only 8000, .*choose --format=wav"),
        ("mp3", "auto", 44100, 3, "at most 2 channels here, not 3: choose --format=wav"),
        ("ogg", "auto", 44100, 6, "at most 2 channels"),
        ("ogg", "PCM_16", 44100, 2, "ogg has no PCM_16: leave --subtype out"),
        ("flac", "FLOAT", 44100, 2, "no FLOAT: choose --subtype=PCM_8 or PCM_16 or"),
    ],
)
def test_what_a_container_cannot_hold_is_refused(
    container, subtype, rate, channels, reason
):
    with pytest.raises(UserError, match=reason):
        audio.choose(container, subtype, header(16, rate, channels))


def copied(source, target, encoding, about=None):
    """Reads one file and writes another with `unclipped`; returns what it read, (C, T)."""
    wave_CT = np.concatenate(list(audio.blocks(source, dtype="float64")), 1)
    sound = audio.probe(source)
    with audio.unclipped([target], sound, wave_CT.shape[1], encoding, about) as takes:
        for start in range(0, wave_CT.shape[1], 7000):
            takes.write(wave_CT[None, :, start : start + 7000])
    assert takes.gain == 1
    return wave_CT


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
def test_what_is_read_is_written_bit_by_bit(tmp_path, suffix, subtype, bits):
    integers = np.random.default_rng(0).integers(-(2**31), 2**31, (50_000, 3), np.int32)
    integers[:2] = [[-(2**31)] * 3, [2**31 - 1] * 3]  # full scale too
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
def test_what_would_clip_is_turned_down_together(tmp_path, peak, container, subtype):
    waves_OCT = np.float64([tones(2, 40_000), 0.1 * tones(2, 40_000)])
    waves_OCT[0, 1, 39_000] = peak
    paths = [tmp_path / f"{name}.{container}" for name in "ab"]
    encoding = Encoding(container, subtype)
    with audio.unclipped(paths, audio.Format(44100, 2), 40_000, encoding) as takes:
        for start in range(0, 40_000, 9000):
            takes.write(waves_OCT[..., start : start + 9000])
    step = 2.0 ** (1 - encoding.bits)
    limit = 1 - step if peak > 0 else 1
    fits = peak < 1 - step / 2 if peak > 0 else -peak <= 1
    assert takes.gain == (1 if fits else pytest.approx(limit / abs(peak)))
    for path, wave_CT in zip(paths, waves_OCT, strict=True):
        found_TC = soundfile.read(path)[0]
        # Half a step of rounding; of 24 bits, a quarter more of the floats they waited as.
        error = np.abs(found_TC - takes.gain * wave_CT.T).max()
        assert error <= (0.5 if encoding.bits == 16 else 0.75) * step + 1e-12
    assert files_in(tmp_path) == [path.name for path in paths]


@pytest.mark.parametrize(("container", "most"), [("ogg", 0.03), ("mp3", 0.06)])
@pytest.mark.parametrize("channels", [1, 2])
def test_lossy_outputs_have_exact_lengths(tmp_path, container, most, channels):
    wave_CT = 3 * tones(channels, 100_001)
    path = tmp_path / f"x.{container}"
    encoding, sound = Encoding(container, "auto"), audio.Format(44100, channels)
    with audio.unclipped([path], sound, 100_001, encoding) as takes:
        takes.write(wave_CT[None])
    found_CT, rate = audio.read(path)
    assert (rate, found_CT.shape) == (44100, wave_CT.shape)
    assert takes.gain == pytest.approx(1 / 1.5, rel=1e-3)
    np.testing.assert_allclose(found_CT, takes.gain * wave_CT, atol=most)


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


def test_a_name_that_is_too_long_is_told_in_a_line(tmp_path):
    long = tmp_path / ("x" * 250)
    for writing in (files.replacing(long), files.replacing_folder(long, ())):
        with pytest.raises(UserError, match="cannot be written"), writing as part:
            part.touch()


def test_what_dead_processes_left_is_swept_away(tmp_path):
    path = tmp_path / "x[1].wav"
    dead = subprocess.Popen(["true"])
    dead.wait()
    mine = files.part_of(path)
    left = mine.with_name(mine.name.replace(str(os.getpid()), str(dead.pid)))
    alive = mine.with_name(mine.name.replace(str(os.getpid()), str(os.getppid())))
    host = mine.name.split(f"{os.getpid()}")[0]
    elsewhere = mine.with_name(f"{host}1-{dead.pid}.part")  # "this-host-1", a machine
    # An earlier process may have had our number.
    for part in (left, mine, alive, elsewhere):
        part.touch()
    audio.write(path, tones(), 8000)
    assert files_in(tmp_path) == sorted([alive.name, elsewhere.name, path.name])
    elsewhere.unlink()
    for part in (left, mine):
        part.mkdir()
        (part / "half").touch()
    with files.replacing_folder(path.with_suffix(""), ()) as folder:
        (folder / "whole").touch()
    assert (tmp_path / "x[1]" / "whole").exists()
    with files.replacing(path) as part:
        part.write_text("new")
    assert files_in(tmp_path) == sorted([alive.name, path.name, "x[1]", "x[1]/whole"])


def test_a_folder_whose_replacing_was_killed_comes_back(tmp_path):
    path = tmp_path / "page"
    old = files.part_of(path).with_suffix(".old")
    old.mkdir()
    (old / "index.html").write_text("old")
    files.sweep(path)
    assert files_in(tmp_path) == ["page", "page/index.html"]
    old.mkdir()  # killed while it was removed
    (old / "half").touch()
    files.sweep(path)
    assert files_in(tmp_path) == ["page", "page/index.html"]


def test_a_folder_with_hidden_files_is_somebodys(tmp_path):
    path = tmp_path / "page"
    (path / ".git").mkdir(parents=True)
    (path / ".DS_Store").touch()
    refused = pytest.raises(UserError, match=r"holds other things \(\.git\)")
    with refused, files.replacing_folder(path, ()):
        pass
    (path / ".git").rmdir()
    with files.replacing_folder(path, ()) as folder:
        (folder / "new").touch()
    assert files_in(tmp_path) == ["page", "page/new"]


def test_a_link_to_a_folder_is_replaced_and_not_what_it_links_to(tmp_path):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "page").symlink_to(tmp_path / "theirs")
    with files.replacing_folder(tmp_path / "page", ()) as folder:
        (folder / "new").touch()
    assert files_in(tmp_path) == ["page", "page/new", "theirs"]
