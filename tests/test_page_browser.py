"""The listening page in a real browser, opened from the disk."""

import time
from typing import NamedTuple

import numpy as np
import pytest
import scipy.signal

from browser import browser, samples
from sep import audio
from sep.report.page import Line, Track, write_page

NASTY = "\"'><script>throw 1</script> 🎻/\\"
STEP = 2**-23  # of the saved remix


class Page(NamedTuple):
    """An open page, and what its two tracks hold: line (source, system) -> (C, T)."""

    browser: object
    folder: object
    first: dict
    second: dict

    def run(self, body, *arguments):
        return self.browser.run(f"const session = Sep.session, player = session.player; {body}", *arguments)


@pytest.fixture(scope="module")
def chrome(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("browser")) as found:
        yield found


@pytest.fixture(scope="module")
def written(tmp_path_factory, duet, example_folder):
    """A page with the example, and with a track of three channels at another rate."""
    folder = tmp_path_factory.mktemp("page with a space & 100%")
    rng = np.random.default_rng(0)
    rough = {  # an estimate louder than full scale, in float samples
        name: (3 * duet[name] + 0.01 * rng.standard_normal(duet[name].shape)).astype(np.float32)
        for name in ("piano", "violin")
    }
    first, lines = {}, []
    for source, system in (
        ("mixture", "mixture"), ("piano", "reference"), ("piano", "rough"),
        ("violin", "reference"), ("violin", "rough"),
    ):  # fmt: skip
        path = example_folder / f"{source}.flac"
        first[source, system] = duet[source]
        if system == "rough":
            path = folder / f"{source}.wav"
            audio.write(path, rough[source], 44100, "FLOAT")
            first[source, system] = rough[source]
        lines.append(Line(source, system, path, {"SI-SDR": 1.0}))
    wide_CT = rng.uniform(-1, 1, (3, 22050 * 7)).astype(np.float32)
    audio.write(folder / "wide.wav", wide_CT, 22050, "FLOAT")
    tracks = [
        Track("duet", lines),
        Track(NASTY, [Line(NASTY, "a", folder / "wide.wav", {})]),
    ]
    index = write_page(folder / "page", "A page to test", tracks, NASTY)
    return index, first, {(NASTY, "a"): wide_CT}


@pytest.fixture
def page(chrome, written):
    """The page, freshly opened; at the end nothing may have gone wrong or out."""
    index, first, second = written
    chrome.size(1280, 900)
    chrome.addresses()
    chrome.open(index)
    yield Page(chrome, index.parent, first, second)
    assert chrome.driver.get_log("browser") == []
    addresses = chrome.addresses()
    inside = (index.parent.absolute().as_uri() + "/", "blob:null/", "data:,")
    assert len(addresses) > 10
    assert [a for a in addresses if not a.startswith(inside)] == []


# The page's own graph and segments, in a context that renders to memory.
RENDER = """
async function render(gains, from, length) {
  const { track } = session;
  const context = new OfflineAudioContext(track.channels, length, track.rate);
  const graph = Sep.buildGraph(context, gains);
  const last = Math.floor((from + length - 1) / track.segment);
  const numbers = [];
  for (let n = Math.floor(from / track.segment); n <= last; n++) numbers.push(n);
  const window = new Sep.Window(track, () => {}, (error) => { throw error; });
  window.want(numbers);
  await until(() => window.held.size === numbers.length);
  for (const n of numbers) {
    const offset = Math.max(0, from - n * track.segment);
    Sep.startBuffers(graph, window.get(n), n * track.segment + offset - from, offset);
  }
  const buffer = await context.startRendering();
  return Array.from({ length: track.channels }, (_, c) => packed(buffer.getChannelData(c)));
}
"""


def heard(page, start, length):
    """What the present mix sounds like, rendered through the page's graph: (C, T)."""
    packed = page.run(
        RENDER + "return render(Sep.gains(session.track, session.mix), args[0], args[1]);",
        start,
        length,
    )
    return np.stack([samples(channel) for channel in packed])


def expected(lines, gains, start, length):
    """The same by numpy: `gains` by (source, system), in dB."""
    found = sum(10 ** (db / 20) * lines[key].astype(np.float64) for key, db in gains.items())
    return found[:, start : start + length]


def click(page, selector, index=0):
    page.browser.driver.find_elements("css selector", selector)[index].click()


def press(page, *keys, shift=False):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    chain = ActionChains(page.browser.driver)
    chain = chain.key_down(Keys.SHIFT).send_keys(*keys) if shift else chain.send_keys(*keys)
    (chain.key_up(Keys.SHIFT) if shift else chain).perform()


def set_gain(page, source, db):
    page.run(
        "const gain = document.querySelectorAll('.track:not([hidden]) .gain')[args[0]];"
        "gain.value = args[1]; gain.dispatchEvent(new Event('input'));",
        source,
        db,
    )


def test_it_plays_and_stops(page):
    click(page, "#play")
    page.run("await until(() => player.position > 0.5 * session.track.rate);")
    before, after, wall = page.run(
        "const [a, t] = [player.position, performance.now()]; await sleep(1000);"
        "return [a, player.position, (performance.now() - t) / 1000];"
    )
    assert (after - before) / 44100 == pytest.approx(wall, abs=0.1)
    assert page.run("return document.getElementById('play').ariaLabel") == "Pause"
    click(page, "#play")
    still = page.run("await sleep(200); const a = player.position; await sleep(300); return [a, player.position];")
    assert still[0] == still[1] > after
    page.run("player.seek(session.track.length - 22050);")
    click(page, "#play")
    page.run("await until(() => !player.playing);")  # the end
    assert page.run("return player.position;") == 24 * 44100
    assert page.run("return document.getElementById('now').textContent") == "0:24.0"
    click(page, "#play")  # and from the beginning
    assert page.run("await sleep(500); return player.position;") < 3 * 44100


def test_all_lines_are_scheduled_on_the_same_frames(page):
    page.run(
        "await player.play(); await sleep(300); session.seek(4.7 * 44100 + 11); await sleep(900);"
        "session.choose(0); session.seek(100); await sleep(300);"
        "session.seek(14.999 * 44100); await sleep(700);"
    )
    starts = np.array(page.run("return starts.filter((s) => s[3]).map((s) => s.slice(0, 3));"))
    starts = starts.reshape(-1, 5, 3)  # five lines each
    assert len(starts) >= 8
    assert (starts == starts[:, :1]).all()
    frames = starts[:, 0, 0] * 44100
    assert np.abs(frames - np.round(frames) - 1e-6).max() < 1e-7
    lasts = starts[:, 0, 2] - np.round(starts[:, 0, 1] * 44100)
    joined = np.abs(np.round(frames[:-1] + lasts[:-1]) - np.round(frames[1:])) < 0.5
    assert joined.sum() >= 4  # a segment begins on the frame after the last one's end


def test_lines_sound_at_the_same_time_live(page):
    """A tap on every line of the playing context hears each file at the same place."""
    packed = page.run(
        """
        await player.play();
        const { graph, track } = player, { context } = player, count = track.lines.length;
        const merger = new ChannelMergerNode(context, { numberOfInputs: count });
        graph.inputs.forEach((input, i) => {
          const splitter = new ChannelSplitterNode(context, { numberOfOutputs: 2 });
          input.connect(splitter);
          splitter.connect(merger, 0, i);
        });
        player.setGains(track.lines.map(() => 1));
        const tap = context.createScriptProcessor(16384, count, 1);
        const blocks = [];
        tap.onaudioprocess = (event) => {
          const channels = Array.from({ length: count }, (_, c) => event.inputBuffer.getChannelData(c).slice());
          blocks.push(channels);
        };
        merger.connect(tap).connect(context.destination);
        await sleep(1500);
        session.seek(9.5 * track.rate);
        session.choose(0);
        player.setGains(track.lines.map(() => 1));
        await sleep(3000);
        player.pause();
        return blocks.map((channels) => channels.map(packed));
        """
    )
    places = []
    waves = list(page.first.values())
    for channels in packed:
        blocks = [samples(channel) for channel in channels]
        at = place(waves[0][0], blocks[0])
        if at is None:  # before the sound, or across the jump
            continue
        for wave_CT, block in zip(waves, blocks, strict=True):  # 0 ms apart
            assert np.abs(wave_CT[0, at : at + len(block)] - block).max() < 1e-6
        places.append(at)
    assert len(places) >= 5
    assert places[0] < 2 * 44100
    assert places[-1] > 9.5 * 44100
    steps = np.diff(places)
    assert (steps % 16384 != 0).sum() == 1  # the jump; all else is one stream
    (warning,) = page.browser.driver.get_log("browser")
    assert "ScriptProcessorNode is deprecated" in warning["message"]  # the tap


def place(wave_T, block_T):
    """Where in a recording a block of it begins, None if it is not just that."""
    match = scipy.signal.correlate(wave_T, block_T, "valid", "fft")
    at = int(match.argmax())
    close = np.abs(wave_T[at : at + len(block_T)] - block_T).max() < 1e-6
    return at if close and block_T.any() else None


def test_solo_mute_and_gain_change_what_is_heard(page):
    start, length = 3 * 44100 + 7, 7 * 44100  # across joins
    lines = page.first
    references = {("piano", "reference"): 0, ("violin", "reference"): 0}

    def check(gains):
        found = heard(page, start, length)
        wanted = expected(lines, gains, start, length) if gains else 0 * found
        assert np.abs(found - wanted).max() < 2e-6

    check(references)  # the first system that is not the mixture
    click(page, ".mute", 1)
    check({("violin", "reference"): 0})
    click(page, ".mute", 1)
    click(page, ".solo", 1)
    check({("piano", "reference"): 0})
    set_gain(page, 1, -7.5)
    check({("piano", "reference"): -7.5})
    click(page, ".solo", 1)
    check({("piano", "reference"): -7.5, ("violin", "reference"): 0})
    set_gain(page, 2, 12)
    check({("piano", "reference"): -7.5, ("violin", "reference"): 12})
    set_gain(page, 2, -60)
    check({("piano", "reference"): -7.5})
    click(page, ".mute", 1)
    check({})


def test_systems_are_compared_at_the_same_place(page):
    def heard_lines():
        return page.run("return Sep.gains(session.track, session.mix);")

    page.run("await player.play(); await until(() => player.position > 20000);")
    assert heard_lines() == [0, 1, 0, 1, 0]
    press(page, "3")
    assert heard_lines() == [0, 0, 1, 0, 1]
    click(page, ".solo", 1)
    assert heard_lines() == [0, 0, 1, 0, 0]
    press(page, "x")
    assert heard_lines() == [0, 1, 0, 0, 0]
    press(page, "x")
    assert heard_lines() == [0, 0, 1, 0, 0]
    # The inputs of the playing graph follow, and nothing is scheduled anew.
    gains = page.run("await sleep(100); return player.graph.inputs.map((input) => input.gain.value);")
    assert gains == [0, 0, 1, 0, 0]
    scheduled, position = page.run(
        "const count = starts.length, at = player.position; session.choose(1);"
        "return [starts.length - count, player.position - at];"
    )
    assert scheduled == 0
    assert position < 4410
    click(page, ".solo", 1)
    click(page, ".system input", 0)
    assert heard_lines() == [1, 0, 0, 0, 0]
    click(page, ".mute", 2)  # the mixture has no violin to mute; the system before has
    assert heard_lines() == [0, 1, 0, 0, 0]
    click(page, ".mute", 0)  # the mixture is not heard anyway
    assert heard_lines() == [0, 1, 0, 0, 0]
    click(page, ".solo", 0)
    assert heard_lines() == [0, 1, 0, 0, 0]  # it is muted: nothing would be heard
    click(page, ".mute", 0)
    assert heard_lines() == [1, 0, 0, 0, 0]
    click(page, ".name", 2)  # the name of a line chooses its system
    assert heard_lines() == [0, 0, 1, 0, 0]


@pytest.mark.parametrize("start", [0, 1, 5 * 44100 - 1, 5 * 44100, 24 * 44100 - 300])
def test_what_follows_a_seek_is_the_file_at_that_place(page, start):
    length = min(30_000, 24 * 44100 - start)
    page.run("session.choose(0); session.seek(args[0]);", start)
    assert page.run("return player.position;") == start
    found = heard(page, start, length)
    np.testing.assert_array_equal(found, page.first["mixture", "mixture"][:, start : start + length])


def test_clicks_and_keys_seek(page):
    from selenium.webdriver.common.keys import Keys

    def seconds():
        return page.run("return player.position / session.track.rate;")

    click(page, ".picture", 1)  # its middle
    assert seconds() == pytest.approx(12, abs=0.1)
    press(page, Keys.ARROW_RIGHT)
    assert seconds() == pytest.approx(17, abs=0.1)
    press(page, Keys.ARROW_LEFT, shift=True)
    assert seconds() == pytest.approx(16, abs=0.1)
    press(page, Keys.END)
    assert seconds() == 24
    press(page, Keys.HOME)
    assert seconds() == 0
    press(page, Keys.ARROW_LEFT)
    assert seconds() == 0
    click(page, "#position")  # its middle; then its arrows are the page's
    press(page, Keys.ARROW_RIGHT)
    assert seconds() == pytest.approx(17, abs=0.3)
    text = page.run("return document.getElementById('position').getAttribute('aria-valuetext');")
    assert text == f"0:{int(seconds())} of 0:24"
    press(page, "k")
    page.run("await until(() => player.playing);")
    press(page, Keys.SPACE)
    assert not page.run("return player.playing;")
    press(page, "2", shift=True)
    assert page.run("return session.mix.sources.map((s) => s.solo);") == [False, True, False]
    # A gain keeps its arrows, a button its space, and all keys can be switched off.
    here = seconds()
    page.run("document.querySelectorAll('.gain')[1].focus();")
    press(page, Keys.ARROW_LEFT)
    assert (seconds(), page.run("return session.mix.sources[1].db;")) == (here, -0.5)
    page.run("document.querySelectorAll('.mute')[1].focus();")
    press(page, Keys.SPACE)
    assert page.run("return [session.mix.sources[1].muted, player.playing];") == [True, False]
    page.run("document.getElementById('keys').click(); document.body.focus(); document.activeElement.blur();")
    press(page, Keys.END, "x", "k")
    assert seconds() == here


def test_pictures_show_what_is_in_view(page):
    def tiles():
        return page.run(
            "await until(() => [...document.querySelectorAll('.track:not([hidden]) img')]"
            ".every((i) => i.complete && i.naturalWidth));"
            "return [...document.querySelectorAll('.track:not([hidden]) .tiles')].map((box) =>"
            "[...box.children].map((i) => [i.dataset.tile, parseFloat(i.style.left), parseFloat(i.style.width)]));"
        )

    whole = tiles()
    assert len(whole) == 5
    assert all(line == whole[0] for line in whole)
    ((tile, left, width),) = whole[0]
    columns = -(-24 * 44100 // 1102)
    assert (tile, left) == ("0-0", 0)
    assert width == pytest.approx(100 * columns * 1102 / (24 * 44100), abs=0.001)
    page.run("session.seek(12 * 44100);")
    click(page, "#zoom-in")
    ((_, left, width_now),) = tiles()[0]
    assert (left, width_now) == (pytest.approx(-50), pytest.approx(2 * width, abs=0.002))
    assert page.run("return session.track.element.style.getPropertyValue('--cursor');") == "50%"
    page.run("session.seek(23 * 44100);")  # out of view: it turns the page
    assert page.run("return session.view.start;") == 12 * 44100
    marks = page.run("return [...document.querySelectorAll('#ruler span')].map((t) => t.textContent);")
    assert marks[0] == "0:12"
    for _ in range(9):
        press(page, "-")
    assert page.run("return [session.view.start, session.view.span];") == [0, 24 * 44100]


def saved(page, name):
    """A downloaded WAV file, (C, T) integers of 24 bits, and its rate."""
    path = page.browser.downloads / name
    page.run("await until(() => !session.saving);")
    for _ in range(200):
        if path.exists():
            break
        time.sleep(0.05)
    wave_CT, rate = audio.read(path)  # float32 holds 24 bits exactly
    assert [p.name for p in page.browser.downloads.iterdir()] == [name]
    path.unlink()
    return np.round(wave_CT.astype(np.float64) / STEP), rate


def status(page):
    return page.run("return document.getElementById('status').textContent;")


def test_the_saved_remix_is_the_sum(page):
    set_gain(page, 1, -7.5)
    set_gain(page, 2, 1.5)
    click(page, "#save")
    found_CT, rate = saved(page, "duet remix.wav")
    wanted = expected(
        page.first, {("piano", "reference"): -7.5, ("violin", "reference"): 1.5}, 0, 24 * 44100
    )
    assert rate == 44100
    assert found_CT.shape == wanted.shape
    assert np.abs(wanted).max() < 1
    assert np.abs(found_CT - wanted / STEP).max() <= 0.501  # nearest
    assert status(page) == "Remix saved."


def test_a_remix_that_would_clip_is_lowered_and_says_so(page):
    press(page, "3")
    click(page, "#save")
    found_CT, _ = saved(page, "duet remix.wav")
    wanted = expected(page.first, {("piano", "rough"): 0, ("violin", "rough"): 0}, 0, 24 * 44100)
    peak = np.abs(wanted).max()
    assert peak > 1.2
    # Each line may be half a step of its own, of a scale of up to 4, from its file.
    assert np.abs(found_CT - wanted / peak * (1 - STEP) / STEP).max() <= 0.5 + 2 * 2
    assert np.abs(found_CT).max() == 2**23 - 1
    lowered = 20 * np.log10(peak / (1 - STEP))
    assert status(page) == f"Remix saved, {lowered:.1f} dB lower so that it does not clip."


def test_nothing_is_saved_of_silence_or_when_given_up(page):
    click(page, ".mute", 1)
    click(page, ".mute", 2)
    click(page, "#save")
    assert status(page) == "Nothing to save: all is silent."
    click(page, ".mute", 1)
    page.run("session.save(); session.save(); await sleep(500);")
    assert status(page) == "Remix given up."
    assert list(page.browser.downloads.iterdir()) == []
    assert page.run("return document.getElementById('save').textContent;") == "Save remix"


def test_another_track_has_its_own_rate_and_channels(page):
    click(page, "#play")
    page.run("await until(() => player.position > 0);")
    page.run(
        "const select = document.getElementById('track');"
        "select.value = 1; select.dispatchEvent(new Event('change'));"
    )
    shown = page.run("return [...document.querySelectorAll('.track')].map((t) => !t.hidden);")
    assert shown == [False, True]
    assert page.run("return [session.track.title, session.track.sources[0]];") == [NASTY, NASTY]
    press(page, "k")
    page.run("await until(() => player.position > 0.2 * session.track.rate);")
    assert page.run("return player.context.sampleRate;") == 22050
    page.run("player.pause();")
    wave_CT = page.second[NASTY, "a"]
    found_CT = heard(page, 0, wave_CT.shape[1])
    # Three channels are heard in mono, on the first two of the three rendered here.
    np.testing.assert_allclose(found_CT[0], wave_CT.mean(0), atol=2 * STEP)
    click(page, "#save")
    saved_CT, rate = saved(page, "_'_script_throw 1_script_ 🎻_ remix.wav")
    assert rate == 22050
    assert np.abs(saved_CT - wave_CT / STEP).max() <= 1


def test_a_missing_file_is_named(chrome, written):
    index, *_ = written
    hidden = index.parent / "sound" / "0-1" / "4.js"
    chrome.open(index)
    hidden.rename(hidden.with_suffix(".away"))
    try:
        chrome.run("Sep.session.seek(22 * 44100); await until(() => document.querySelector('.status.error'));")
        text = chrome.run("return document.getElementById('status').textContent;")
        assert text == "Error: sound/0-1/4.js cannot be loaded; is the folder complete?"
        chrome.run("Sep.session.seek(0); Sep.session.player.play(); await until(() => Sep.session.player.position > 0);")
    finally:
        hidden.with_suffix(".away").rename(hidden)
    chrome.driver.get_log("browser")


@pytest.mark.parametrize("width", [320, 375, 1280])
def test_nothing_is_cut_off(page, width):
    page.browser.size(width, 800)
    assert page.run("return document.documentElement.scrollWidth;") <= width
    cut = page.run(
        "return [...document.querySelectorAll('main button, main input, main h3, .picture')].filter((e) => {"
        "const box = e.getBoundingClientRect(); return !e.closest('[hidden], .systems, details')"
        "&& (box.left < 0 || box.right > innerWidth + 0.5 || box.width < 20); }).map((e) => e.outerHTML);"
    )
    assert cut == []


def test_every_control_has_a_name(page):
    tree = page.browser.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    roles = ("button", "slider", "radio", "checkbox", "combobox", "group", "region")
    controls = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in tree
        if not node["ignored"] and node["role"]["value"] in roles
    ]
    assert [role for role, name in controls if not name] == ["group"]  # of the help
    for wanted in (
        ("button", "Play"), ("button", "Save remix"), ("slider", "Position"),
        ("slider", "Gain of piano"), ("button", "Solo violin"), ("button", "Mute mixture"),
        ("radio", "reference"), ("group", "Listen to"), ("region", "piano"),
    ):  # fmt: skip
        assert wanted in controls, controls
    assert len([c for c in controls if c[0] == "radio"]) == 3  # those of hidden tracks are hidden


@pytest.mark.slow
def test_an_hour_stays_responsive(chrome, duet, tmp_path):
    rounds = 150
    lines = []
    for source in ("mixture", "piano"):
        path = tmp_path / f"{source}.wav"
        length = rounds * duet[source].shape[1]
        with audio.writers([path], audio.Format(44100, 2), length, "PCM_16") as (file,):
            for _ in range(rounds):
                file.write(duet[source].T)
        lines.append(Line(source, "mixture" if source == "mixture" else "reference", path, {}))
    index = write_page(tmp_path / "page", "An hour", [Track("An hour", lines)])
    chrome.open(index)
    report = chrome.run(
        """
        const { player, track } = Sep.session, waits = [], gaps = [], held = [];
        let last = performance.now();
        const timer = setInterval(() => {
          gaps.push(performance.now() - last);
          last = performance.now();
          held.push(player.window.held.size);
        }, 10);
        await player.play();
        for (let i = 0; i < 30; i++) {
          const t = performance.now();
          Sep.session.seek(((i * 0.381966) % 1) * track.length);
          if (i % 3 === 0) await until(() => player.anchor !== null && player.position > player.from);
          else await sleep(30);
          if (i % 3 === 0) waits.push(performance.now() - t);
        }
        Sep.session.view.zoom(64, player.position);
        await sleep(1000);
        const images = document.querySelectorAll("img").length;
        clearInterval(timer);
        return { waits, gaps, held, images, scripts: document.querySelectorAll("head script").length };
        """
    )
    assert chrome.run("return Sep.session.track.length") == rounds * duet["mixture"].shape[1]
    assert max(report["held"]) <= 3  # segments
    assert report["images"] <= 2 * 5
    assert report["scripts"] <= 7 + 2  # the page's own, and a segment on its way
    assert np.median(report["waits"]) < 1000  # ms from a seek to its sound
    assert np.median(report["gaps"]) < 50
    assert max(report["gaps"]) < 1000
    heap = chrome.driver.execute_cdp_cmd("Runtime.getHeapUsage", {})["usedSize"]
    assert heap < 100e6
    assert chrome.driver.get_log("browser") == []
    print({k: (max(v), np.median(v)) if isinstance(v, list) else v for k, v in report.items()}, heap)
