"""One recording from end to end: what is written is exact, whole, and known again."""

import json
import os

import numpy as np
import pytest
import soundfile
from small_model import save_small_model

from sep import audio
from sep.model.release import load_model
from sep.separation import jobs, manifest
from sep.separation.inference import Separation
from sep.separation.jobs import DONE, FAILED, SKIPPED, Request, Worker, files_of
from sep.separation.recordings import Task

STEMS = ("piano", "violin")


def noise(*shape, rms=0.1):
    return rms * np.random.default_rng(0).standard_normal(shape)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(save_small_model(tmp_path_factory.mktemp("model") / "small.safetensors"))


@pytest.fixture(scope="module")
def worker(model):
    """A worker for any request: the model is compiled once."""
    separation = Separation(load_model(model))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "load", lambda *_, **__: separation)
        yield lambda **request: Worker(Request(model, **request))


def separated(worker, recording, folder, **request):
    """Its outputs by name, (T, C)."""
    outcome = worker(**request)(Task(recording, folder))
    assert (outcome.status, outcome.error) == (DONE, "")
    return {path.stem: soundfile.read(path, always_2d=True)[0] for path in outcome.outputs}


RECORDINGS = [  # name, channels, samples, rate, subtype; of the stems by default
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
def test_stems_are_like_their_recording_and_sum_to_it(tmp_path, worker, form):
    name, channels, length, rate, subtype, expected = form
    path = tmp_path / name
    kind = "OGG" if name.endswith("opus") else None
    soundfile.write(path, noise(length, channels), rate, subtype=subtype, format=kind)
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
    limit = 2 * 2.0 ** (1 - bits) if bits else 1e-6  # a step a stem
    wave_TC = np.concatenate(list(audio.blocks(path, dtype="float64")), 1).T
    assert np.abs(sum(stems) - wave_TC).max() <= limit
    assert length < 2 or bits == 8 or all(stem.any() for stem in stems)


@pytest.mark.parametrize("rate", [16000, 44100])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "FLOAT"])
def test_a_remix_that_changes_nothing_is_the_recording(tmp_path, worker, rate, subtype):
    """Bit by bit: all stems, at their own level, through every stage."""
    path = tmp_path / "x.wav"
    soundfile.write(path, noise(20_000, 2), rate, subtype=subtype)
    separated(worker, path, tmp_path / "out", gains={"piano": 0.0})
    dtype = "float32" if subtype == "FLOAT" else "int32"
    before, after = (
        soundfile.read(p, dtype=dtype)[0] for p in (path, tmp_path / "out" / "remix.wav")
    )
    np.testing.assert_array_equal(before, after)


def test_only_what_is_asked_for_is_written(tmp_path, worker):
    path = tmp_path / "x.wav"
    soundfile.write(path, noise(20_000, 2), 22050, subtype="FLOAT")
    stems = separated(worker, path, tmp_path / "stems")
    wishes = {"stems": ("violin",), "minus": ("piano",), "gains": {"piano": -6.0}}
    found = separated(worker, path, tmp_path / "all", **wishes)
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


def test_stems_that_would_clip_share_one_gain_that_is_told(tmp_path, worker):
    path = tmp_path / "x.wav"
    wave_TC = np.clip(noise(20_000, 2, rms=0.5), -1, 1)
    soundfile.write(path, wave_TC, 16000, subtype="PCM_16")
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
    path = tmp_path / "x.wav"
    soundfile.write(path, noise(20_000, 2), 44100)
    found = separated(worker, path, tmp_path / "out", container=container)
    assert all(stem.shape == (20_000, 2) for stem in found.values())
    error = np.abs(sum(found.values()) - soundfile.read(path)[0])
    assert error.max() <= (2.0**-14 if container == "flac" else 0.5)


def test_an_excerpt_is_separated_as_if_it_were_all(tmp_path, worker):
    whole, part = tmp_path / "whole.wav", tmp_path / "part.wav"
    wave_TC = noise(60_000, 2)
    soundfile.write(whole, wave_TC, 22050)
    soundfile.write(part, soundfile.read(whole)[0][22050:44100], 22050)
    excerpt = audio.Excerpt(1.0, 1.0)
    found = separated(worker, whole, tmp_path / "out", excerpt=excerpt)
    for name, stem_TC in separated(worker, part, tmp_path / "part").items():
        np.testing.assert_array_equal(found[name], stem_TC)


def test_tags_are_kept(tmp_path, worker):
    path = tmp_path / "x.flac"
    with soundfile.SoundFile(path, "w", 16000, 1, "PCM_16") as file:
        file.title, file.artist = "Für Elise", "音楽"
        file.write(noise(1000))
    for container in ("wav", "flac", "ogg", "mp3"):
        folder = tmp_path / container
        separated(worker, path, folder, container=container)
        with soundfile.SoundFile(folder / f"piano.{container}") as file:
            assert (file.title, file.artist) == ("Für Elise", "音楽")


def test_more_channels_than_eight_are_refused(tmp_path, worker):
    path = tmp_path / "x.wav"
    soundfile.write(path, noise(100, 32), 16000)
    outcome = worker()(Task(path, tmp_path / "out"))
    assert outcome.status == FAILED
    assert "x.wav: has 32 channels; at most 8" in outcome.error


def test_a_recording_is_never_overwritten(tmp_path, worker):
    recording = tmp_path / "piano.wav"
    soundfile.write(recording, noise(100), 16000)
    before = recording.read_bytes()
    outcome = worker()(Task(recording, tmp_path))
    assert "piano.wav: would be overwritten" in outcome.error
    assert recording.read_bytes() == before


def shrink(path):
    os.truncate(path, path.stat().st_size // 2)


def grow(path):
    with path.open("ab") as file:
        file.write(bytes(5000))


def replace(path):
    soundfile.write(path.with_suffix(".new.wav"), noise(200_000, rms=0.01), 16000)
    path.with_suffix(".new.wav").replace(path)


def spoil(path):
    with path.open("r+b") as file:
        file.seek(-3000, 2)
        file.write(np.full(100, np.nan, np.float32).tobytes())


@pytest.mark.parametrize("change", [shrink, grow, replace, spoil, os.unlink])
@pytest.mark.parametrize("moment", [0, 3.0])  # seconds: the survey, the separation
def test_a_recording_that_changes_while_it_is_read_is_refused(
    tmp_path, worker, change, moment
):
    path = tmp_path / "x.wav"
    soundfile.write(path, noise(200_000), 16000, subtype="FLOAT")
    due = [moment]

    def tell(seconds):
        if due and seconds >= due[0]:
            due.clear()
            change(path)

    outcome = worker()(Task(path, tmp_path / "out"), tell)
    assert outcome.status == FAILED
    assert outcome.error.startswith(f"{path}: ")
    assert not (tmp_path / "out").exists()


class Stop(BaseException):
    pass


@pytest.mark.parametrize("subtype", ["FLOAT", "PCM_16"])
def test_work_that_is_stopped_leaves_no_files(tmp_path, worker, subtype):
    path = tmp_path / "x.wav"
    soundfile.write(path, noise(200_000), 16000)

    def tell(seconds):
        if seconds > 3:
            assert list((tmp_path / "out").iterdir())
            raise Stop

    with pytest.raises(Stop):
        worker(subtype=subtype)(Task(path, tmp_path / "out"), tell)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ZeroDivisionError("a\nb"), "please report it (ZeroDivisionError: a b)"),
        (MemoryError(), "not enough memory; try fewer --jobs"),
        (RuntimeError("RESOURCE_EXHAUSTED: 9 GB"), "not enough memory; try fewer --jobs"),
        (OSError(5, "Input/output error"), "[Errno 5] Input/output error"),
    ],
)
def test_errors_of_all_kinds_are_one_line_that_names_the_recording(
    tmp_path, worker, error, reason
):
    path = tmp_path / "x.wav"
    soundfile.write(path, noise(100), 16000)

    def tell(seconds):
        raise error

    outcome = worker()(Task(path, tmp_path / "out"), tell)
    assert outcome.status == FAILED
    assert outcome.error.startswith(f"{path}: ") and outcome.error.endswith(reason)


# What is done between two runs, and whether the second has work to do.
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


def cut_manifest(recording, folder):
    text = (folder / manifest.NAME).read_text()
    (folder / manifest.NAME).write_text(text[:-20])


def foreign_manifest(recording, folder):
    (folder / manifest.NAME).write_text('["hello"]')


def only_stems(recording, folder):
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
        (cut_manifest, {}, DONE),
        (foreign_manifest, {}, DONE),
        (only_stems, {}, DONE),
    ],
)
def test_finished_work_is_known_by_its_manifest(tmp_path, worker, between, again, status):
    path, folder = tmp_path / "x.wav", tmp_path / "out"
    soundfile.write(path, noise(20_000), 16000)
    assert worker(skip_existing=True)(Task(path, folder)).status == DONE
    between(path, folder)
    outcome = worker(skip_existing=True, **again)(Task(path, folder))
    assert outcome.status == status
    assert worker(skip_existing=True, **again)(Task(path, folder)).status == SKIPPED
    assert worker(**again)(Task(path, folder)).status == DONE


def test_the_files_of_a_request_are_known_beforehand(model):
    request = Request(model, minus=("piano",), container="mp3")
    assert files_of(request) == ["minus_piano.mp3"]


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"excerpt": audio.Excerpt(0.5), "minus": STEMS[:1]},
        {"stems": STEMS, "minus": STEMS[:1]},
    ],
)
def test_a_page_is_written_and_known_again(tmp_path, worker, request_):
    path, folder = tmp_path / "x.wav", tmp_path / "out"
    soundfile.write(path, noise(20_000, 2), 16000)
    outcome = worker(page=True, **request_)(Task(path, folder))
    assert (outcome.status, outcome.error) == (DONE, "")
    page = folder / "page" / "index.html"
    assert outcome.outputs[-1] == page
    text = page.read_text("utf-8")
    heard = "minus_piano" if request_ else "violin"
    assert heard in text
    # What holds other stems is heard in turn with them, not together.
    assert ('aria-label="minus_piano"' in text) == bool(request_)
    again = worker(page=True, skip_existing=True, **request_)
    skipped = again(Task(path, folder))
    assert (skipped.status, skipped.outputs) == (SKIPPED, outcome.outputs)
    page.unlink()
    assert again(Task(path, folder)).status == DONE
