"""A real browser for tests: headless Chromium, driven by Selenium over chromedriver."""

import base64
import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync "
    "--disable-dev-shm-usage --autoplay-policy=no-user-gesture-required"
)
# Each start of a source is noted down; and how samples travel to the tests.
_SPY = """
window.starts = [];
const start = AudioBufferSourceNode.prototype.start;
AudioBufferSourceNode.prototype.start = function (when, offset) {
  starts.push([when, offset, this.buffer.length, this.context instanceof AudioContext]);
  return start.call(this, when, offset);
};
window.packed = (samples) => {
  const bytes = new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(text);
};
window.sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
window.until = async (what, ms = 20000) => {
  for (const end = Date.now() + ms; !what(); await sleep(20))
    if (Date.now() > end) throw new Error(`never happened: ${what}`);
};
"""


class Browser:
    """A page in a browser, opened from the disk."""

    def __init__(self, driver, downloads: Path):
        self.driver = driver
        self.downloads = downloads

    def open(self, index: Path) -> None:
        """Opens a page, and forgets what was logged of the last."""
        self.driver.get(index.absolute().as_uri())
        self.driver.get_log("browser")

    def run(self, body: str, *arguments):
        """What an asynchronous function of JavaScript returns; `args` are its arguments."""
        script = (
            "const args = [...arguments], done = args.pop();"
            f"(async () => {{ {body} }})().then((value) => done([value]),"
            "(error) => done([null, `${error.name}: ${error.message} ${error.stack}`]));"
        )
        value, *error = self.driver.execute_async_script(script, *arguments)
        if error:
            raise AssertionError(error[0])
        return value

    def size(self, width: int, height: int) -> None:
        """Sets the size of the screen, in CSS pixels."""
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500},
        )

    def addresses(self) -> list[str]:
        """All that was asked for since the last call."""
        events = [json.loads(e["message"])["message"] for e in self.driver.get_log("performance")]
        sent = [e["params"] for e in events if e["method"] == "Network.requestWillBeSent"]
        return [parameters["request"]["url"] for parameters in sent]


def samples(packed: str) -> np.ndarray:
    """Float samples that a script returned by `packed`."""
    return np.frombuffer(base64.b64decode(packed), np.float32)


@contextlib.contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A browser whose profile and downloads lie in a folder; without one the tests skip."""
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
        driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": _SPY})
        driver.execute_cdp_cmd(
            "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(downloads)}
        )
        yield Browser(driver, downloads)
    finally:
        driver.quit()
