"""Named sets of settings, chosen from measurements of precision and time (`benchmarks/results.md`)."""

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
#: Settings that take several values, each for one pass.
SIZES = {"input_size", "zoom_size"}


def with_preset(name: str, explicit: dict[str, Any]) -> dict[str, Any]:
    """The settings of a preset, overridden by explicit settings that are not None. A single size becomes a tuple.

    Raises UsageError for an unknown preset, or for sizes that are not numbers.
    """
    if name not in PRESETS:
        raise UsageError(f"the preset is {name!r}, not one of {', '.join(PRESETS)}")
    given = {option: value for option, value in explicit.items() if value is not None}
    for option in SIZES & given.keys():
        sizes = given[option]
        if isinstance(sizes, str) or not isinstance(sizes, int | Iterable):
            raise UsageError(f"{option} is {sizes!r}, not a number of pixels or a sequence of numbers")
        given[option] = (sizes,) if isinstance(sizes, int) else tuple(sizes)
    return PRESETS[name] | given
