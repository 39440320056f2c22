"""The page to look through a run, in a real browser."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from posecli.render.gallery import write_page
from posecli.types import Record

from ..conftest import PATIENCE, Posecli
from ..test_types import make_record

if TYPE_CHECKING:
    from selenium.webdriver.chrome.webdriver import WebDriver

HOSTILE = "<img src=x onerror=document.title='broken'>.jpg"
BREAKING = "</script><script>document.title='broken'</script>.jpg"


@pytest.fixture(scope="module")
def browser() -> Iterator[WebDriver]:
    from selenium import webdriver

    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        message = "Chromium and its driver are not installed (Debian: chromium, chromium-driver)"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    options = webdriver.ChromeOptions()
    options.binary_location = program
    switches = "headless no-sandbox disable-gpu disable-background-networking disable-component-update disable-sync"
    for switch in [*switches.split(), "no-first-run", "window-size=1200,900"]:
        options.add_argument(f"--{switch}")
    window = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield window
    window.quit()


def person(record: Record, score: float, count: int = 1) -> Record:
    return replace(record, poses=tuple(record.poses[0]._replace(score=score) for _ in range(count)))


@pytest.fixture
def records(tmp_path: Path) -> list[Record]:
    (tmp_path / "pics").mkdir()
    names = ["b10.jpg", "b2.jpg", HOSTILE, "nobody.jpg"]
    for name in names:
        Image.new("RGB", (640, 480), (90, 120, 90)).save(tmp_path / "pics" / name, "JPEG")
    made = [make_record(name) for name in names]
    return [
        person(made[0], 0.9),
        person(made[1], 0.4, 3),
        made[2],
        replace(made[3], poses=()),
        Record.failed(BREAKING, "not_found", f"{BREAKING}: no such file"),
    ]


def open_page(browser: WebDriver, path: Path) -> None:
    browser.get(path.as_uri())
    assert browser.title.startswith("posecli: ")


def names(browser: WebDriver) -> list[str]:
    script = "return [...document.querySelectorAll('.card:not([hidden]) p:first-of-type')].map(p => p.textContent)"
    found: list[str] = browser.execute_script(script)
    return found


def choose(browser: WebDriver, field: str, value: str) -> None:
    browser.execute_script(
        "const f = document.getElementById(arguments[0]); f.value = arguments[1];"
        "f.dispatchEvent(new Event('input', {bubbles: true}))",
        field,
        value,
    )


def wait_until(browser: WebDriver, condition: Callable[[], bool]) -> None:
    """Wait for what the browser does after the event that asks for it."""
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, PATIENCE).until(lambda _: condition())


def focused_card(browser: WebDriver) -> str | None:
    return browser.switch_to.active_element.get_attribute("data-index")


def test_filter_and_sort(browser: WebDriver, records: list[Record], tmp_path: Path) -> None:
    write_page(records, str(tmp_path / "r.html"), image_root=str(tmp_path / "pics"))
    open_page(browser, tmp_path / "r.html")
    assert names(browser) == [record.image for record in records]
    choose(browser, "sort", "name")
    assert names(browser)[-3:-1] == ["b2.jpg", "b10.jpg"]
    choose(browser, "sort", "most")
    assert names(browser)[0] == "b2.jpg"
    choose(browser, "sort", "best")
    assert names(browser)[0] == "b10.jpg"
    choose(browser, "sort", "failed")
    assert names(browser)[0] == BREAKING
    choose(browser, "status", "failed")
    assert names(browser) == [BREAKING]
    choose(browser, "status", "nobody")
    assert names(browser) == ["nobody.jpg"]
    choose(browser, "status", "all")
    choose(browser, "least", "2")
    assert names(browser) == ["b2.jpg"]
    choose(browser, "least", "0")
    choose(browser, "text", "B1")
    assert names(browser) == ["b10.jpg"]
    assert browser.find_element("id", "shown").text == "1 of 5"


def test_hover_and_keyboard(browser: WebDriver, records: list[Record], tmp_path: Path) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    write_page(records, str(tmp_path / "r.html"), image_root=str(tmp_path / "pics"))
    open_page(browser, tmp_path / "r.html")
    browser.find_elements("css selector", ".card")[0].send_keys(Keys.ENTER)
    assert browser.find_element("id", "viewer").is_displayed()
    dot = browser.find_elements("css selector", "#viewer circle")[0]
    ActionChains(browser).move_to_element(dot).perform()
    tip = browser.find_element("id", "tip")
    wait_until(browser, tip.is_displayed)
    assert "0.50" in tip.text
    ActionChains(browser).send_keys(Keys.ARROW_RIGHT).perform()
    assert browser.find_element("id", "caption").text.startswith("b2.jpg")
    ActionChains(browser).send_keys(Keys.ESCAPE).perform()
    assert not browser.find_element("id", "viewer").is_displayed()
    wait_until(browser, lambda: focused_card(browser) == "1")  # after the browser's own choice, the first card
    ActionChains(browser).send_keys(Keys.ARROW_RIGHT).perform()
    assert focused_card(browser) == "2"


def test_hostile_names_do_nothing(browser: WebDriver, records: list[Record], tmp_path: Path) -> None:
    for link in (False, True):
        page = tmp_path / f"{link}.html"
        write_page(records, str(page), image_root=str(tmp_path / "pics"), link=link)
        open_page(browser, page)
        browser.find_element("css selector", "summary").click()
        assert HOSTILE in names(browser)
        assert BREAKING in browser.find_element("id", "failures").text
        assert browser.title == "posecli: 5 pictures"


@pytest.mark.parametrize("link", [False, True])
def test_pictures_are_shown(browser: WebDriver, records: list[Record], tmp_path: Path, link: bool) -> None:
    page = tmp_path / "r.html"
    write_page(records, str(page), image_root=str(tmp_path / "pics"), link=link)
    open_page(browser, page)
    loaded = "return [...document.querySelectorAll('.card img')].filter(i => i.complete && i.naturalWidth > 0).length"
    wait_until(browser, lambda: browser.execute_script(loaded) == 4)


def test_two_thousand_pictures_stay_quick(browser: WebDriver, tmp_path: Path) -> None:
    many = [person(make_record(f"{number}.jpg"), number / 2000) for number in range(2000)]
    write_page(many, str(tmp_path / "r.html"))
    start = perf_counter()
    open_page(browser, tmp_path / "r.html")
    assert len(names(browser)) == 2000
    choose(browser, "sort", "best")
    assert names(browser)[0] == "1999.jpg"
    assert perf_counter() - start < 30  # a hang would take longer; what it takes is in the benchmarks
    drawn = browser.execute_script("return document.querySelectorAll('.card svg').length")
    assert 0 < drawn < 200


def test_command(records: list[Record], tmp_path: Path, posecli: Posecli) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text("".join(json.dumps(record.to_dict()) + "\n" for record in records))
    result = posecli("report", path, "-o", tmp_path / "r.html", "--image-root", tmp_path / "pics")
    assert result.returncode == 0, result.stderr
    page = (tmp_path / "r.html").read_text()
    assert page.count('<script type="text/plain"') == 4
    assert BREAKING not in page
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert posecli("report", path, "-o", tmp_path / "r.html").returncode == 2
