"""The JSON Schema of records (draft 2020-12), built from the constants of the record types."""

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
    """The schema as a JSON object."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "posecli record",
        "description": "the result for one input of `posecli estimate`",
        "type": "object",
        "properties": {
            "schema": {"const": SCHEMA},
            "image": {"type": "string", "description": "the name of the input, as given; undecodable bytes as \\udcXX"},
            "status": {"enum": ["ok", "error"]},
            "frame": {
                "type": "integer",
                "minimum": 0,
                "description": "number from 0 in a clip or a file of several pictures",
            },
            "time": {"type": "number", "description": "seconds from the beginning of the clip"},
            "file": {"type": "string", "description": "the file of a frame in a folder of frames; image is the folder"},
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
        "width": {"type": "integer", "minimum": 1, "description": "width of the upright picture in pixels"},
        "height": {"type": "integer", "minimum": 1},
        "model": _closed_object(
            name={"type": "string"},
            sha256={"type": "string", "pattern": "^[0-9a-f]{64}$"},
            input={
                **_array(2, {"type": "integer", "minimum": 1}),
                "description": "height and width of the model's input in pixels",
            },
            stride={"enum": list(RECORD_STRIDES)},
        ),
        "settings": _settings(),
        "poses": {
            "type": "array",
            "description": "people by falling score; empty if no person was found",
            "items": _closed_object(
                optional=("id",),
                id={
                    "type": "integer",
                    "minimum": 1,
                    "description": "track: the same person in all frames; only with tracking",
                },
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
        "description": "the selected person, by name or by index in falling score; null: all people",
    }
    region = {
        "type": ["string", "null"],
        "description": "x,y,width,height of the searched region, in pixels or per cent; null: the whole picture",
    }
    return {
        "type": "object",
        "description": "the settings of the run that affect the poses",
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
