"""One recording from end to end: exact outputs, complete files, and their record."""

import json
import os

import numpy as np
import pytest
import soundfile
from sounds import noise, save

from sep import audio
from sep.separation import manifest
from sep.separation.jobs import DONE, FAILED, SKIPPED, Request, Worker, files_of
from sep.separation.recordings import Task

STEMS = ("piano", "violin")


@pytest.fixture(scope="module")
def worker(model, shared_models):
    """A function that makes a worker."""
    return lambda **request: Worker(Request(str(model), **request))


def separated(worker, recording, folder, **request):
    """Outputs (T, C) of a recording by name."""
    outcome = worker(**request)(Task(recording, folder))
    assert (outcome.status, outcome.error) == (DONE, "")
    return {path.stem: soundfile.read(path, always_2d=True)[0] for path in outcome.outputs}


RECORDINGS = [  # name, channels, samples, rate, subtype, default subtype of the stems
    ("a.wav", 2, 40_000, 44100, "FLOAT", "FLOAT"),
    ("b.flac", 1, 16_001, 16000, "PCM_16", "PCM_16"),
    ("c.mp3", 2, 30_000, 48000, "MPEG_LAYER_III", "FLOAT"),
    ("d.ogg", 1, 9000, 22050, "VORBIS", "FLOAT"),
    ("e.wav", 5, 50_000, 96000, "PCM_24", "PCM_24"),
    ("f.wav", 1, 1, 8000, "PCM_U8", "PCM_U8"),
    ("g.aiff", 8, 9000, 192000, "PCM_32", "PCM_32"),
    ("h.w64", 2, 9000, 11025, "DOUBLE", "FLOAT"),
    ("i.opus", 2, 9000, 48000, "OPUS", "FLOAT"),
]


@pytest.mark.parametrize("form", RECORDINGS, ids=lambda form: form[0])
def test_stems_have_the_format_and_sum_of_the_recording(tmp_path, worker, form):
    name, channels, length, rate, subtype, expected = form
    kind = "OGG" if name.endswith("opus") else None
    wave_TC = noise(length, channels)
    path = save(tmp_path / name, wave_TC, rate, subtype=subtype, format=kind)
    outcome = worker()(Task(path, tmp_path / "out"))
    assert (outcome.status, outcome.gain) == (DONE, 1), outcome.error
    assert outcome.seconds == length / rate
    stems = []
    for stem in STEMS:
        stem_path = tmp_path / "out" / f"{stem}.wav"
        info = soundfile.info(stem_path)
        assert (info.samplerate, info.channels, info.frames) == (rate, channels, length)
        assert (info.format.removesuffix("EX"), info.subtype) == ("WAV", expected)
        stems.append(soundfile.read(stem_path, always_2d=True)[0])
    bits = audio.header(path).bits
    limit = 2 * 2.0 ** (1 - bits) if bits else 1e-6  # a quantisation step per stem
    wave_TC = np.concatenate(list(audio.blocks(path, dtype="float64")), 1).T
    assert np.abs(sum(stems) - wave_TC).max() <= limit
    assert length < 2 or bits == 8 or all(stem.any() for stem in stems)


@pytest.mark.parametrize("rate", [16000, 44100])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "FLOAT"])
def test_a_remix_with_gains_of_0_db_is_the_recording(tmp_path, worker, rate, subtype):
    path = save(tmp_path / "x.wav", noise(20_000, 2), rate, subtype=subtype)
    separated(worker, path, tmp_path / "out", gains={"piano": 0.0})
    dtype = "float32" if subtype == "FLOAT" else "int32"
    before, after = (
        soundfile.read(p, dtype=dtype)[0] for p in (path, tmp_path / "out" / "remix.wav")
    )
    np.testing.assert_array_equal(before, after)


def test_only_requested_outputs_are_written(tmp_path, worker):
    path = save(tmp_path / "x.wav", noise(20_000, 2), 22050, subtype="FLOAT")
    stems = separated(worker, path, tmp_path / "stems")
    request = {"stems": ("violin",), "minus": ("piano",), "gains": {"piano": -6.0}}
    found = separated(worker, path, tmp_path / "all", **request)
    assert list(found) == ["violin", "minus_piano", "remix"]
    np.testing.assert_array_equal(found["violin"], stems["violin"])
    np.testing.assert_allclose(found["minus_piano"], stems["violin"], atol=1e-7)
    expected = stems["violin"] + 10 ** (-6 / 20) * stems["piano"]
    np.testing.assert_allclose(found["remix"], expected, atol=1e-6)
    separated(worker, path, tmp_path / "minus", minus=("piano",))
    assert sorted(p.name for p in (tmp_path / "minus").iterdir()) == [
        "minus_piano.wav",
        manifest.NAME,
    ]


def test_outputs_that_would_clip_get_one_common_gain(tmp_path, worker):
    path = save(tmp_path / "x.wav", 2 * noise(20_000, 2), 16000, subtype="PCM_16")
    task = Task(path, tmp_path / "out")
    outcome = worker(stems=STEMS, gains={"piano": 12.0})(task)
    facts = json.loads((tmp_path / "out" / manifest.NAME).read_text())
    assert outcome.gain == facts["gain"] < 0.9
    read = {p.stem: soundfile.read(p)[0] for p in outcome.outputs}
    peaks = [np.abs(wave).max() for wave in read.values()]
    assert max(peaks) == pytest.approx(1, abs=2.0**-14)
    before = soundfile.read(path)[0] * outcome.gain
    assert np.abs(read["piano"] + read["violin"] - before).max() <= 2 * 2.0**-15
    remix = 10 ** (12 / 20) * read["piano"] + read["violin"]
    assert np.abs(read["remix"] - remix).max() <= 4 * 2.0**-15


@pytest.mark.parametrize("container", ["flac", "ogg", "mp3"])
def test_other_containers(tmp_path, worker, container):
    path = save(tmp_path / "x.wav", 0.5 * noise(20_000, 2), 44100)
    found = separated(worker, path, tmp_path / "out", container=container)
    assert all(stem.shape == (20_000, 2) for stem in found.values())
    error = np.abs(sum(found.values()) - soundfile.read(path)[0])
    assert error.max() <= (2.0**-14 if container == "flac" else 0.5)


def test_an_excerpt_is_separated_like_a_file_of_its_samples(tmp_path, worker):
    whole = save(tmp_path / "whole.wav", noise(60_000, 2), 22050)
    part = save(tmp_path / "part.wav", soundfile.read(whole)[0][22050:44100], 22050)
    excerpt = audio.Excerpt(1.0, 1.0)
    found = separated(worker, whole, tmp_path / "out", excerpt=excerpt)
    for name, stem_TC in separated(worker, part, tmp_path / "part").items():
        np.testing.assert_array_equal(found[name], stem_TC)


def test_tags_are_kept(tmp_path, worker):
    path = tmp_path / "x.flac"
    with soundfile.SoundFile(path, "w", 16000, 1, "PCM_16") as file:
        file.title, file.artist = "Für Elise", "音楽"
        file.write(noise(1000)[:, 0])
    for container in ("wav", "flac", "ogg", "mp3"):
        folder = tmp_path / container
        separated(worker, path, folder, container=container)
        with soundfile.SoundFile(folder / f"piano.{container}") as file:
            assert (file.title, file.artist) == ("Für Elise", "音楽")


def test_more_than_eight_channels_are_refused(tmp_path, worker):
    path = save(tmp_path / "x.wav", noise(100, 32), 16000)
    outcome = worker()(Task(path, tmp_path / "out"))
    assert outcome.status == FAILED
    assert "x.wav: has 32 channels, more than the 8" in outcome.error


def test_a_recording_is_never_overwritten(tmp_path, worker):
    recording = save(tmp_path / "piano.wav", noise(100), 16000)
    before = recording.read_bytes()
    outcome = worker()(Task(recording, tmp_path))
    assert "piano.wav: would be overwritten" in outcome.error
    assert recording.read_bytes() == before


LONG = 170_000  # samples at 16 kHz; the first stems are written before all are read


def shrink(path):
    os.truncate(path, path.stat().st_size // 2)


def grow(path):
    with path.open("ab") as file:
        file.write(bytes(5000))


def replace(path):
    save(path.with_suffix(".new.wav"), 0.1 * noise(LONG), 16000).replace(path)


def corrupt(path):
    with path.open("r+b") as file:
        file.seek(-3000, 2)
        file.write(np.full(100, np.nan, np.float32).tobytes())


@pytest.mark.parametrize("change", [shrink, grow, replace, corrupt, os.unlink])
@pytest.mark.parametrize("moment", [0, 3.0])  # seconds: the survey, the separation
def test_a_recording_that_changes_while_it_is_read_is_refused(
    tmp_path, worker, change, moment
):
    path = save(tmp_path / "x.wav", noise(LONG), 16000, subtype="FLOAT")
    due = [moment]

    def progress(seconds):
        if due and seconds >= due[0]:
            due.clear()
            change(path)

    outcome = worker()(Task(path, tmp_path / "out"), progress)
    assert outcome.status == FAILED
    assert outcome.error.startswith(f"{path}: ")
    assert not (tmp_path / "out").exists()


class Stop(BaseException):
    pass


@pytest.mark.parametrize("subtype", ["FLOAT", "PCM_16"])
def test_work_that_is_stopped_leaves_no_files(tmp_path, worker, subtype):
    path = save(tmp_path / "x.wav", noise(LONG), 16000)

    def progress(seconds):
        if seconds > 3:
            assert list((tmp_path / "out").iterdir())
            raise Stop

    with pytest.raises(Stop):
        worker(subtype=subtype)(Task(path, tmp_path / "out"), progress)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ZeroDivisionError("a\nb"), "(ZeroDivisionError: a b); please report it"),
        (MemoryError(), "not enough memory; try fewer --jobs"),
        (RuntimeError("RESOURCE_EXHAUSTED: 9 GB"), "not enough memory; try fewer --jobs"),
        (OSError(5, "Input/output error"), "[Errno 5] Input/output error"),
    ],
)
def test_all_errors_are_one_line_that_names_the_recording(tmp_path, worker, error, reason):
    path = save(tmp_path / "x.wav", noise(100), 16000)

    def progress(seconds):
        raise error

    outcome = worker()(Task(path, tmp_path / "out"), progress)
    assert outcome.status == FAILED
    assert outcome.error.startswith(f"{path}: ") and outcome.error.endswith(reason)


# Changes between two runs; some make the second run separate again.
def nothing(recording, folder):
    pass


def touch_all(recording, folder):
    for path in (recording, *folder.iterdir()):
        os.utime(path, (1, 1))


def edit_recording(recording, folder):
    data = bytearray(recording.read_bytes())
    data[-1] ^= 1
    recording.write_bytes(data)


def edit_stem(recording, folder):
    data = bytearray((folder / "violin.wav").read_bytes())
    data[-1] ^= 1
    (folder / "violin.wav").write_bytes(data)


def remove_stem(recording, folder):
    (folder / "piano.wav").unlink()


def truncate_record(recording, folder):
    text = (folder / manifest.NAME).read_text()
    (folder / manifest.NAME).write_text(text[:-20])


def replace_record(recording, folder):
    (folder / manifest.NAME).write_text('["hello"]')


def remove_record(recording, folder):
    (folder / manifest.NAME).unlink()


@pytest.mark.parametrize(
    ("between", "again", "status"),
    [
        (nothing, {}, SKIPPED),
        (touch_all, {}, SKIPPED),
        (nothing, {"subtype": "PCM_24"}, DONE),
        (nothing, {"stems": ("violin",)}, DONE),
        (nothing, {"excerpt": audio.Excerpt(0.5)}, DONE),
        (nothing, {"shifts": 2}, DONE),
        (edit_recording, {}, DONE),
        (edit_stem, {}, DONE),
        (remove_stem, {}, DONE),
        (truncate_record, {}, DONE),
        (replace_record, {}, DONE),
        (remove_record, {}, DONE),
    ],
)
def test_recordings_with_a_valid_record_are_skipped(
    tmp_path, worker, between, again, status
):
    path, folder = save(tmp_path / "x.wav", noise(9000), 16000), tmp_path / "out"
    task, second = Task(path, folder), worker(skip_existing=True, **again)
    assert worker(skip_existing=True)(task).status == DONE
    between(path, folder)
    assert second(task).status == status
    assert second(task).status == SKIPPED


def test_without_skip_existing_recordings_are_separated_again(tmp_path, worker):
    task = Task(save(tmp_path / "x.wav", noise(900)), tmp_path / "out")
    assert [worker()(task).status for _ in range(2)] == [DONE, DONE]


def test_files_of_returns_the_names_of_a_request(model):
    request = Request(str(model), minus=("piano",), container="mp3")
    assert files_of(request) == ["minus_piano.mp3"]


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"excerpt": audio.Excerpt(0.5), "minus": STEMS[:1]},
        {"stems": STEMS, "minus": STEMS[:1]},
    ],
)
def test_a_page_is_written_and_needed_to_skip(tmp_path, worker, request_):
    path, folder = save(tmp_path / "x.wav", noise(20_000, 2), 16000), tmp_path / "out"
    outcome = worker(page=True, **request_)(Task(path, folder))
    assert (outcome.status, outcome.error) == (DONE, "")
    page = folder / "page" / "index.html"
    assert outcome.outputs[-1] == page
    text = page.read_text("utf-8")
    assert ("minus_piano" if request_ else "violin") in text
    # An output that contains other stems is a system of its own, not played with them.
    assert ('aria-label="minus_piano"' in text) == bool(request_)
    again = worker(page=True, skip_existing=True, **request_)
    skipped = again(Task(path, folder))
    assert (skipped.status, skipped.outputs) == (SKIPPED, outcome.outputs)
    page.unlink()
    assert again(Task(path, folder)).status == DONE
