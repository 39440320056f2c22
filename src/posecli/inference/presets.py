"""Named sets of settings, chosen from the measured front of precision against time (`benchmarks/results.md`)."""

from __future__ import annotations

from typing import Any

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
    """A preset's settings, of which those given explicitly (not None) win. One size stands for a sequence of one."""
    given = {option: value for option, value in explicit.items() if value is not None}
    for option in SIZES & given.keys():
        given[option] = (given[option],) if isinstance(given[option], int) else tuple(given[option])
    return PRESETS[name] | given
