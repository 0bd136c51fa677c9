"""The listening page in a real browser, opened from disk: content and controls."""

import pytest

CONTROLS = {"button", "slider", "radio", "checkbox", "combobox", "radiogroup", "group"}
LENGTH = 17 * 22050  # samples: 8.5 s


def test_page_opens_from_disk(page):
    """The `page` fixture adds: no console messages, no requests outside the folder."""
    page.run(
        "const images = [...track.element.querySelectorAll('img')];"
        "await until(() => images.every((i) => i.complete && i.naturalWidth));"
        "await until(() => player.window.get(2));"
    )
    assert page.get("[track.title, document.title]") == ["duet", "A page to test"]
    assert page.get("track.sources") == ["mixture", "piano", "violin"]
    assert page.get("track.systems") == ["mixture", "reference", "rough"]
    shown = page.get("[...document.querySelectorAll('.track')].map((t) => !t.hidden)")
    assert shown == [True, False]
    assert page.get("document.getElementById('duration').textContent") == "0:08"
    assert page.gains() == [0, 1, 0, 1, 0]
    assert page.status() == ""


@pytest.mark.slow
def test_solo_and_mute_switch_to_a_system_that_has_the_source(page):
    page.press("1")
    assert page.gains() == [1, 0, 0, 0, 0]
    page.click(".mute", 2)  # the mixture lacks a violin; the previous system has one
    assert page.gains() == [0, 1, 0, 0, 0]
    page.click(".mute", 0)  # the mixture is silent in any case
    assert page.gains() == [0, 1, 0, 0, 0]
    page.click(".solo", 0)  # a switch to the muted mixture would be silent
    assert page.gains() == [0, 1, 0, 0, 0]
    page.click(".mute", 0)
    assert page.gains() == [1, 0, 0, 0, 0]
    page.click(".name", 2)  # the name of a line chooses its system
    assert page.gains() == [0, 0, 1, 0, 0]
    page.click(".system input", 1)
    assert page.gains() == [0, 1, 0, 0, 0]
    chosen = page.get("track.lines.map((l) => l.element.classList.contains('chosen'))")
    assert chosen == [False, True, False, True, False]


@pytest.mark.slow
def test_clicks_and_keys_seek(page):
    from selenium.webdriver.common.keys import Keys

    page.click(".picture", 1)  # its middle
    assert page.seconds() == pytest.approx(4.25, abs=0.1)
    page.press(Keys.ARROW_LEFT, shift=True)
    assert page.seconds() == pytest.approx(3.25, abs=0.1)
    page.press(Keys.ARROW_RIGHT)
    assert page.seconds() == pytest.approx(8.25, abs=0.1)
    page.press(Keys.END)
    assert page.seconds() == 8.5
    page.press(Keys.HOME)
    assert page.seconds() == 0
    page.press(Keys.ARROW_LEFT)
    assert page.seconds() == 0
    page.click("#position")  # its middle
    page.press(Keys.ARROW_RIGHT, shift=True)  # moves as anywhere else on the page
    assert page.seconds() == pytest.approx(5.25, abs=0.2)
    text = page.get("document.getElementById('position').getAttribute('aria-valuetext')")
    assert text == f"0:{int(page.seconds()):02} of 0:08"


@pytest.mark.slow
def test_keys_play_and_solo_unless_the_focused_control_uses_them(page):
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


@pytest.mark.slow
def test_tiles_cover_the_view(page):
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

    whole = tiles()
    assert len(whole) == 5
    assert all(line == whole[0] for line in whole)
    ((level, left, width),) = whole[0]
    columns = -(-LENGTH // 1102)
    assert (level, left) == (0, 0)
    assert width == pytest.approx(100 * columns * 1102 / LENGTH, abs=0.001)
    page.run("session.seek(4.25 * 44100);")
    page.click("#zoom-in")
    ((_, left, wider),) = tiles()[0]
    assert left == pytest.approx(-50)
    assert wider == pytest.approx(2 * width, abs=0.002)
    assert page.get("track.element.style.getPropertyValue('--cursor')") == "50%"
    page.run("session.seek(8 * 44100);")  # out of view: the view follows
    assert page.get("session.view.start") == LENGTH / 2
    assert page.get("document.querySelector('#ruler span').textContent") == "0:04.5"
    page.press(*"---------")
    assert page.get("[session.view.start, session.view.span]") == [0, LENGTH]


@pytest.mark.slow
@pytest.mark.parametrize("width", [320, 375, 1280])
def test_no_control_is_cut_off(page, width):
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


@pytest.mark.slow
def test_every_control_has_an_accessible_name(page):
    tree = page.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    controls = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in tree
        if not node["ignored"] and node["role"]["value"] in CONTROLS
    ]
    assert [role for role, name in controls if not name] == ["group"]  # the keyboard help
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
    assert radios == ["mixture", "reference", "rough"]  # none of the hidden track
