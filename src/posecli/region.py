"""The region of a picture that is used (`--region`), in pixels or per cent of the picture."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import ceil, floor
from typing import NamedTuple

from posecli.errors import UsageError

_LENGTH = re.compile(r"(-?\d{1,9}(?:\.\d{1,9})?)(%?)", re.ASCII)
#: Digits to which pixels are rounded, to remove floating-point errors.
_DIGITS = 6

#: Left, top, right, bottom in whole pixels.
PixelBox = tuple[int, int, int, int]


class Length(NamedTuple):
    """A length in pixels, or in per cent of the picture's width or height."""

    value: float
    percent: bool = False

    def __str__(self) -> str:
        return f"{self.value:.10g}{'%' if self.percent else ''}"

    def pixels(self, whole: int) -> float:
        """The length in pixels. whole: the picture's width or height, pixels."""
        return self.value * whole / 100 if self.percent else self.value


class Region(NamedTuple):
    """A rectangle of the upright picture; the origin is the top left corner. It may extend beyond the picture."""

    x: Length
    y: Length
    width: Length
    height: Length

    @classmethod
    def parse(cls, text: str) -> Region:
        """Read `x,y,width,height`, each in pixels or with a % sign. Raises UsageError."""
        found = [_LENGTH.fullmatch(part.strip()) for part in text.split(",")]
        lengths = [Length(float(match[1]), bool(match[2])) for match in found if match is not None]
        if len(found) != 4 or len(lengths) != 4:
            raise UsageError(
                f"the region {text!r} is not X,Y,WIDTH,HEIGHT in pixels or per cent", "for example 10%,0,50%,100%"
            )
        return cls(*lengths).checked()

    @classmethod
    def of_pixels(cls, numbers: Sequence[float]) -> Region:
        """The region of x, y, width, height in pixels. Raises UsageError."""
        return cls.parse(",".join(f"{number:.9f}" for number in numbers))

    def checked(self) -> Region:
        """Return the region. Raises UsageError if it is empty, or outside of every picture."""
        for start, size in ((self.x, self.width), (self.y, self.height)):
            if size.value <= 0:
                raise UsageError(f"the region {self} is empty: width and height must be more than 0")
            ends_before = start.percent == size.percent and start.value + size.value <= 0
            if ends_before or (start.percent and start.value >= 100):
                raise UsageError(f"the region {self} lies outside of every picture")
        return self

    def __str__(self) -> str:
        return ",".join(map(str, self))

    def box_in(self, width: int, height: int) -> PixelBox | None:
        """The pixels of a picture that the region touches; None if the region lies outside the picture."""
        left, right = _span(self.x, self.width, width)
        top, bottom = _span(self.y, self.height, height)
        return (left, top, right, bottom) if left < right and top < bottom else None


def _span(start: Length, size: Length, whole: int) -> tuple[int, int]:
    """The first pixel and the one after the last. whole: the picture's width or height, pixels."""
    first = start.pixels(whole)
    last = first + size.pixels(whole)
    return max(floor(round(first, _DIGITS)), 0), min(ceil(round(last, _DIGITS)), whole)
