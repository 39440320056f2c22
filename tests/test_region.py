"""Regions of a picture: their text form, and their position in pixels."""

from __future__ import annotations

import pytest

from posecli.errors import UsageError
from posecli.region import Region


@pytest.mark.parametrize(
    ("text", "box"),
    [
        ("10,20,30,40", (10, 20, 40, 60)),
        ("10%,0,50%,100%", (64, 0, 384, 480)),
        ("320, 25%, 10%, 10.5", (320, 120, 384, 131)),
        ("-10,-20,30,40", (0, 0, 20, 20)),
        ("600,400,100,100", (600, 400, 640, 480)),
        ("0.3,0.3,0.3,0.3", (0, 0, 1, 1)),  # every pixel that it touches
        ("10%,10%,30%,30%", (64, 48, 256, 192)),
        ("0,0,1000%,1000%", (0, 0, 640, 480)),
        ("640,0,10,10", None),
        ("0,480.5,10,10", None),
    ],
)
def test_the_pixels_of_a_region(text: str, box: tuple[int, int, int, int] | None) -> None:
    assert Region.parse(text).box_in(640, 480) == box


def test_per_cent_are_rounded_without_floating_point_errors() -> None:
    for size in range(100, 2000, 100):
        for percent in range(1, 100):
            box = Region.parse(f"{percent}%,0,{100 - percent}%,100%").box_in(size, 7)
            assert box == (percent * size // 100, 0, size, 7)


@pytest.mark.parametrize("text", ["10,20,30,40", "10%,0,50%,100%", "-1.5,0,2.25%,1"])
def test_the_text_of_a_region_is_kept(text: str) -> None:
    region = Region.parse(text)
    assert str(region) == text
    assert Region.parse(text.replace(",", " , ")) == region


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not X,Y,WIDTH,HEIGHT"),
        ("1,2,3", "is not X,Y,WIDTH,HEIGHT"),
        ("1,2,3,4,5", "is not X,Y,WIDTH,HEIGHT"),
        ("a,b,c,d", "for example 10%,0,50%,100%"),
        ("1,2,nan,4", "is not X,Y,WIDTH,HEIGHT"),
        ("1,2,inf,4", "is not X,Y,WIDTH,HEIGHT"),
        ("1,2,1e3,4", "is not X,Y,WIDTH,HEIGHT"),
        ("1,2,%,4", "is not X,Y,WIDTH,HEIGHT"),
        ("0,0,0,10", "is empty"),
        ("0,0,10,-10", "is empty"),
        ("100%,0,10,10", "outside of every picture"),
        ("-10,0,10,10", "outside of every picture"),
        ("0,-60%,10,60%", "outside of every picture"),
    ],
)
def test_invalid_regions_are_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Region.parse(text)


def test_numbers_are_pixels() -> None:
    assert Region.of_pixels([1, 2.5, 30, 40]) == Region.parse("1,2.5,30,40")
    for numbers in ([], [1, 2, 3], [float("nan"), 0, 1, 1], [0, 0, float("inf"), 1]):
        with pytest.raises(UsageError):
            Region.of_pixels(numbers)
