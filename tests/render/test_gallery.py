"""The page of a run, tested in a real browser."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from posecli.render.draw import draw_poses
from posecli.render.gallery import write_page
from posecli.types import Pose, Record

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
    script = "return [...document.querySelectorAll('.card:not([hidden]) .name')].map(name => name.textContent)"
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
    """Wait for an effect that the browser applies after the event."""
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, PATIENCE).until(lambda _: condition())


def focused_card(browser: WebDriver) -> str | None:
    return browser.switch_to.active_element.get_attribute("data-index")


def test_cards_can_be_filtered_and_sorted(browser: WebDriver, records: list[Record], tmp_path: Path) -> None:
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


def test_scores_are_shown_on_hover_and_arrow_keys_move(
    browser: WebDriver, records: list[Record], tmp_path: Path
) -> None:
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
    wait_until(browser, lambda: focused_card(browser) == "1")  # the browser first focuses the first card
    ActionChains(browser).send_keys(Keys.ARROW_RIGHT).perform()
    assert focused_card(browser) == "2"
    ActionChains(browser).key_down(Keys.ALT).send_keys(Keys.ARROW_DOWN).key_up(Keys.ALT).perform()
    assert focused_card(browser) == "2"


def test_markup_in_names_is_shown_as_text(browser: WebDriver, records: list[Record], tmp_path: Path) -> None:
    for link in (False, True):
        page = tmp_path / f"{link}.html"
        write_page(records, str(page), image_root=str(tmp_path / "pics"), link=link)
        open_page(browser, page)
        browser.find_element("css selector", "#failures summary").click()
        assert HOSTILE in names(browser)
        assert BREAKING in browser.find_element("id", "failures").text
        assert browser.title == "posecli: 5 pictures"


@pytest.mark.parametrize("link", [False, True])
def test_embedded_and_linked_pictures_are_shown(
    browser: WebDriver, records: list[Record], tmp_path: Path, link: bool
) -> None:
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
    assert perf_counter() - start < 30  # only detects a hang; benchmarks measure the time
    drawn = browser.execute_script("return document.querySelectorAll('.card svg').length")
    assert 0 < drawn < 200


@pytest.fixture
def tracked(tmp_path: Path) -> list[Record]:
    """Two clips with separate tracks, and a still. The GIF exists, the video does not."""
    pages = [Image.new("RGB", (640, 480), (60 * number, 90, 90)) for number in range(3)]
    pages[0].save(tmp_path / "walk.gif", save_all=True, append_images=pages[1:], duration=500)
    return [
        frame_of("walk.gif", 0, [1, 2]),
        frame_of("walk.gif", 1, [2, 1, None]),
        frame_of("walk.gif", 2, [12]),
        frame_of("clips/run.mp4", 7200, [2], time=3725.5),
        make_record("still.jpg"),
    ]


def frame_of(clip: str, number: int, ids: Sequence[int | None], time: float | None = None) -> Record:
    record = make_record(clip, people=len(ids))
    score = iter((0.9, 0.6, 0.3))
    poses = tuple(pose._replace(id=track, score=next(score)) for pose, track in zip(record.poses, ids, strict=True))
    return replace(record, frame=number, time=number / 2 if time is None else time, poses=poses)


def texts(browser: WebDriver, selector: str) -> list[str]:
    script = "return [...document.querySelectorAll(arguments[0])].map(node => node.textContent)"
    found: list[str] = browser.execute_script(script, selector)
    return found


def options_of(browser: WebDriver) -> dict[str, str]:
    script = """
    const options = [...document.getElementById('track').options];
    return options.map(option => [[option.parentElement.label, option.text].filter(Boolean).join(': '), option.value]);
    """
    return dict(browser.execute_script(script))


@contextmanager
def screen(browser: WebDriver, width: int, scheme: str = "light") -> Iterator[None]:
    """Emulate a window width and a colour scheme, dark or light."""
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    scheme_wanted = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", scheme_wanted)
    try:
        yield
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


#: Pixels by which the first and the last character of a card's name extend beyond its box.
CUT = """
const name = arguments[0].querySelector('.name');
const text = document.createTreeWalker(name, NodeFilter.SHOW_TEXT).nextNode();
const box = name.getBoundingClientRect();
return [0, text.length - 1].map(place => {
  const range = document.createRange();
  range.setStart(text, place);
  range.setEnd(text, place + 1);
  const {left, right} = range.getBoundingClientRect();
  return Math.max(box.left - left, right - box.right, 0);
});
"""


@pytest.mark.parametrize("width", [360, 1200])
def test_long_names_are_cut_at_their_beginning(browser: WebDriver, tmp_path: Path, width: int) -> None:
    folders = "/".join(["a long name of a folder"] * 9)
    write_page(
        [make_record(f"{folders}/{name}") for name in ("IMG_0001.jpg", "x" * 80 + ".jpg")], str(tmp_path / "r.html")
    )
    with screen(browser, width):
        open_page(browser, tmp_path / "r.html")
        for card in browser.find_elements("css selector", ".card"):
            first, last = browser.execute_script(CUT, card)
            assert first > 0
            assert last <= 1
        assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")


def test_short_names_are_complete_and_left_aligned(browser: WebDriver, tmp_path: Path) -> None:
    write_page([make_record("a.jpg (1)")], str(tmp_path / "r.html"))
    open_page(browser, tmp_path / "r.html")
    script = "const r = e => e.getBoundingClientRect(); return r(arguments[0].firstChild).left - r(arguments[0]).left"
    name = browser.find_element("css selector", ".card .name")
    assert name.text == "a.jpg (1)"
    assert browser.execute_script(script, name) == pytest.approx(0, abs=1)


def test_frames_have_their_number_and_time(browser: WebDriver, tracked: list[Record], tmp_path: Path) -> None:
    file_of_its_own = replace(frame_of("frames", 3, [1]), file="frames/0003.jpg")
    page_without_time = replace(make_record("scan.tif"), frame=1)
    broken = replace(Record.failed("cut.mp4", "unreadable_image", "it breaks off"), frame=9, time=61.0)
    write_page([*tracked, file_of_its_own, page_without_time, broken], str(tmp_path / "r.html"))
    open_page(browser, tmp_path / "r.html")
    shown = ["frame 0, 0.00 s", "frame 1, 0.50 s", "frame 2, 1.00 s", "frame 7200, 1:02:05.50"]
    assert texts(browser, ".card .frame") == [*shown, "frame 3, 1.50 s", "frame 1", "frame 9, 1:01.00"]
    assert names(browser)[-3] == "frames/0003.jpg"
    assert browser.find_element("id", "summary").text.startswith("1 picture and 7 frames of 5 clips; ")
    choose(browser, "text", "frame 7200")
    assert names(browser) == ["clips/run.mp4"]
    browser.find_elements("css selector", ".card:not([hidden])")[0].click()
    assert browser.find_element("id", "caption").text == "clips/run.mp4 frame 7200, 1:02:05.50"


@pytest.mark.parametrize(
    ("seconds", "shown"), [(59.994, "59.99 s"), (59.996, "1:00.00"), (119.999, "2:00.00"), (3599.999, "1:00:00.00")]
)
def test_times_are_rounded_before_they_are_split(
    browser: WebDriver, tmp_path: Path, seconds: float, shown: str
) -> None:
    write_page([frame_of("a.mp4", 1, [1], time=seconds)], str(tmp_path / "r.html"))
    open_page(browser, tmp_path / "r.html")
    assert texts(browser, ".frame") == [f"frame 1, {shown}"]


def test_colours_equal_those_of_annotated_clips(browser: WebDriver, tracked: list[Record], tmp_path: Path) -> None:
    """Dots have the colours of annotated pictures: by track or, without a track, by index in the record."""
    sure = [replace(record, poses=tuple(map(spread, record.poses))) for record in tracked]
    write_page(sure, str(tmp_path / "r.html"), image_root=str(tmp_path))
    open_page(browser, tmp_path / "r.html")
    for number, record in enumerate(sure):
        browser.execute_script("document.querySelectorAll('.card')[arguments[0]].click()", number)
        dots = browser.execute_script(
            "const dots = [...document.querySelectorAll('#viewer circle')];"
            "return dots.map(dot => [dot.cx.baseVal.value, dot.getAttribute('fill')])"
        )
        assert len(dots) == 17 * len(record.poses)
        for person, pose in enumerate(record.poses):
            drawn = draw_poses(Image.new("RGB", (640, 480)), [pose if pose.id else pose._replace(id=person + 1)])
            for point, (x, colour) in zip(pose.keypoints, dots[17 * person :], strict=False):
                assert x == point.x
                assert colour == "#{:02x}{:02x}{:02x}".format(*drawn.getpixel((int(point.x), int(point.y))))  # type: ignore[misc]


def spread(pose: Pose) -> Pose:
    """The pose with scores of 1 and separate keypoints."""
    return pose._replace(
        keypoints=tuple(p._replace(x=40.0 + 30 * p.id, y=50.0 + 150 * (p.id % 3), score=1.0) for p in pose.keypoints)
    )


def test_people_are_filtered_by_track(browser: WebDriver, tracked: list[Record], tmp_path: Path) -> None:
    write_page(tracked, str(tmp_path / "r.html"), image_root=str(tmp_path))
    open_page(browser, tmp_path / "r.html")
    options = options_of(browser)
    walkers = [
        f"walk.gif: #{track} in {frames}" for track, frames in ((1, "2 frames"), (2, "2 frames"), (12, "1 frame"))
    ]
    assert list(options) == [
        "all people", *walkers, "clips/run.mp4: #2 in 1 frame", "without a track"
    ]  # fmt: skip
    choose(browser, "track", options["walk.gif: #2 in 2 frames"])
    assert texts(browser, ".card:not([hidden]) .frame") == ["frame 0, 0.00 s", "frame 1, 0.50 s"]
    assert texts(browser, ".card:not([hidden]) .people") == ["1 person: #2 0.60", "1 person: #2 0.90"]
    assert browser.find_element("id", "histogram").accessible_name.startswith("Scores of 2 people")
    wait_until(browser, lambda: drawn_dots(browser) == [17, 17])
    choose(browser, "sort", "best")
    assert texts(browser, ".card:not([hidden]) .frame") == ["frame 1, 0.50 s", "frame 0, 0.00 s"]
    choose(browser, "track", options["without a track"])
    assert names(browser) == ["still.jpg", "walk.gif"]
    choose(browser, "track", "")
    assert len(names(browser)) == 5
    wait_until(browser, lambda: sum(drawn_dots(browser)) == 17 * 8)


def drawn_dots(browser: WebDriver) -> list[int]:
    script = (
        "return [...document.querySelectorAll('.card:not([hidden])')].map(c => c.querySelectorAll('circle').length)"
    )
    counts: list[int] = browser.execute_script(script)
    return counts


def test_the_filter_for_tracks_is_hidden_without_tracks(
    browser: WebDriver, records: list[Record], tmp_path: Path
) -> None:
    write_page(records, str(tmp_path / "r.html"))
    open_page(browser, tmp_path / "r.html")
    assert not browser.find_element("id", "track").is_displayed()


@pytest.mark.parametrize(
    ("people", "ticks"), [(1, "0 1"), (3, "0 1 2 3"), (7, "0 5 10"), (41, "0 20 40 60"), (300, "0 100 200 300")]
)
def test_the_histogram_has_axes(browser: WebDriver, tmp_path: Path, people: int, ticks: str) -> None:
    write_page([person(make_record(), 0.8, people), person(make_record("b.jpg"), 0.15)], str(tmp_path / "r.html"))
    open_page(browser, tmp_path / "r.html")
    assert texts(browser, "#histogram text") == [
        *ticks.split(),
        "0",
        "0.2",
        "0.4",
        "0.6",
        "0.8",
        "1",
        "score",
        "people",
    ]
    assert browser.find_element("id", "histogram").accessible_name == (
        f"Scores of {people + 1} people. 0.15 to 0.20: 1, 0.80 to 0.85: {people}"
    )
    script = """
    const tick = [...document.querySelectorAll('#histogram text')].find(text => text.textContent === '0.8');
    const [tickBox, bar] = [tick, document.querySelectorAll('rect')[1]].map(e => e.getBoundingClientRect());
    return (tickBox.left + tickBox.right) / 2 - bar.left;
    """
    assert browser.execute_script(script) == pytest.approx(0, abs=2)


def test_failures_are_listed_in_a_table(browser: WebDriver, tmp_path: Path) -> None:
    torn = replace(Record.failed("cut.mp4", "unreadable_image", "cut.mp4: it breaks off"), frame=9, time=0.36)
    gone = [Record.failed(f"{name}.jpg", "not_found", f"{name}.jpg: no such file") for name in "ab"]
    for link in (False, True):
        write_page([make_record(), torn, *gone], str(tmp_path / "r.html"), link=link)
        open_page(browser, tmp_path / "r.html")
        summary = browser.find_element("css selector", "#failures summary")
        assert summary.text == "3 failed: 1 unreadable_image, 2 not_found"
        summary.click()
        rows = browser.find_elements("css selector", "#failures tr")
        assert [[cell.text for cell in row.find_elements("css selector", "th, td")] for row in rows] == [
            ["code", "name", "message"],
            ["unreadable_image", "cut.mp4 frame 9, 0.36 s", "cut.mp4: it breaks off"],
            ["not_found", "a.jpg", "a.jpg: no such file"],
            ["not_found", "b.jpg", "b.jpg: no such file"],
        ]
        assert not browser.find_elements("css selector", "a, img")


def test_existing_pictures_that_a_browser_shows_are_linked(
    browser: WebDriver, tracked: list[Record], tmp_path: Path
) -> None:
    """Frames of clips and other kinds of pictures are embedded. Missing files are not linked."""
    Image.new("RGB", (640, 480)).save(tmp_path / "still.jpg")
    Image.new("RGB", (640, 480)).save(tmp_path / "scan.TIF", "TIFF")
    shown = [*tracked, make_record("scan.TIF"), make_record("gone.jpg")]
    write_page(shown, str(tmp_path / "r.html"), image_root=str(tmp_path), link=True)
    open_page(browser, tmp_path / "r.html")
    script = """return [...document.querySelectorAll('.card')].map(card => {
      const picture = card.querySelector('img');
      if (!picture) return card.querySelector('.note')?.textContent;
      return `${picture.complete && picture.naturalWidth} ${picture.getAttribute('src').slice(0, 9)}`;
    })"""
    missing, embedded = "the picture could not be read", "480 data:imag"
    expected = [embedded, embedded, embedded, missing, "640 still.jpg", embedded, missing]
    wait_until(browser, lambda: browser.execute_script(script) == expected)


def test_pictures_on_the_web_are_linked_and_not_requested(tmp_path: Path) -> None:
    address = "https://example.invalid/picture?id=3"
    write_page([make_record(address)], str(tmp_path / "r.html"), link=True)
    page = (tmp_path / "r.html").read_text()
    assert f'"link":"{address}"' in page
    assert 'id="picture-' not in page


def test_a_note_replaces_a_linked_picture_that_was_deleted(
    browser: WebDriver, records: list[Record], tmp_path: Path
) -> None:
    write_page(records[:1], str(tmp_path / "r.html"), image_root=str(tmp_path / "pics"), link=True)
    (tmp_path / "pics" / "b10.jpg").unlink()
    open_page(browser, tmp_path / "r.html")
    wait_until(browser, lambda: texts(browser, ".card .note") == ["the picture cannot be shown"])


def test_a_page_without_records_says_so(browser: WebDriver, tmp_path: Path) -> None:
    write_page([], str(tmp_path / "r.html"))
    open_page(browser, tmp_path / "r.html")
    assert browser.title == "posecli: no pictures"
    assert browser.find_element("id", "summary").text == "0 pictures; 0 people in 0 of them; 0 failed"
    assert browser.find_element("id", "nothing").text == "There are no records."
    assert not browser.find_element("id", "histogram").is_displayed()


def test_controls_have_names_and_scores_can_be_read_without_a_pointer(
    browser: WebDriver, tracked: list[Record], tmp_path: Path
) -> None:
    write_page(tracked, str(tmp_path / "r.html"))
    open_page(browser, tmp_path / "r.html")
    assert "" not in names_of_controls(browser, "header, form")
    first = names_of_controls(browser, "main")[0]
    assert first.endswith("walk.gif frame 0, 0.00 s 2 people: #1 0.90 #2 0.60")
    browser.find_elements("css selector", ".card")[1].click()
    shown = ["previous picture", "next picture", "close"]
    assert names_of_controls(browser, "dialog") == shown
    assert browser.switch_to.active_element.accessible_name == "next picture"
    browser.find_element("css selector", "#keypoints summary").click()
    rows = browser.find_elements("css selector", "#keypoints tr")
    assert [cell.text for cell in rows[0].find_elements("css selector", "th")] == ["keypoint", "#2", "#1", "person 3"]
    assert rows[1].text == "nose 0.50 0.50 0.50"


def names_of_controls(browser: WebDriver, places: str) -> list[str]:
    controls = browser.find_elements("css selector", f":is({places}) :is(button, input, select, svg[role])")
    return [control.accessible_name.strip() for control in controls if control.is_displayed()]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_text_can_be_read_at_any_width(
    browser: WebDriver, records: list[Record], tracked: list[Record], tmp_path: Path, scheme: str, width: int
) -> None:
    """WCAG AA: all texts have a contrast of at least 4.5 to 1 with their background."""
    write_page([*records, *tracked], str(tmp_path / "r.html"))
    with screen(browser, width, scheme):
        open_page(browser, tmp_path / "r.html")
        browser.find_element("css selector", "#failures summary").click()
        assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        selectors = "#summary, #shown, label, button, select, #failures summary, td, th, .name, .frame, .people, text"
        for fore, back in {tuple(pair) for pair in browser.execute_script(COLOURS, selectors)}:
            assert contrast(fore, back) >= 4.5, (fore, back)


#: Colours of texts and of the nearest painted element behind each.
COLOURS = """
return [...document.querySelectorAll(arguments[0])].map(node => {
  let behind = node;
  while (getComputedStyle(behind).backgroundColor === 'rgba(0, 0, 0, 0)') behind = behind.parentElement;
  const style = getComputedStyle(node);
  return [node instanceof SVGElement ? style.fill : style.color, getComputedStyle(behind).backgroundColor];
});
"""


def contrast(fore: str, back: str) -> float:
    """The contrast of two CSS colours by the formula of WCAG 2."""
    lighter, darker = sorted(map(luminance, (fore, back)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    shares = [int(value) / 255 for value in re.findall(r"\d+", colour)[:3]]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return sum(weight * share for weight, share in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_report_writes_the_page(records: list[Record], tmp_path: Path, posecli: Posecli) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text("".join(json.dumps(record.to_dict()) + "\n" for record in records))
    result = posecli("report", path, "-o", tmp_path / "r.html", "--image-root", tmp_path / "pics")
    assert result.returncode == 0, result.stderr
    page = (tmp_path / "r.html").read_text()
    assert page.count('<script type="text/plain"') == 4
    assert BREAKING not in page
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert posecli("report", path, "-o", tmp_path / "r.html").returncode == 2
