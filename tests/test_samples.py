"""The sample pictures: the real model finds all drawn people, including wrists and ankles."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from posecli import PoseEstimator
from posecli.inference.presets import PRESETS
from posecli.records.journal import read_records
from posecli.types import Settings

from .conftest import ROOT, SAMPLES, Posecli

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


def test_the_expected_records_have_the_settings_of_the_smoke_check() -> None:
    settings = Settings(**PRESETS["balanced"]).to_dict()
    for record in read_records(str(SAMPLES / "expected.jsonl")):
        assert record.settings == settings, "make samples/expected.jsonl again, as scripts/smoke_check.sh says"


def test_the_smoke_check_accepts_what_its_instructions_make(real_model: Path, tmp_path: Path, posecli: Posecli) -> None:
    expected = tmp_path / "expected.jsonl"
    posecli("estimate", SAMPLES, "-o", expected, "--preset", "balanced", model=real_model)
    environment = {
        **os.environ,
        "POSECLI_MODEL": str(real_model),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }
    command = ["sh", str(ROOT / "scripts/smoke_check.sh"), str(SAMPLES), str(expected)]
    check = lambda: subprocess.run(command, env=environment, capture_output=True, timeout=120, check=False)  # noqa: E731
    assert check().returncode == 0
    expected.write_text("".join(expected.read_text().splitlines(keepends=True)[1:]))
    assert check().returncode == 3
