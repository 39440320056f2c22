"""The sample pictures: the real model finds all drawn people, including wrists and ankles."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from posecli import PoseEstimator

from .conftest import SAMPLES

TRUTH = json.loads((SAMPLES / "person_keypoints.json").read_text())
#: Largest distance of a keypoint, as a share of the person's height.
TOLERANCE = 0.125


@pytest.mark.parametrize("image", TRUTH["images"], ids=lambda image: image["file_name"])
def test_all_people_are_found(image: dict, real_model: Path) -> None:
    record = PoseEstimator(real_model).estimate(SAMPLES / image["file_name"])
    people = [np.reshape(a["keypoints"], (17, 3))[:, :2] for a in TRUTH["annotations"] if a["image_id"] == image["id"]]
    assert (record.width, record.height) == (image["width"], image["height"])
    assert len(record.poses) == len(people)
    for person in people:
        height = np.ptp(person[:, 1])
        distance = min(
            max(np.hypot(p.x - x, p.y - y) for p, (x, y) in zip(pose.keypoints, person, strict=True))
            for pose in record.poses
        )
        assert distance < TOLERANCE * height
    assert all(pose.score > 0.6 for pose in record.poses)
