"""The data types: checks on construction, and the conversion of records to JSON and back."""

from __future__ import annotations

import json

import jsonschema
import numpy as np
import pytest

from posecli.errors import UsageError
from posecli.records.schema import record_schema
from posecli.skeleton import KEYPOINT_NAMES
from posecli.types import Keypoint, Maps, ModelInfo, Pose, Record, Settings


def make_record(image: str = "a.jpg", people: int = 1) -> Record:
    points = [Keypoint(i, name, 10.0 + i, 20.0 - 3 * i, 0.5) for i, name in enumerate(KEYPOINT_NAMES)]
    return Record(
        image=image,
        status="ok",
        width=640,
        height=480,
        model=ModelInfo("m", "0" * 64, (257, 257), 32),
        settings=Settings().to_dict(),
        poses=tuple(Pose.from_keypoints(0.75, points) for _ in range(people)),
    )


@pytest.mark.parametrize(
    "record", [make_record(), make_record(people=0), Record.failed("b\udcff.jpg", "not_found", "b: no such file")]
)
def test_a_record_is_kept_by_json_and_fits_the_schema(record: Record) -> None:
    data = json.loads(json.dumps(record.to_dict()))
    jsonschema.validate(data, record_schema())
    assert Record.from_dict(data) == record


@pytest.mark.parametrize(
    "change",
    [
        {"status": "maybe"},
        {"extra": 1},
        {"poses": [{}]},
        {"error": {"code": "not_found", "message": "x"}},
        {"width": 0},
    ],
)
def test_the_schema_refuses_invalid_records(change: dict) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**json.loads(json.dumps(make_record().to_dict())), **change}, record_schema())


def test_box_surrounds_the_keypoints() -> None:
    assert make_record().poses[0].box == (10.0, -28.0, 16.0, 48.0)


def test_maps_of_wrong_shape_are_refused() -> None:
    good = [np.zeros((3, 3, channels), np.float32) for channels in (17, 34, 32, 32)]
    with pytest.raises(ValueError, match=r"offsets has shape \(3, 3, 32\), expected \(3, 3, 34\)"):
        Maps(good[0], good[2], good[2], good[3], 32)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"input_size": (258,)}, "the nearest are 257 and 289"),
        ({"input_size": (1,)}, "the nearest are 33 and 65"),
        ({"input_size": (10**9,)}, "the nearest are 4065 and 4097"),
        ({"stride": 7}, "not one of 8, 16, 32"),
        ({"score_threshold": float("nan")}, "not between 0 and 1"),
        ({"max_poses": 0}, "max_poses is 0"),
        ({"fit": "crop"}, "not one of aspect, pad, stretch"),
    ],
)
def test_invalid_settings_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Settings(**settings)
