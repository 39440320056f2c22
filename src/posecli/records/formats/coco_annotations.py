"""COCO keypoint annotations: labels, as annotation tools such as CVAT import and export them.

Written, the score of a keypoint becomes its visibility: 2 (visible) from `VISIBLE_SCORE`, 1 (hidden) from
`HIDDEN_SCORE`. Keypoints below it, or outside the picture, are not labelled: 0, 0, 0. People without a labelled
keypoint are left out, as are pictures that failed. `bbox` is the box around the labelled keypoints, `area` its area.
Names are relative to the folder that all pictures are in: CVAT finds a picture by the end of its path. A frame of a
video is a picture named `frame_000012.PNG`, as CVAT names it, in a folder named after the clip.

Read, each picture is a record and each labelled person a pose. Labels have no scores: a pose has 1, a keypoint that of
`_SCORES`. A keypoint that is not labelled lies in the middle of the others.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, Any

from posecli import fields
from posecli._version import __version__
from posecli.records.formats.base import ByteSink, Format, TextSink, WriteOptions, parse_json, to_json
from posecli.records.formats.coco import PERSON_CATEGORY, choose_ids, number_alone
from posecli.skeleton import DRAWN_EDGES, KEYPOINT_COUNT, KEYPOINT_NAMES
from posecli.types import Keypoint, ModelInfo, Pose, Record

#: The least scores of a visible and of a hidden keypoint. From the second on keypoints are drawn, too.
VISIBLE_SCORE, HIDDEN_SCORE = 0.5, 0.1
#: The score of a keypoint that is read, by its visibility. Comparisons look at the positions of all labelled ones.
_SCORES = (0.0, 0.5, 1.0)
#: What the records that are read name as their model.
_MODEL = "coco-annotations"
#: Positions of labels are pixels of the picture.
_LABEL_STRIDE = 1

#: Keypoint ids, or None for what is no keypoint of posecli, in the order of an annotation's keypoints.
Layout = tuple[int | None, ...]


def _simplified(name: str) -> str:
    """The same for `leftEye`, `left_eye` and `Left Eye`."""
    return re.sub(r"[\W_]+", "", name).lower()


#: Tools number the points of a skeleton from 1 where nobody has named them.
_PARTS = {_simplified(name): part for part, name in enumerate(KEYPOINT_NAMES)} | {
    str(part + 1): part for part in range(KEYPOINT_COUNT)
}


def write(records: Iterable[Record], file: ByteSink, options: WriteOptions) -> None:
    """Write one file of all pictures and people, one a line. `records` is gone through twice."""
    numbers = choose_ids(records, options).numbers
    common = _common_folder(map(_folder_of, numbers))
    _write(records, file, numbers, common)


def write_one(record: Record, file: ByteSink, options: WriteOptions) -> None:
    """Write the file of one image, which has only the last part of its name."""
    _write((record,), file, {record.key: number_alone(record, options)}, _folder_of(record.key))


def _write(records: Iterable[Record], file: ByteSink, numbers: Mapping[str, int], common: str) -> None:
    text = TextSink(file)
    info = {"description": "poses found by posecli", "version": __version__}
    text.write(f'{{"info": {to_json(info)},\n"licenses": [],\n"categories": [{to_json(_category())}],\n')
    images: list[dict[str, Any]] = []
    separator, count = '"annotations": [\n', 0
    for record in records:
        if not record.ok:
            continue
        number = numbers[record.key]
        name = picture_name(record)
        name = name.removeprefix(f"{common}/") if common else name
        images.append({"id": number, "file_name": name, "width": record.width, "height": record.height})
        for annotation in _annotations(record, number):
            count += 1
            text.write(separator + to_json({"id": count, **annotation}))
            separator = ",\n"
    text.write('"annotations": [],\n' if count == 0 else "\n],\n")
    lines = ",\n".join(map(to_json, images))
    text.write(f'"images": [\n{lines}\n]}}\n' if images else '"images": []}\n')


def _category() -> dict[str, Any]:
    return {
        "id": PERSON_CATEGORY,
        "name": "person",
        "supercategory": "person",
        "keypoints": [re.sub(r"([A-Z])", r"_\1", name).lower() for name in KEYPOINT_NAMES],
        "skeleton": [[a + 1, b + 1] for a, b in DRAWN_EDGES],
    }


def _annotations(record: Record, number: int) -> Iterator[dict[str, Any]]:
    """The labelled people of a record, without their ids."""
    assert record.width is not None
    assert record.height is not None
    for pose in record.poses:
        labels = [_label(point, record.width, record.height) for point in pose.keypoints]
        labelled = [(x, y) for x, y, visibility in labels if visibility]
        if not labelled:
            continue
        xs, ys = zip(*labelled, strict=True)
        left, top = min(xs), min(ys)
        width, height = round(max(xs) - left, 2), round(max(ys) - top, 2)
        yield {
            "image_id": number,
            "category_id": PERSON_CATEGORY,
            "keypoints": [value for label in labels for value in label],
            "num_keypoints": len(labelled),
            "bbox": [left, top, width, height],
            "area": max(round(width * height, 2), 1.0),
            "iscrowd": 0,
            "segmentation": [],
            **({"track_id": pose.id} if pose.id is not None else {}),
        }


def _label(point: Keypoint, width: int, height: int) -> tuple[float, float, int]:
    x, y = round(point.x, 2), round(point.y, 2)
    if point.score < HIDDEN_SCORE or not (0 <= x <= width and 0 <= y <= height):
        return 0, 0, 0
    return x, y, 2 if point.score >= VISIBLE_SCORE else 1


def _slashed(name: str) -> str:
    return name.replace(os.sep, "/")


def _folder_of(key: str) -> str:
    """The folder of a picture; of a frame its clip."""
    name, _, frame = _slashed(key).partition("\0")
    return name if frame else posixpath.dirname(name)


def _common_folder(folders: Iterable[str]) -> str:
    """The folder that all are in, or are; empty where there is none."""
    common: str | None = None
    for folder in folders:
        common = folder if common is None else common
        while common and not f"{folder}/".startswith(f"{common}/"):
            common = posixpath.dirname(common) if posixpath.dirname(common) != common else ""
    return common or ""


def picture_name(record: Record) -> str:
    """What a picture or a frame is called in full, with slashes."""
    name = _slashed(record.image if record.file is None else record.file)
    return name if record.frame is None or record.file is not None else f"{name}/frame_{record.frame:06d}.PNG"


def read(file: IO[bytes]) -> Iterator[Record]:
    """The labels of a file, a record a picture. Raises ValueError, with the field, where it holds something else."""
    data = file.read()
    dataset = fields.mapping(parse_json(data), "the file")
    digest = hashlib.sha256(data).hexdigest()
    images = fields.sequence(fields.member(dataset, "images"), "images")
    people: dict[int, list[Pose]] = {number: [] for number in _image_ids(images)}
    for number, pose in _poses(dataset):
        if number not in people:
            raise ValueError(f"an annotation has the image_id {number}, and no image has that id")
        people[number].append(pose)
    for index, image in enumerate(images):
        yield _record(image, f"images[{index}].", digest, people[image["id"]])


def _image_ids(images: Iterable[Any]) -> Iterator[int]:
    seen = set[int]()
    for index, image in enumerate(images):
        name = f"images[{index}]"
        number = fields.whole(fields.member(fields.mapping(image, name), "id", f"{name}."), f"{name}.id")
        if number in seen:
            raise ValueError(f"{name}.id is {number}, as that of another image")
        seen.add(number)
        yield number


def _record(image: Mapping[str, Any], name: str, digest: str, poses: Iterable[Pose]) -> Record:
    width, height = (fields.whole(fields.member(image, key, name), f"{name}{key}", 1) for key in ("width", "height"))
    return Record(
        image=fields.file_name(fields.member(image, "file_name", name), f"{name}file_name"),
        status="ok",
        width=width,
        height=height,
        model=ModelInfo(_MODEL, digest, (height, width), _LABEL_STRIDE),
        poses=tuple(poses),
    )


def _poses(dataset: Mapping[str, Any]) -> Iterator[tuple[int, Pose]]:
    """The labelled people and the ids of their images. Categories without keypoints, and crowds, are left out."""
    layouts = layouts_of(dataset)
    for index, value in enumerate(fields.sequence(fields.member(dataset, "annotations"), "annotations")):
        name = f"annotations[{index}]"
        annotation = fields.mapping(value, name)
        category = fields.whole(fields.member(annotation, "category_id", f"{name}."), f"{name}.category_id")
        layout = layouts.get(category)
        if layout is None or "keypoints" not in annotation or annotation.get("iscrowd"):
            continue
        number = fields.whole(fields.member(annotation, "image_id", f"{name}."), f"{name}.image_id")
        points = _points(annotation["keypoints"], layout, f"{name}.keypoints")
        if points is not None:
            track = annotation.get("track_id")
            if track is not None:
                fields.whole(track, f"{name}.track_id", 1)
            yield number, Pose.from_keypoints(1.0, points)._replace(id=track)


def layouts_of(dataset: Mapping[str, Any]) -> dict[int, Layout]:
    """By category id, the keypoints of all categories that have some. Raises ValueError where no category has."""
    layouts: dict[int, Layout] = {}
    for index, value in enumerate(fields.sequence(fields.member(dataset, "categories"), "categories")):
        name = f"categories[{index}]"
        category = fields.mapping(value, name)
        names = fields.sequence(category.get("keypoints") or [], f"{name}.keypoints")
        layout = tuple(_PARTS.get(_simplified(fields.text(part, f"{name}.keypoints"))) for part in names)
        if any(part is not None for part in layout):
            layouts[fields.whole(fields.member(category, "id", f"{name}."), f"{name}.id")] = layout
    if not layouts:
        raise ValueError("no category has keypoints such as nose and left_eye")
    return layouts


def in_order(values: Sequence[Any], layout: Layout) -> list[Any]:
    """The keypoints of an annotation in the order of posecli's; those that it does not have are 0, 0, 0."""
    ordered: list[Any] = [0, 0, 0] * KEYPOINT_COUNT
    for place, part in enumerate(layout):
        if part is not None:
            ordered[3 * part : 3 * part + 3] = values[3 * place : 3 * place + 3]
    return ordered


def _points(data: object, layout: Layout, name: str) -> list[Keypoint] | None:
    """The 17 keypoints; None where none is labelled."""
    values = in_order(fields.sequence(data, name, length=3 * len(layout)), layout)
    labels = [values[place : place + 3] for place in range(0, len(values), 3)]
    labelled = []
    for x, y, visibility in labels:
        fields.number(x, name)
        fields.number(y, name)
        if visibility not in (0, 1, 2):
            raise ValueError(f"{name}: a visibility is {fields.shown(visibility)}, not 0, 1 or 2")
        if visibility:
            labelled.append((x, y))
    if not labelled:
        return None
    middle_x, middle_y = ((min(axis) + max(axis)) / 2 for axis in zip(*labelled, strict=True))
    points = [
        (x, y, _SCORES[int(visibility)]) if visibility else (middle_x, middle_y, _SCORES[0])
        for x, y, visibility in labels
    ]
    return [
        Keypoint(part, name, x, y, score)
        for part, (name, (x, y, score)) in enumerate(zip(KEYPOINT_NAMES, points, strict=True))
    ]


FORMAT = Format("coco-annotations", write, ".coco-annotations.json", write_one, needs_all=True)
