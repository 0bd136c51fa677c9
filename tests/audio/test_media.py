"""M4A, AAC and video, read with PyAV, and the order of channels in Ogg."""

import os
import sys

import numpy as np
import pytest
import soundfile

from sep import audio
from sep.errors import UserError

LENGTH, RATE = 100_001, 48000


def numbered_tones(channels, length=LENGTH):
    """Sines (C, T) of low frequency; the amplitude of each is 0.1 times its number."""
    time_T = np.arange(length) / RATE
    number_C1 = np.arange(1, channels + 1)[:, None]
    return (0.1 * number_C1 * np.sin(2 * np.pi * (200 + 50 * number_C1) * time_T)).astype(
        np.float32
    )


@pytest.fixture(scope="module")
def av():
    return pytest.importorskip("av")


def encode(av, path, wave_CT, codec, late=0.0, layout="stereo", **tags):
    """Writes a file with sound from `late` seconds on, and with pictures if it is video."""
    with av.open(os.fsencode(path).decode(errors="surrogateescape"), "w") as container:
        container.metadata.update(tags)
        picture = None
        if path.suffix in (".mp4", ".mkv"):
            picture = container.add_stream("mpeg4", rate=25)
            picture.width = picture.height = 64
            picture.pix_fmt = "yuv420p"
        sound = container.add_stream(codec, rate=RATE)
        sound.layout = layout
        if picture:
            for number in range(50):
                black = np.zeros((64, 64, 3), np.uint8)
                frame = av.VideoFrame.from_ndarray(black, format="rgb24")
                frame.pts = number
                container.mux(picture.encode(frame))
            container.mux(picture.encode())
        frame = av.AudioFrame.from_ndarray(wave_CT, format="fltp", layout=layout)
        frame.rate, frame.pts = RATE, round(late * RATE)
        convert = av.AudioResampler(sound.format.name, layout, RATE)
        for part in convert.resample(frame):
            container.mux(sound.encode(part))
        container.mux(sound.encode())
    return path


@pytest.mark.parametrize(
    ("name", "codec", "bits", "most"),
    [("a.m4a", "alac", 32, 1e-6), ("b.m4a", "aac", 0, 0.01), ("c.mp4", "aac", 0, 0.01)],
)
def test_mp4_is_read_from_its_first_sample_on(tmp_path, av, name, codec, bits, most):
    wave_CT = numbered_tones(2)
    path = encode(av, tmp_path / name, wave_CT, codec, title="Tïtle", artist="A")
    header = audio.header(path)
    assert header.format == audio.Format(RATE, 2)
    assert LENGTH - RATE / 1000 < header.length <= LENGTH
    assert header.bits == bits
    assert header.about.tags == {"title": "Tïtle", "artist": "A"}
    found_CT, rate = audio.read(path)
    assert (rate, found_CT.dtype) == (RATE, np.float32)
    assert LENGTH <= found_CT.shape[1] < LENGTH + (1 if bits else 1024)
    late, exact, early = (
        np.abs(found_CT[:, 3000 + k : 90_000 + k] - wave_CT[:, 3000:90_000]).mean()
        for k in (-1, 0, 1)
    )
    assert exact < min(most, late, early)
    part = np.concatenate(list(audio.blocks(path, audio.Excerpt(0.5, 0.25))), 1)
    np.testing.assert_array_equal(part, found_CT[:, 24_000:36_000])


@pytest.mark.parametrize(("name", "codec"), [("a.aac", "aac"), ("b.mkv", "aac")])
def test_a_file_without_its_length_is_read_to_its_end(tmp_path, av, name, codec):
    path = encode(av, tmp_path / name, numbered_tones(2), codec)
    assert LENGTH <= audio.survey(path).length < LENGTH + 3000


def test_sound_that_begins_after_its_video_has_an_offset(tmp_path, av):
    path = encode(av, tmp_path / "late.mp4", numbered_tones(2), "aac", late=0.5)
    assert audio.header(path).about.offset == pytest.approx(RATE / 2, abs=1100)


def test_a_media_file_that_was_cut_is_refused(tmp_path, av):
    path = encode(av, tmp_path / "x.mp4", numbered_tones(2), "aac")
    os.truncate(path, path.stat().st_size // 2)  # its index is at its end
    with pytest.raises(UserError, match=r"x\.mp4: cannot be read as sound"):
        audio.survey(path)
    path = encode(av, tmp_path / "y.m4a", numbered_tones(2), "aac")
    whole = path.read_bytes()
    start = whole.index(b"mdat") + 2000
    path.write_bytes(whole[:start] + bytes(8000) + whole[start + 8000 :])
    with pytest.raises(UserError, match=r"y\.m4a: "):
        audio.survey(path)


def test_a_media_file_without_sound_is_refused(tmp_path, av):
    path = tmp_path / "silent.mp4"
    with av.open(str(path), "w") as container:
        picture = container.add_stream("mpeg4", rate=25)
        picture.width = picture.height = 64
        picture.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
        container.mux(picture.encode(frame))
        container.mux(picture.encode())
    with pytest.raises(UserError, match=r"silent\.mp4: contains no sound track"):
        audio.survey(path)


def test_without_pyav_the_error_names_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / "x.m4a").write_bytes(bytes(100))
    with pytest.raises(UserError, match=r"x\.m4a: .*pip install '.\[media\]'"):
        audio.header(tmp_path / "x.m4a")
    assert audio.find(tmp_path) == [tmp_path / "x.m4a"]


@pytest.mark.parametrize("codec", ["VORBIS", "OPUS"])
@pytest.mark.parametrize("channels", range(1, 9))
def test_channels_of_ogg_are_put_in_the_order_of_wav(tmp_path, av, codec, channels):
    """FFmpeg does the same; libsndfile leaves them in Ogg's order."""
    path = tmp_path / "x.ogg"
    with soundfile.SoundFile(path, "w", RATE, channels, codec, format="OGG") as file:
        file.write(numbered_tones(channels, 12_000).T)
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        convert = av.AudioResampler("flt", stream.layout, stream.rate)
        frames = [*container.decode(stream), None]
        parts = [part.to_ndarray() for frame in frames for part in convert.resample(frame)]
    theirs_CT = np.concatenate(parts, 1).reshape(-1, channels).T
    theirs_C, ours_C = (
        np.sqrt(2 * (wave_CT**2).mean(1)) for wave_CT in (theirs_CT, audio.read(path)[0])
    )
    assert len(set(np.round(theirs_C, 2))) == channels
    np.testing.assert_allclose(ours_C, theirs_C, rtol=0.05, atol=1e-3)
