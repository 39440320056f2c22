"""Named sets of settings, chosen from the measured front of precision against time (`benchmarks/results.md`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from posecli.errors import UsageError

PRESETS: dict[str, dict[str, Any]] = {
    "fast": {},
    "balanced": {"input_size": (257, 481), "zoom": True, "zoom_size": (225,)},
    "accurate": {
        "input_size": (353, 609),
        "stride": 16,
        "turns": "auto",
        "zoom": True,
        "zoom_size": (257, 385),
        "mirror": True,
    },
    "best": {
        "input_size": (385, 513, 769),
        "stride": 16,
        "turns": "auto",
        "zoom": True,
        "zoom_size": (257, 385, 449),
        "mirror": True,
    },
}
DEFAULT_PRESET = "fast"
#: Settings of which each value means a pass of its own.
SIZES = {"input_size", "zoom_size"}


def with_preset(name: str, explicit: dict[str, Any]) -> dict[str, Any]:
    """A preset's settings, of which those given explicitly (not None) win. One size stands for a sequence of one.

    Raises UsageError for an unknown preset, and for sizes that are none.
    """
    if name not in PRESETS:
        raise UsageError(f"the preset is {name!r}, not one of {', '.join(PRESETS)}")
    given = {option: value for option, value in explicit.items() if value is not None}
    for option in SIZES & given.keys():
        sizes = given[option]
        if isinstance(sizes, str) or not isinstance(sizes, int | Iterable):
            raise UsageError(f"{option} is {sizes!r}, not a number of pixels or several")
        given[option] = (sizes,) if isinstance(sizes, int) else tuple(sizes)
    return PRESETS[name] | given
