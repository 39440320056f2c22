"""The JSON Schema of the record (draft 2020-12), from the same constants as the record itself."""

from __future__ import annotations

import json
from typing import Any

from posecli.errors import ERROR_CODES
from posecli.fields import FARTHEST_PX
from posecli.skeleton import KEYPOINT_COUNT, KEYPOINT_NAMES
from posecli.types import PERSONS, RECORD_STRIDES, SCHEMA

_PIXELS = {
    "type": "number",
    "minimum": -FARTHEST_PX,
    "maximum": FARTHEST_PX,
    "description": "pixels of the upright picture; x right, y down; may lie outside it",
}
_SCORE = {"type": "number", "minimum": 0, "maximum": 1}


def record_schema() -> dict[str, Any]:
    """The schema as plain data."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "posecli record",
        "description": "What became of one input of `posecli estimate`.",
        "type": "object",
        "properties": {
            "schema": {"const": SCHEMA},
            "image": {"type": "string", "description": "the name that the user gave; undecodable bytes as \\udcXX"},
            "status": {"enum": ["ok", "error"]},
            "frame": {"type": "integer", "minimum": 0, "description": "of a clip or a file of several pictures"},
            "time": {"type": "number", "description": "seconds from the clip's beginning"},
            "file": {"type": "string", "description": "of a frame that is a file of its own; image is its folder"},
        },
        "required": ["schema", "image", "status"],
        "oneOf": [_ok_schema(), _error_schema()],
        "unevaluatedProperties": False,
    }


def schema_text() -> str:
    """The schema as indented JSON."""
    return json.dumps(record_schema(), indent=2) + "\n"


def _ok_schema() -> dict[str, Any]:
    properties = {
        "status": {"const": "ok"},
        "width": {"type": "integer", "minimum": 1, "description": "of the upright picture, pixels"},
        "height": {"type": "integer", "minimum": 1},
        "model": _closed_object(
            name={"type": "string"},
            sha256={"type": "string", "pattern": "^[0-9a-f]{64}$"},
            input={**_array(2, {"type": "integer", "minimum": 1}), "description": "height, width in pixels"},
            stride={"enum": list(RECORD_STRIDES)},
        ),
        "settings": _settings(),
        "poses": {
            "type": "array",
            "description": "people in falling score; nobody found is an empty list",
            "items": _closed_object(
                optional=("id",),
                id={"type": "integer", "minimum": 1, "description": "the same person in all frames, where tracked"},
                score=_SCORE,
                box={**_array(4, {"type": "number"}), "description": "x, y, width, height around the keypoints"},
                keypoints={
                    "type": "array",
                    "prefixItems": [_keypoint(index, name) for index, name in enumerate(KEYPOINT_NAMES)],
                    "minItems": KEYPOINT_COUNT,
                    "maxItems": KEYPOINT_COUNT,
                },
            ),
        },
    }
    return {"properties": properties, "required": ["width", "height", "model", "poses"]}


def _settings() -> dict[str, Any]:
    person = {
        "anyOf": [{"enum": [None, *PERSONS]}, {"type": "integer", "minimum": 0}],
        "description": "the person that was chosen, by name or by place in falling score; null: everybody",
    }
    region = {
        "type": ["string", "null"],
        "description": "x,y,width,height of what was looked at, in pixels or per cent; null: all of the picture",
    }
    return {
        "type": "object",
        "description": "the settings that shaped the poses",
        "properties": {"person": person, "region": region},
    }


def _error_schema() -> dict[str, Any]:
    error = _closed_object(code={"enum": list(ERROR_CODES)}, message={"type": "string", "minLength": 1})
    return {"properties": {"status": {"const": "error"}, "error": error}, "required": ["error"]}


def _keypoint(index: int, name: str) -> dict[str, Any]:
    return _closed_object(id={"const": index}, part={"const": name}, x=_PIXELS, y=_PIXELS, score=_SCORE)


def _closed_object(*, optional: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def _array(length: int, items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": length, "maxItems": length}
