"""A real browser for tests of the listening page: headless Chromium, driven by Selenium.

Shapes: C channel, T sample.
"""

import base64
import contextlib
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sep import audio

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync "
    "--disable-dev-shm-usage --autoplay-policy=no-user-gesture-required"
)
# Runs in every page: records each start of a source node, and defines helpers.
_HELPERS = """
window.starts = [];
const start = AudioBufferSourceNode.prototype.start;
AudioBufferSourceNode.prototype.start = function (when, offset) {
  starts.push([when, offset, this.buffer.length, this.context instanceof AudioContext]);
  return start.call(this, when, offset);
};
window.packed = (samples) => {
  const bytes = new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192)
    text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(text);
};
window.sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
window.until = async (what, ms = 20000) => {
  for (const end = Date.now() + ms; !what(); await sleep(20))
    if (Date.now() > end) throw new Error(`timed out: ${what}`);
};
// Renders the page's segments through its graph in an offline context.
window.render = async (track, gains, from, length) => {
  const context = new OfflineAudioContext(track.channels, length, track.rate);
  const graph = Sep.buildGraph(context, gains);
  const last = Math.floor((from + length - 1) / track.segment);
  const numbers = [];
  for (let n = Math.floor(from / track.segment); n <= last; n++) numbers.push(n);
  const loaded = new Sep.Window(track, () => {}, (error) => { throw error; });
  loaded.request(numbers);
  await until(() => numbers.every((n) => loaded.get(n)));
  for (const n of numbers) {
    const offset = Math.max(0, from - n * track.segment);
    Sep.startBuffers(graph, loaded.get(n), n * track.segment + offset - from, offset);
  }
  const buffer = await context.startRendering();
  return Array.from({ length: track.channels }, (_, c) => packed(buffer.getChannelData(c)));
};
"""


def samples(packed: str) -> np.ndarray:
    """Returns the float samples that a script encoded with `packed`."""
    return np.frombuffer(base64.b64decode(packed), np.float32)


class Browser:
    """A browser that opens listening pages from disk."""

    def __init__(self, driver: Any, downloads: Path) -> None:
        self.driver = driver
        self.downloads = downloads

    def open(self, index: Path) -> None:
        """Opens a page at 1280 x 900 pixels, and clears the logs."""
        self.size(1280, 900)
        self.addresses()
        self.log()
        self.driver.get(index.absolute().as_uri())

    def run(self, body: str, *args: Any) -> Any:
        """Runs the body of an asynchronous JavaScript function; returns its result.

        The body can use `args`, and `session`, `player` and `track` of the page.
        """
        script = (
            "const args = [...arguments], done = args.pop();"
            "const session = Sep.session, { player, track } = session;"
            f"(async () => {{ {body} }})().then((value) => done([value]),"
            "(error) => done([null, `${error.name}: ${error.message} ${error.stack}`]));"
        )
        value, *error = self.driver.execute_async_script(script, *args)
        if error:
            raise AssertionError(error[0])
        return value

    def get(self, expression: str) -> Any:
        """Returns the value of a JavaScript expression."""
        return self.run(f"return {expression};")

    def click(self, selector: str, index: int = 0) -> None:
        """Clicks one of the elements that match a CSS selector."""
        self.driver.find_elements("css selector", selector)[index].click()

    def press(self, *keys: str, shift: bool = False) -> None:
        """Types keys into the focused element."""
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.common.keys import Keys

        chain = ActionChains(self.driver)
        if shift:
            chain.key_down(Keys.SHIFT).send_keys(*keys).key_up(Keys.SHIFT).perform()
        else:
            chain.send_keys(*keys).perform()

    def set_gain(self, source: int, db: float) -> None:
        """Moves the gain slider of a source."""
        self.run(
            "const gain = track.element.querySelectorAll('.gain')[args[0]];"
            "gain.value = args[1]; gain.dispatchEvent(new Event('input'));",
            source,
            db,
        )

    def seconds(self) -> float:
        """Returns the position of the player."""
        return self.get("player.position / track.rate")

    def gains(self) -> list[float]:
        """Returns the mixer's linear gain of every line."""
        return self.get("Sep.gains(track, session.mix)")

    def status(self) -> str:
        """Returns the text of the status line."""
        return self.get("document.getElementById('status').textContent")

    def rendered(self, start: int, length: int) -> np.ndarray:
        """Returns the current mix as the page renders it, (C, T)."""
        packed = self.run(
            "return render(track, Sep.gains(track, session.mix), args[0], args[1]);",
            start,
            length,
        )
        return np.stack([samples(channel) for channel in packed])

    def saved(self, name: str) -> tuple[np.ndarray, int]:
        """Returns a downloaded WAV file as 24-bit integers (C, T), and its sample rate."""
        self.run("await until(() => !session.saving);")
        path = self.downloads / name
        deadline = time.monotonic() + 10
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert [p.name for p in self.downloads.iterdir()] == [name]
        whole = path.read_bytes()
        assert (
            int.from_bytes(whole[4:8], "little") == len(whole) - 8
        )  # size in the RIFF header
        wave_CT, rate = audio.read(path)  # float32 holds 24 bits exactly
        path.unlink()
        return np.round(wave_CT.astype(np.float64) * 2**23), rate

    def size(self, width: int, height: int) -> None:
        """Sets the size of the screen in CSS pixels; below 500 it emulates a phone."""
        mobile = width < 500
        metrics = {
            "width": width,
            "height": height,
            "mobile": mobile,
            "deviceScaleFactor": 1,
        }
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def log(self) -> list[str]:
        """Returns the console's messages since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def addresses(self) -> list[str]:
        """Returns the addresses requested since the last call."""
        log = self.driver.get_log("performance")
        events = [json.loads(entry["message"])["message"] for entry in log]
        sent = [e["params"] for e in events if e["method"] == "Network.requestWillBeSent"]
        return [parameters["request"]["url"] for parameters in sent]


@contextlib.contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """Starts a browser with its profile and downloads in a folder.

    The test is skipped if no browser is installed.
    """
    webdriver = pytest.importorskip("selenium.webdriver")
    from selenium.webdriver.chrome.service import Service

    binary = next(filter(None, map(shutil.which, _BROWSERS)), None)
    driver_path = shutil.which("chromedriver")
    if not binary or not driver_path:
        pytest.skip("no browser: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in [*_FLAGS.split(), f"--user-data-dir={folder / 'profile'}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    downloads = folder / "downloads"
    downloads.mkdir()
    driver = webdriver.Chrome(options=options, service=Service(driver_path))
    try:
        driver.set_script_timeout(60)
        driver.execute_cdp_cmd(
            "Page.addScriptToEvaluateOnNewDocument", {"source": _HELPERS}
        )
        driver.execute_cdp_cmd(
            "Browser.setDownloadBehavior",
            {"behavior": "allow", "downloadPath": str(downloads)},
        )
        yield Browser(driver, downloads)
    finally:
        driver.quit()
