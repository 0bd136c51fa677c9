"""The controls of the listening page, in a real browser, opened from the disk."""

import pytest

CONTROLS = {"button", "slider", "radio", "checkbox", "combobox", "radiogroup", "group"}


def test_a_control_brings_a_system_in_which_it_acts(page):
    page.press("1")
    assert page.gains() == [1, 0, 0, 0, 0]
    page.click(".mute", 2)  # the mixture has no violin to mute; the system before has
    assert page.gains() == [0, 1, 0, 0, 0]
    page.click(".mute", 0)  # the mixture is not heard anyway
    assert page.gains() == [0, 1, 0, 0, 0]
    page.click(".solo", 0)  # it is muted: nothing would be heard
    assert page.gains() == [0, 1, 0, 0, 0]
    page.click(".mute", 0)
    assert page.gains() == [1, 0, 0, 0, 0]
    page.click(".name", 2)  # the name of a line chooses its system
    assert page.gains() == [0, 0, 1, 0, 0]
    page.click(".system input", 1)
    assert page.gains() == [0, 1, 0, 0, 0]
    chosen = page.get("track.lines.map((l) => l.element.classList.contains('chosen'))")
    assert chosen == [False, True, False, True, False]


def test_clicks_and_keys_seek(page):
    from selenium.webdriver.common.keys import Keys

    page.click(".picture", 1)  # its middle
    assert page.seconds() == pytest.approx(12, abs=0.1)
    page.press(Keys.ARROW_RIGHT)
    assert page.seconds() == pytest.approx(17, abs=0.1)
    page.press(Keys.ARROW_LEFT, shift=True)
    assert page.seconds() == pytest.approx(16, abs=0.1)
    page.press(Keys.END)
    assert page.seconds() == 24
    page.press(Keys.HOME)
    assert page.seconds() == 0
    page.press(Keys.ARROW_LEFT)
    assert page.seconds() == 0
    page.click("#position")  # its middle; then its arrows are the page's
    page.press(Keys.ARROW_RIGHT)
    assert page.seconds() == pytest.approx(17, abs=0.3)
    text = page.get("document.getElementById('position').getAttribute('aria-valuetext')")
    assert text == f"0:{int(page.seconds())} of 0:24"


def test_keys_play_and_choose_unless_a_control_needs_them(page):
    from selenium.webdriver.common.keys import Keys

    page.press("k")
    page.run("await until(() => player.playing);")
    page.press(Keys.SPACE)
    assert not page.get("player.playing")
    page.press("2", shift=True)
    assert page.get("session.mix.sources.map((s) => s.solo)") == [False, True, False]
    here = page.seconds()
    page.run("document.querySelectorAll('.gain')[1].focus();")
    page.press(Keys.ARROW_LEFT)
    assert page.seconds() == here
    assert page.get("session.mix.sources[1].db") == -0.5
    page.run("document.querySelectorAll('.mute')[1].focus();")
    page.press(Keys.SPACE)
    assert page.get("session.mix.sources[1].muted")
    assert not page.get("player.playing")
    page.run("document.getElementById('keys').click(); document.activeElement.blur();")
    page.press(Keys.END, "x", "k")  # switched off
    assert page.seconds() == here
    assert not page.get("player.playing")


def test_pictures_show_what_is_in_view(page):
    def tiles():
        page.run(
            "const images = [...track.element.querySelectorAll('img')];"
            "await until(() => images.every((i) => i.complete && i.naturalWidth));"
        )
        return page.run(
            "const about = ({ dataset, style }) =>"
            "  [dataset.tile, style.left, style.width].map(parseFloat);"
            "const boxes = [...track.element.querySelectorAll('.tiles')];"
            "return boxes.map((box) => [...box.children].map(about));"
        )

    length = 24 * 44100
    whole = tiles()
    assert len(whole) == 5
    assert all(line == whole[0] for line in whole)
    ((level, left, width),) = whole[0]
    columns = -(-length // 1102)
    assert (level, left) == (0, 0)
    assert width == pytest.approx(100 * columns * 1102 / length, abs=0.001)
    page.run("session.seek(12 * 44100);")
    page.click("#zoom-in")
    ((_, left, wider),) = tiles()[0]
    assert left == pytest.approx(-50)
    assert wider == pytest.approx(2 * width, abs=0.002)
    assert page.get("track.element.style.getPropertyValue('--cursor')") == "50%"
    page.run("session.seek(23 * 44100);")  # out of view: it turns the page
    assert page.get("session.view.start") == 12 * 44100
    assert page.get("document.querySelector('#ruler span').textContent") == "0:12"
    page.press(*"---------")
    assert page.get("[session.view.start, session.view.span]") == [0, length]


@pytest.mark.parametrize("width", [320, 375, 1280])
def test_nothing_is_cut_off(page, width):
    page.size(width, 800)
    assert page.get("document.documentElement.scrollWidth") <= width
    cut = page.run(
        """
        const all = document.querySelectorAll("main button, main input, main h3, .picture");
        const shown = [...all].filter((e) => !e.closest("[hidden], .systems, details"));
        return shown.filter((e) => {
          const box = e.getBoundingClientRect();
          return box.left < 0 || box.right > innerWidth + 0.5 || box.width < 20;
        }).map((e) => e.outerHTML);
        """
    )
    assert cut == []


def test_every_control_has_a_name(page):
    tree = page.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    controls = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in tree
        if not node["ignored"] and node["role"]["value"] in CONTROLS
    ]
    assert [role for role, name in controls if not name] == ["group"]  # of the help
    for wanted in (
        ("button", "Play"),
        ("button", "Save remix"),
        ("slider", "Position"),
        ("slider", "Gain of piano"),
        ("button", "Solo violin"),
        ("button", "Mute mixture"),
        ("radiogroup", "Listen to"),
    ):
        assert wanted in controls
    radios = [name for role, name in controls if role == "radio"]
    assert radios == ["mixture", "reference", "rough"]  # and none of the hidden track
