"""Playback and remix of the listening page, in a real browser, opened from disk."""

import shutil

import numpy as np
import pytest
import scipy.signal
from browser import samples

from sep import audio
from sep.listening_page.page import Line, PageTrack, write_page

STEP = 2**-23  # of 24-bit integers
SEGMENT = 44100  # samples
LENGTH = 17 * 22050  # samples: 8.5 s
PCM_16 = audio.Encoding("wav", "PCM_16")


def mix_of(lines, gains, start=0, length=LENGTH):
    """Returns the sum of lines with gains in dB by (source, system), computed by NumPy."""
    factors = {key: 10 ** (db / 20) for key, db in gains.items()}
    found = sum(factor * lines[key].astype(np.float64) for key, factor in factors.items())
    return found[:, start : start + length]


def test_it_plays_and_stops(page):
    page.click("#play")
    page.run("await until(() => player.position > 0.2 * track.rate);")
    before, after, wall = page.run(
        "const [a, t] = [player.position, performance.now()]; await sleep(500);"
        "return [a, player.position, (performance.now() - t) / 1000];"
    )
    moved = (after - before) / 44100  # less on a busy machine
    assert 0.3 * wall < moved < wall + 0.1
    assert page.get("document.getElementById('play').ariaLabel") == "Pause"
    page.click("#play")
    paused = page.run("await sleep(200); return player.position;")
    assert page.run("await sleep(200); return player.position;") == paused > after
    page.run("player.seek(track.length - 11025);")
    page.click("#play")
    page.run("await until(() => !player.playing);")  # the end
    assert page.get("player.position") == LENGTH
    assert page.get("document.getElementById('now').textContent") == "0:08.5"
    page.click("#play")  # again from the beginning
    page.run("await until(() => player.position > 0);")
    assert page.get("player.position") < 3 * 44100
    page.run("session.seek(track.length);")
    assert not page.get("player.playing")


def test_all_lines_are_scheduled_on_the_same_frames(page):
    page.run(
        "const scheduled = (count) => until(() => starts.length >= 5 * count);"
        "await player.play(); await scheduled(3); session.seek(4.7 * 44100 + 11);"
        "await scheduled(6); session.choose(0); session.seek(100); await scheduled(10);"
        "session.seek(7.999 * 44100); await scheduled(12);"
    )
    found = page.get("starts.filter((s) => s[3]).map((s) => s.slice(0, 3))")
    starts = np.array(found).reshape(-1, 5, 3)  # five lines
    assert len(starts) >= 12
    assert (starts == starts[:, :1]).all()
    when, offset, length = starts[:, 0].T
    frames = when * 44100
    assert np.abs(frames - np.round(frames) - 1e-6).max() < 1e-7
    ends = np.round(frames) + length - np.round(offset * 44100)
    assert (ends[:-1] == np.round(frames[1:])).sum() >= 4  # no gap between segments


@pytest.mark.slow
def test_lines_stay_in_sync_while_playing(page, written):
    """Records every line of the playing context, and finds each in its file."""
    taps = page.run(
        """
        await player.play();
        const { graph, context } = player, count = track.lines.length;
        const merger = new ChannelMergerNode(context, { numberOfInputs: count });
        graph.inputs.forEach((input, i) => {
          const splitter = new ChannelSplitterNode(context, { numberOfOutputs: 2 });
          input.connect(splitter);
          splitter.connect(merger, 0, i);
        });
        const tap = context.createScriptProcessor(16384, count, 1);
        const blocks = [];
        tap.onaudioprocess = ({ inputBuffer }) => {
          const channel = (_, c) => packed(inputBuffer.getChannelData(c));
          blocks.push(Array.from({ length: count }, channel));
        };
        merger.connect(tap).connect(context.destination);
        player.setGains(track.lines.map(() => 1));
        await sleep(1500);
        session.seek(4.5 * track.rate);
        session.choose(0);
        player.setGains(track.lines.map(() => 1));
        await sleep(3000);
        player.pause();
        return blocks;
        """
    )
    places, faded = [], set()
    waves = list(written.duet.values())
    for channels in taps:
        blocks = [samples(channel) for channel in channels]
        at = place(waves[0][0], blocks[0])
        if at is None:  # before the start, or across the seek
            continue
        for wave_CT, block in zip(waves, blocks, strict=True):  # the same place in all
            part = wave_CT[0, at : at + len(block)]
            if np.abs(part - block).max() >= 1e-6:  # choose(0) fades the other lines out
                faded.add(at)
                assert ((part * block >= 0) & (np.abs(block) <= np.abs(part) + 1e-6)).all()
        places.append(at)
    assert len(faded) <= 1
    assert len(places) >= 5
    assert places[0] < 2 * 44100
    assert places[-1] > 4.5 * 44100
    assert (np.diff(places) >= 16384).all()
    (warning,) = page.log()
    assert "ScriptProcessorNode is deprecated" in warning  # the tap


def place(wave_T, block_T):
    """Returns where in a recording a block begins, None if it is not an exact part."""
    at = int(scipy.signal.correlate(wave_T, block_T, "valid", "fft").argmax())
    close = np.abs(wave_T[at : at + len(block_T)] - block_T).max() < 1e-6
    return at if close and block_T.any() else None


@pytest.mark.slow
def test_solo_mute_and_gain_change_the_sum(page, written):
    start, length = SEGMENT - 5000, SEGMENT + 10_000  # three segments

    def check(**gains):
        keys = {(source, "reference"): db for source, db in gains.items()}
        found = page.rendered(start, length)
        expected_CT = mix_of(written.duet, keys, start, length) if keys else 0 * found
        assert np.abs(found - expected_CT).max() < 2e-6

    check(piano=0, violin=0)  # the first system other than the mixture
    page.click(".mute", 1)
    check(violin=0)
    page.click(".mute", 1)
    page.click(".solo", 1)
    check(piano=0)
    page.set_gain(1, -7.5)
    check(piano=-7.5)
    page.click(".solo", 1)
    check(piano=-7.5, violin=0)
    page.set_gain(2, 12)
    check(piano=-7.5, violin=12)
    page.set_gain(2, -60)
    check(piano=-7.5)
    page.click(".mute", 1)
    check()


@pytest.mark.slow
def test_switching_systems_keeps_the_position(page):
    page.run("await player.play(); await until(() => player.position > 20000);")
    assert page.gains() == [0, 1, 0, 1, 0]
    page.press("3")
    assert page.gains() == [0, 0, 1, 0, 1]
    page.click(".solo", 1)
    assert page.gains() == [0, 0, 1, 0, 0]
    page.press("x")
    assert page.gains() == [0, 1, 0, 0, 0]
    page.press("x")
    assert page.gains() == [0, 0, 1, 0, 0]
    # The inputs of the playing graph follow, and nothing is scheduled again.
    gains = "player.graph.inputs.map((i) => i.gain.value)"
    page.run(f"await until(() => {gains}.join() === '0,0,1,0,0');")
    assert page.get(gains) == [0, 0, 1, 0, 0]
    scheduled, moved = page.run(
        "const [count, at] = [starts.length, player.position]; session.choose(1);"
        "return [starts.length - count, player.position - at];"
    )
    assert scheduled == 0
    assert moved < 4410


@pytest.mark.slow
def test_all_lines_wait_for_a_late_segment(page):
    page.run(
        """
        const load = Sep.loadSegment;
        const late = new Promise((resolve) => { window.release = resolve; });
        Sep.loadSegment = async (line, n) => {
          if (n === 3 && line === track.lines[4]) await late;
          return load(line, n);
        };
        session.seek(2.5 * track.rate);
        await player.play();
        await until(() => player.position >= 3 * track.rate);
        await sleep(500);
        """
    )
    assert page.get("player.position") == 3 * SEGMENT
    page.run("starts.length = 0; release();")
    page.run("await until(() => player.position > 4 * track.rate);")
    starts = np.array(page.get("starts.map((s) => s.slice(0, 2))"))
    assert len(starts) >= 5
    assert (starts[:5] == starts[0]).all()
    assert starts[0, 1] == 0  # from the first sample of segment 3


@pytest.mark.slow
@pytest.mark.parametrize("start", [0, 1, SEGMENT - 1, SEGMENT, LENGTH - 300])
def test_seek_continues_with_the_exact_sample(page, written, start):
    length = min(30_000, LENGTH - start)
    page.run("session.choose(0); session.seek(args[0]);", start)
    assert page.get("player.position") == start
    found = page.rendered(start, length)
    expected_CT = written.duet["mixture", "mixture"][:, start : start + length]
    np.testing.assert_array_equal(found, expected_CT)


def test_saved_remix_is_the_sum_of_the_lines(page, written):
    page.set_gain(1, -7.5)
    page.set_gain(2, 1.5)
    page.click("#save")
    found_CT, rate = page.saved("duet remix.wav")
    gains = {("piano", "reference"): -7.5, ("violin", "reference"): 1.5}
    expected_CT = mix_of(written.duet, gains)
    assert rate == 44100
    assert found_CT.shape == expected_CT.shape
    assert np.abs(expected_CT).max() < 1
    assert np.abs(found_CT - expected_CT / STEP).max() <= 0.501  # rounded to nearest
    assert page.status() == "Remix saved."


@pytest.mark.slow
def test_remix_is_lowered_instead_of_clipping(page, written):
    page.press("3")
    page.click("#save")
    found_CT, _ = page.saved("duet remix.wav")
    expected_CT = mix_of(written.duet, {("piano", "rough"): 0, ("violin", "rough"): 0})
    excess = max(expected_CT.max() / (1 - STEP), -expected_CT.min())
    assert excess > 1.2
    # Stored lines have a scale of up to 4, so each may be two steps from its file.
    assert np.abs(found_CT - expected_CT / excess / STEP).max() <= 0.5 + 2 * 2
    assert found_CT.max() == 2**23 - 1 or found_CT.min() == -(2**23)
    lowered = f"{20 * np.log10(excess):.1f} dB lower so that it does not clip"
    assert page.status() == f"Remix saved, {lowered}."


@pytest.mark.slow
def test_no_remix_of_silence_or_after_cancelling(page):
    page.click(".mute", 1)
    page.click(".mute", 2)
    page.click("#save")
    assert page.status() == "Nothing to save: every source is silent."
    page.click(".mute", 1)
    page.run("session.save(); session.save();")
    assert page.status() == "Remix cancelled."
    page.run("session.save(); session.save(); session.save();")  # the last call counts
    assert page.saved("duet remix.wav")[1] == 44100
    assert page.status() == "Remix saved."
    assert list(page.downloads.iterdir()) == []
    assert page.get("document.getElementById('save').textContent") == "Save remix"


@pytest.mark.slow
def test_tracks_have_their_own_rate_and_channels(page, written):
    ((key, wave_CT),) = written.wide.items()
    page.click("#play")
    page.run("await until(() => player.position > 0);")
    page.run(
        "const select = document.getElementById('track');"
        "select.value = 1; select.dispatchEvent(new Event('change'));"
    )
    shown = page.get("[...document.querySelectorAll('.track')].map((t) => !t.hidden)")
    assert shown == [False, True]
    assert page.get("[track.title, track.sources[0]]") == [key[0], key[0]]
    page.press("k")
    page.run("await until(() => player.position > 0.2 * track.rate);")
    assert page.get("player.context.sampleRate") == 22050
    page.run("player.pause();")
    found_CT = page.rendered(0, wave_CT.shape[1])  # three channels play in mono
    np.testing.assert_allclose(found_CT[0], wave_CT.mean(0), atol=2 * STEP)
    page.click("#save")
    saved_CT, rate = page.saved("_'_script_throw 1_script_ 🎻_ remix.wav")
    assert rate == 22050
    assert np.abs(saved_CT - wave_CT / STEP).max() <= 1


@pytest.mark.slow
def test_missing_segment_is_reported(chrome, written):
    missing = written.index.parent / "sound" / "0-1" / "6.js"
    chrome.open(written.index)
    missing.rename(missing.with_suffix(".away"))
    try:
        chrome.run("session.seek(6.5 * 44100);")
        chrome.run("await until(() => document.querySelector('.status.error'));")
        found = chrome.status()
        assert found == "Error: sound/0-1/6.js cannot be loaded; is the folder complete?"
        chrome.run("session.seek(0); await player.play();")  # other segments play
        chrome.run("await until(() => player.position > 0);")
    finally:
        missing.with_suffix(".away").rename(missing)


@pytest.mark.slow
def test_remix_works_at_a_rate_that_the_browser_cannot_play(chrome, tmp_path):
    wave_CT = np.random.default_rng(0).integers(-(2**15), 2**15, (1, 25_000)) / 2**15
    path = tmp_path / "slow.wav"
    audio.write(path, wave_CT.astype(np.float32), 2000)
    track = PageTrack("slow", [Line("piano", "reference", path, {})])
    chrome.open(write_page(tmp_path / "page", "", [track]))
    chrome.click("#play")
    chrome.run("await until(() => document.querySelector('.status.error'));")
    assert "this browser cannot play sound at 2000 Hz; save a remix" in chrome.status()
    assert not chrome.get("player.playing")
    chrome.click("#save")
    found_CT, rate = chrome.saved("slow remix.wav")
    assert rate == 2000
    np.testing.assert_array_equal(found_CT, wave_CT / STEP)


@pytest.mark.slow
def test_an_hour_stays_responsive(chrome, duet, tmp_path):
    rounds, lines, stereo = 150, [], audio.Format(44100, 2)
    length = rounds * duet["mixture"].shape[1]
    for source, system in (("mixture", "mixture"), ("piano", "reference")):
        path = tmp_path / f"{source}.wav"
        with audio.writers([path], stereo, length, PCM_16) as (file,):
            for _ in range(rounds):
                file.write(duet[source].T)
        lines.append(Line(source, system, path, {}))
    chrome.open(write_page(tmp_path / "page", "An hour", [PageTrack("An hour", lines)]))
    assert chrome.get("track.length") == length
    report = chrome.run(
        """
        const waits = [], gaps = [], held = [];
        let last = performance.now();
        const timer = setInterval(() => {
          gaps.push(performance.now() - last);
          last = performance.now();
          held.push(player.window.held.size);
        }, 10);
        await player.play();
        for (let i = 0; i < 30; i++) {
          const before = performance.now();
          session.seek(((i * 0.381966) % 1) * track.length);
          if (i % 3 === 0) {
            await until(() => player.anchor !== null && player.position > player.from);
            waits.push(performance.now() - before);
          } else await sleep(30);
        }
        session.view.zoom(64, player.position);
        await sleep(1000);
        clearInterval(timer);
        const count = (selector) => document.querySelectorAll(selector).length;
        return { waits, gaps, held, images: count("img"), scripts: count("script") };
        """
    )
    assert max(report["held"]) <= 3  # segments
    assert report["images"] <= 2 * 5
    assert report["scripts"] <= 8 + 2  # those of the page, and a segment being loaded
    assert np.median(report["waits"]) < 1000  # ms from a seek to sound
    assert np.median(report["gaps"]) < 50  # ms without a reaction of the page
    assert max(report["gaps"]) < 1000
    heap = chrome.driver.execute_cdp_cmd("Runtime.getHeapUsage", {})["usedSize"]
    assert heap < 100e6
    assert chrome.log() == []
    shutil.rmtree(tmp_path)  # two gigabytes
