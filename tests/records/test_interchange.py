"""Outputs are read by the packages that are used with them. (`supervision`: see the README and its test.)"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from math import isnan
from pathlib import Path

import pytest

from posecli.skeleton import KEYPOINT_NAMES
from posecli.types import Pose, Record

from ..conftest import SAMPLES, Posecli
from ..poses.test_angles import figure
from ..test_types import make_record


@pytest.fixture
def records(tmp_path: Path, real_model: Path, posecli: Posecli) -> Path:
    path = tmp_path / "r.jsonl"
    posecli("estimate", SAMPLES, "-o", path, model=real_model)
    return path


def run(code: str, folder: Path) -> str:
    """Run code in a process of its own, because other packages may emit warnings."""
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


def test_coco_annotations_in_pycocotools(records: Path, tmp_path: Path, posecli: Posecli) -> None:
    """With the annotations as truth, the results of the same run have AP 1, and each keypoint has its visibility."""
    posecli("convert", records, "-f", "coco-annotations", "-o", tmp_path / "t.json")
    truth = tmp_path / "t.json"
    posecli("convert", records, "-f", "coco", "--coco-images", truth, "-o", tmp_path / "c.json")
    code = (
        "from pycocotools.coco import COCO; from pycocotools.cocoeval import COCOeval\n"
        "truth = COCO('t.json'); e = COCOeval(truth, truth.loadRes('c.json'), 'keypoints')\n"
        "e.evaluate(); e.accumulate(); e.summarize()\n"
        "people = truth.loadAnns(truth.getAnnIds(catIds=truth.getCatIds(['person']), iscrowd=False))\n"
        "labelled = [sum(v > 0 for v in label['keypoints'][2::3]) == label['num_keypoints'] > 0 for label in people]\n"
        "print('AP', e.stats[0], len(truth.getImgIds()), labelled)"
    )
    assert run(code, tmp_path).split("AP ")[-1] == f"1.0 3 {[True] * 6}\n"


CORRECT_IN_DATUMARO = """
import datumaro, shutil
from pathlib import Path
for folder in ("annotations", "images/default"):
    Path("in", folder).mkdir(parents=True)
shutil.copy("labels.json", "in/annotations/person_keypoints_default.json")
for picture in Path(PICTURES).glob("*.jpg"):
    shutil.copy(picture, "in/images/default")
labels = datumaro.Dataset.import_from("in", "coco_person_keypoints")
people = {item.id: [one for one in item.annotations if one.type.name == "points"] for item in labels}
assert {name: len(found) for name, found in people.items()} == {"wave": 1, "three": 3, "exercise": 2}
hidden = datumaro.Points.Visibility.hidden
wave, (gone, *_) = people["wave"][0], people["three"]
points, visibility = [float(value) for value in wave.points], list(wave.visibility)
points[0] += 12
visibility[1] = hidden
corrected = []
for item in labels:
    annotations = [one for one in item.annotations if one.group != gone.group or item.id != "three"]
    if item.id == "wave":
        annotations = [one for one in annotations if one is not wave]
        annotations.append(wave.wrap(points=points, visibility=visibility))
    corrected.append(item.wrap(annotations=annotations))
corrected = datumaro.Dataset.from_iterable(corrected, categories=labels.categories(), media_type=datumaro.Image)
corrected.export("out", "coco_person_keypoints", save_media=False)
"""


def correct_in_datumaro(records: Path, folder: Path, posecli: Posecli) -> None:
    """Import, correct and export labels with datumaro, the package with which CVAT reads and writes COCO."""
    labels, corrected = folder / "labels.json", folder / "out/annotations/person_keypoints_default.json"
    posecli("convert", records, "-f", "coco-annotations", "-o", labels)
    run(CORRECT_IN_DATUMARO.replace("PICTURES", repr(str(SAMPLES))), folder)
    said = posecli("compare", labels, corrected)
    assert said.returncode == 3, said.stderr
    lines = said.stdout.decode().splitlines()
    assert "nose moved by 12.0 pixels" in "".join(line for line in lines if line.startswith("wave"))
    assert [line.split()[0] for line in lines[:-1]] == ["wave.jpg", "wave.jpg", "three.jpg"], lines
    assert "score of leftEye was 1.00, is 0.30" in lines[1]
    assert "is gone" in lines[2]
    found = json.loads(posecli("evaluate", corrected, records, "--json").stdout)
    assert (found["groups"]["all"]["people"], found["found"]) == (5, 5)
    assert found["groups"]["all"]["figures"]["AP50"] > 0.8


if sys.version_info[:2] == (3, 12) or find_spec("datumaro") is not None:  # pyproject.toml installs it only there

    def test_coco_annotations_in_datumaro(records: Path, tmp_path: Path, posecli: Posecli) -> None:
        correct_in_datumaro(records, tmp_path, posecli)


def test_csv_in_pandas(records: Path, tmp_path: Path, posecli: Posecli) -> None:
    posecli("convert", records, "-o", tmp_path / "p.csv")
    code = (
        "import pandas; table = pandas.read_csv('p.csv')\n"
        "noses = table[table['part'] == 'nose']; print(len(noses), float(noses['x'].mean()) > 0)"
    )
    assert run(code, tmp_path).split() == ["6", "True"]


def moving_people() -> list[Record]:
    """A clip of three people with tracks and one without, in another order in each frame, and a picture of three.

    Each person leans by another angle, track t by t degrees: this identifies their rows."""
    tracks = [4, 11, 7, None]
    people = [figure(track if track is not None else 25)._replace(id=track) for track in tracks]
    turns = [(*people[i % 4 :], *people[: i % 4]) for i in range(6)]
    clip = [replace(make_record("c.mp4"), frame=i, time=i / 25, poses=turn) for i, turn in enumerate(turns)]
    return [replace(make_record("a.jpg"), poses=tuple(figure(lean) for lean in (1, 2, 3))), *clip]


JOIN = """
import json, pandas
from math import atan2, degrees
KEY = ["image", "frame", "person"]

def lean(x, y):
    return round(degrees(atan2(x["leftShoulder"] - x["leftHip"], y["leftHip"] - y["leftShoulder"])), 1)

points = pandas.read_csv("p.csv")
assert points.groupby(KEY + ["part"], dropna=False).size().max() == 1
wide = points.pivot(index=KEY + ["track"], columns="part", values=["x", "y"]).reset_index()
wide["lean of keypoints"] = [lean(row["x"], row["y"]) for _, row in wide.iterrows()]
wide.columns = [first if not second else f"{first} {second}" for first, second in wide.columns]
angles = pandas.DataFrame(READ_ANGLES)
both = angles.merge(wide, on=KEY, how="outer", validate="one_to_one", indicator=True)
assert set(both["_merge"]) == {"both"} and len(both) == 3 + 6 * 4, both["_merge"].value_counts()
assert (both["trunk lean"] - both["lean of keypoints"]).abs().max() < 0.11
tracked = both[both["track_x"].notna()]
assert len(tracked) == 6 * 3 and (tracked["track_x"] == tracked["track_y"]).all()
assert (tracked["trunk lean"] - tracked["track_x"]).abs().max() < 0.11
assert both.loc[both["track_x"].isna(), "track_y"].isna().all()
"""


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("angles.csv", "pandas.read_csv('angles.csv')"),
        (
            "angles.json",
            "pandas.json_normalize(json.load(open('angles.json'))).rename(columns=lambda c: c.removeprefix('angles.'))",
        ),
    ],
)
def test_angles_and_keypoints_join_in_pandas(name: str, read: str, tmp_path: Path, posecli: Posecli) -> None:
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(record.to_dict()) + "\n" for record in moving_people()))
    posecli("convert", tmp_path / "r.jsonl", "-o", tmp_path / "p.csv")
    posecli("measure", tmp_path / "r.jsonl", "-o", tmp_path / name)
    run(JOIN.replace("READ_ANGLES", read), tmp_path)


def test_parquet_and_angles_join_in_pandas(tmp_path: Path, posecli: Posecli) -> None:
    pytest.importorskip("pyarrow", reason="needs the extra parquet")
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(record.to_dict()) + "\n" for record in moving_people()))
    posecli("convert", tmp_path / "r.jsonl", "-o", tmp_path / "p.parquet")
    posecli("measure", tmp_path / "r.jsonl", "-o", tmp_path / "angles.csv")
    code = (
        "import pandas; key = ['image', 'frame', 'person']\n"
        "table = pandas.read_parquet('p.parquet')[['image', 'frame', 'poses']].explode('poses', ignore_index=True)\n"
        "table = table.join(pandas.json_normalize(table['poses']))\n"
        "both = table.merge(pandas.read_csv('angles.csv'), on=key, validate='one_to_one')\n"
        "tracked = both[both['track_x'].notna()]\n"
        "print(len(both), len(tracked), (tracked['track_x'] == tracked['trunk lean'].round()).all())"
    )
    assert run(code, tmp_path).split() == ["27", "18", "True"]


def test_angles_in_pandas_are_numbers(tmp_path: Path, posecli: Posecli) -> None:
    """There is one line per frame and person. Frame and person are integers, the other numbers are floats."""
    clip = [record for record in moving_people() if record.frame is not None]
    tracked = [replace(record, poses=tuple(pose for pose in record.poses if pose.id is not None)) for record in clip]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(record.to_dict()) + "\n" for record in tracked))
    posecli("measure", tmp_path / "r.jsonl", "-o", tmp_path / "angles.csv")
    code = (
        "import pandas; table = pandas.read_csv('angles.csv')\n"
        "assert len(table) == 18 and not table.duplicated(['frame', 'person']).any()\n"
        "kinds = table.dtypes.map(lambda kind: kind.kind); print(*kinds[:6], *sorted(set(kinds[6:])), len(kinds))"
    )
    assert run(code, tmp_path).split() in (["O", "i", "f", "i", "i", "f", "f", "28"], ["U", *"ififf", "28"])


LOAD_DLC = """
import json, os
os.environ["HOME"] = os.getcwd()  # movement writes a log there
from movement.io import load_poses
data = load_poses.from_dlc_file("c.csv", fps=25)
time, space, part, individual = data["position"].dims
parts, people = (data[name].values.tolist() for name in (part, individual))
assert data["time"].values[-1] == 5 / 25
found = {
    name: [
        [[*place, score] for place, score in zip(places[:, :, n].T.tolist(), scores[:, n].tolist())]
        for places, scores in zip(data["position"].values, data["confidence"].values)
    ]
    for n, name in enumerate(people)
}
print(json.dumps([parts, found]))
"""


def loaded_by_movement(records: list[Record], folder: Path, posecli: Posecli) -> dict[str, list[list[list[float]]]]:
    """Individual → frames → keypoints: x, y and likelihood."""
    pytest.importorskip("movement", reason="needs movement")
    (folder / "r.jsonl").write_text("".join(json.dumps(record.to_dict()) + "\n" for record in records))
    assert posecli("convert", folder / "r.jsonl", "-f", "dlc", "-o", folder / "c.csv").returncode == 0
    parts, found = json.loads(run(LOAD_DLC, folder).splitlines()[-1])
    assert parts == list(KEYPOINT_NAMES)
    return dict(found)


def points_of(pose: Pose) -> list[list[float]]:
    return [[point.x, point.y, point.score] for point in pose.rounded().keypoints]


def test_dlc_of_several_people_in_movement(tmp_path: Path, posecli: Posecli) -> None:
    """Each track is one individual, independent of its index in the record. A skipped frame has no people."""
    clip = [record for record in moving_people() if record.frame not in (None, 3)]
    found = loaded_by_movement(clip, tmp_path, posecli)
    assert sorted(found) == ["track_11", "track_4", "track_7"]
    for record in clip:
        for pose in record.poses:
            if pose.id is not None:
                assert found[f"track_{pose.id}"][record.frame or 0] == points_of(pose)
    assert all(isnan(value) for frames in found.values() for point in frames[3] for value in point)


def test_dlc_of_one_person_in_movement(tmp_path: Path, posecli: Posecli) -> None:
    clip = [record for record in moving_people() if record.frame is not None]
    alone = [replace(record, poses=(record.poses[0]._replace(id=None),)) for record in clip]
    (frames,) = loaded_by_movement(alone, tmp_path, posecli).values()
    assert frames == [points_of(record.poses[0]) for record in alone]


def test_openpose_in_pose_format(records: Path, tmp_path: Path, posecli: Posecli) -> None:
    posecli("convert", records, "-f", "openpose", "--openpose-body25", "-o", f"{tmp_path}/op/")
    found = sorted((tmp_path / "op").rglob("*_keypoints.json"))
    assert len(found) == 3
    (tmp_path / "frames").mkdir()
    for number, path in enumerate(found):
        people = json.loads(path.read_text())["people"]
        for person in people:  # pose-format requires faces and hands too
            person["face_keypoints_2d"] = [0] * 210
            person["hand_left_keypoints_2d"] = person["hand_right_keypoints_2d"] = [0] * 63
        (tmp_path / "frames" / f"clip_{number:012d}_keypoints.json").write_text(json.dumps({"people": people}))
    code = (
        "from pose_format.utils.openpose import load_openpose_directory\n"
        "pose = load_openpose_directory('frames'); print(pose.body.data.shape[:2], float(pose.body.confidence.max()))"
    )
    assert run(code, tmp_path).startswith("(3, 3) 0.")
