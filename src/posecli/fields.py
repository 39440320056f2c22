"""Checks of JSON values. Each function returns the value, or raises a ValueError that names the field."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from posecli.skeleton import KEYPOINT_COUNT, KEYPOINT_NAMES

Choice = TypeVar("Choice", str, int)

#: Largest absolute coordinate, in pixels. Sums and distances of such coordinates stay finite.
FARTHEST_PX = 1e9
#: Largest whole number that every JSON reader and a 64-bit column can hold.
LARGEST_WHOLE = 2**53
#: Longest time in seconds, about 30,000 years.
LONGEST_TIME = 1e12
#: Types of JSON numbers. Types are compared exactly, because bool is a subclass of int.
NUMBERS = (float, int)
_SHA256 = re.compile(r"[0-9a-f]{64}")


def mapping(value: object, name: str) -> Mapping[str, Any]:
    """Check a JSON object."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} is {format_value(value)}, not an object")
    return value


def member(data: Mapping[str, Any], key: str, name: str = "") -> Any:
    """A required member of an object. name: the object's name with a trailing point, for messages."""
    try:
        return data[key]
    except KeyError:
        raise ValueError(f"{name}{key} is missing") from None


def sequence(value: object, name: str, *, length: int | None = None) -> list[Any]:
    """Check an array. length: its required number of values, or None."""
    if type(value) is not list:
        raise ValueError(f"{name} is {format_value(value)}, not an array")
    if length is not None and len(value) != length:
        raise ValueError(f"{name} has {len(value)} values, not {length}")
    return value


def text(value: object, name: str) -> str:
    """Check a string."""
    if type(value) is not str:
        raise ValueError(f"{name} is {format_value(value)}, not a string")
    return value


def file_name(value: object, name: str) -> str:
    """Check a string that can name a file: undecodable bytes are \\udc80 to \\udcff, and NUL is refused."""
    found = text(value, name)
    if "\0" in found:
        raise ValueError(f"{name} contains a NUL character")
    if not found.isascii():
        try:
            found.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise ValueError(f"{name} contains half of a surrogate pair: {format_value(found)}") from None
    return found


def integer(value: object, name: str, least: int = 0) -> int:
    """Check a whole number from `least` to LARGEST_WHOLE."""
    if type(value) is not int or not least <= value <= LARGEST_WHOLE:
        raise ValueError(f"{name} is {format_value(value)}, not a whole number from {least}")
    return value


def number(value: Any, name: str, low: float = -FARTHEST_PX, high: float = FARTHEST_PX) -> float:
    """Check a number from `low` to `high`. NaN is refused."""
    if type(value) not in NUMBERS or not low <= value <= high:
        raise ValueError(f"{name} is {format_value(value)}, not a number from {low:g} to {high:g}")
    result: float = value
    return result


def choice(value: object, name: str, choices: tuple[Choice, ...]) -> Choice:
    """Check a value that must equal one of the choices and have its type."""
    for choice in choices:
        if type(value) is type(choice) and value == choice:
            return choice
    raise ValueError(f"{name} is {format_value(value)}, not one of {', '.join(map(str, choices))}")


def sha256(value: str, name: str) -> str:
    """Check a SHA-256: 64 hexadecimal digits."""
    if _SHA256.fullmatch(value) is None:
        raise ValueError(f"{name} is {format_value(value)}, not 64 hexadecimal digits")
    return value


def keypoints(data: object) -> Iterator[tuple[int, str, float, float, float]]:
    """Check an array of keypoints; yield id, part, x, y and score of the 17 keypoints, in id order."""
    far, numbers = FARTHEST_PX, NUMBERS
    points = sequence(data, "keypoints", length=KEYPOINT_COUNT)
    for index, (part, point) in enumerate(zip(KEYPOINT_NAMES, points, strict=True)):
        try:
            keypoint_id, name, x, y, score = point["id"], point["part"], point["x"], point["y"], point["score"]
        except (KeyError, TypeError):
            raise ValueError(f"keypoints[{index}] is not an object of id, part, x, y and score") from None
        if type(keypoint_id) is not int or keypoint_id != index or name != part:
            raise ValueError("a pose must have the 17 keypoints in the order of their ids")
        # One combined test for valid values: most of the time of reading a record is spent here.
        if not (
            type(x) in numbers and type(y) in numbers and type(score) in numbers
            and -far <= x <= far and -far <= y <= far and 0 <= score <= 1
        ):  # fmt: skip
            number(x, f"keypoints[{index}].x")
            number(y, f"keypoints[{index}].y")
            number(score, f"keypoints[{index}].score", 0, 1)
        yield index, part, x, y, score


def settings(value: object, name: str) -> dict[str, Any]:
    """Check an object whose values are strings, finite numbers, true, false, null, or arrays of those."""
    found = dict(mapping(value, name))
    for key, entry in found.items():
        for item in entry if type(entry) is list else (entry,):
            if type(item) in NUMBERS:
                number(item, f"{name}.{key}", -LARGEST_WHOLE, LARGEST_WHOLE)
            elif item is not None and type(item) not in (str, bool):
                raise ValueError(
                    f"{name}.{key} holds {format_value(item)}, not a string, a number, true, false or null"
                )
    return found


def format_value(value: object) -> str:
    """Format a value for a message, on one line and shortened."""
    if isinstance(value, (list, dict)):
        return "an array" if isinstance(value, list) else "an object"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > LARGEST_WHOLE:
        return "a number with too many digits"
    as_text = ascii(value)
    return as_text if len(as_text) <= 60 else f"{as_text[:60]}…"
