"""What posecli writes, read by the packages that people use it with. (`supervision`: see the README and its test.)"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ..conftest import SAMPLES, Posecli


@pytest.fixture
def records(tmp_path: Path, real_model: Path, posecli: Posecli) -> Path:
    path = tmp_path / "r.jsonl"
    posecli("estimate", SAMPLES, "-o", path, model=real_model)
    return path


def run(code: str, folder: Path) -> str:
    """In a process of its own: other people's packages warn as they like."""
    result = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_coco_results_in_pycocotools(records: Path, tmp_path: Path, posecli: Posecli) -> None:
    truth = SAMPLES / "person_keypoints.json"
    posecli("convert", records, "-f", "coco", "--coco-images", truth, "-o", tmp_path / "c.json")
    code = (
        "from pycocotools.coco import COCO; from pycocotools.cocoeval import COCOeval\n"
        f"truth = COCO({str(truth)!r}); e = COCOeval(truth, truth.loadRes('c.json'), 'keypoints')\n"
        "e.evaluate(); e.accumulate(); e.summarize(); print('AP50', e.stats[1])"
    )
    assert float(run(code, tmp_path).split("AP50")[-1]) > 0.9


def test_csv_in_pandas(records: Path, tmp_path: Path, posecli: Posecli) -> None:
    posecli("convert", records, "-o", tmp_path / "p.csv")
    code = (
        "import pandas; table = pandas.read_csv('p.csv')\n"
        "noses = table[table['part'] == 'nose']; print(len(noses), float(noses['x'].mean()) > 0)"
    )
    assert run(code, tmp_path).split() == ["6", "True"]


def test_openpose_in_pose_format(records: Path, tmp_path: Path, posecli: Posecli) -> None:
    posecli("convert", records, "-f", "openpose", "--openpose-body25", "-o", f"{tmp_path}/op/")
    found = sorted((tmp_path / "op").rglob("*_keypoints.json"))
    assert len(found) == 3
    (tmp_path / "frames").mkdir()
    for number, path in enumerate(found):
        people = json.loads(path.read_text())["people"]
        for person in people:  # this reader wants faces and hands too
            person["face_keypoints_2d"] = [0] * 210
            person["hand_left_keypoints_2d"] = person["hand_right_keypoints_2d"] = [0] * 63
        (tmp_path / "frames" / f"clip_{number:012d}_keypoints.json").write_text(json.dumps({"people": people}))
    code = (
        "from pose_format.utils.openpose import load_openpose_directory\n"
        "pose = load_openpose_directory('frames'); print(pose.body.data.shape[:2], float(pose.body.confidence.max()))"
    )
    assert run(code, tmp_path).startswith("(3, 3) 0.")
