"""COCO keypoint annotations: labels that annotation tools such as CVAT import and export.

Writing: a keypoint's score becomes its visibility, 2 (visible) from `VISIBLE_SCORE`, 1 (hidden) from `HIDDEN_SCORE`.
Keypoints below it, or outside the picture, are not labelled: 0, 0, 0. People without a labelled keypoint and failed
pictures are left out. `bbox` is the bounding box of the labelled keypoints, `area` its area. Names are relative to the
common folder of all pictures: CVAT finds a picture by the end of its path. A frame of a video is a picture named
`frame_000012.PNG`, as in CVAT, in a folder with the clip's name.

Reading: each picture gives a record, each labelled person a pose. Labels have no scores: a pose gets 1, a keypoint a
value of `_SCORES`. A keypoint without a label gets the middle of the others. All readers of labels use `labels_of`.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Set
from typing import IO, Any, NamedTuple

from posecli import fields
from posecli._version import __version__
from posecli.records.formats.base import ByteSink, Format, TextSink, WriteOptions, parse_json, to_json
from posecli.records.formats.coco import PERSON_CATEGORY, choose_ids, number_alone
from posecli.skeleton import DRAWN_EDGES, KEYPOINT_COUNT, KEYPOINT_NAMES
from posecli.types import Keypoint, ModelInfo, Pose, Record

#: Least scores of a visible and of a hidden keypoint. Keypoints are drawn from the second score on, too.
VISIBLE_SCORE, HIDDEN_SCORE = 0.5, 0.1
#: Scores of keypoints that are read, by visibility. Written again, they give the same visibility. Labelled keypoints
#: reach `similarity.CERTAIN_SCORE`, so comparisons use their positions.
_SCORES = (0.0, 0.3, 1.0)
#: Model name in records that are read.
_MODEL = "coco-annotations"
#: Positions of labels are in picture pixels.
_LABEL_STRIDE = 1

#: Keypoint ids in the order of an annotation's keypoints; None for keypoints that posecli does not have.
Layout = tuple[int | None, ...]
#: x, y and visibility.
Point = tuple[float, float, int]
_UNLABELLED: Point = (0, 0, 0)
#: Least `area`: annotation tools refuse 0.
_LEAST_AREA = 1.0


class LabelledImage(NamedTuple):
    """An image of an annotation file. name: its place in the file, for messages."""

    id: int
    file_name: str
    name: str
    data: Mapping[str, Any]


class LabelledPerson(NamedTuple):
    """An annotation of a person or a crowd with keypoints, labelled or not. points: 17, in posecli's order; track: from
    1; name: its place in the file, for messages."""

    image: int
    points: list[Point]
    crowd: bool
    track: int | None
    name: str
    data: Mapping[str, Any]

    @property
    def labelled(self) -> list[tuple[float, float]]:
        """Positions of the labelled keypoints."""
        return positions_of(self.points)


class Labels(NamedTuple):
    """The content of an annotation file."""

    images: list[LabelledImage]
    people: list[LabelledPerson]


def _simplified(name: str) -> str:
    """Normalise a keypoint's name: the result is equal for `leftEye`, `left_eye` and `Left Eye`."""
    return re.sub(r"[\W_]+", "", name).lower()


#: Simplified name or number → keypoint. Tools number the points of a skeleton from 1 if they have no names.
_PARTS = {_simplified(name): part for part, name in enumerate(KEYPOINT_NAMES)} | {
    str(part + 1): part for part in range(KEYPOINT_COUNT)
}


def write(records: Iterable[Record], file: ByteSink, options: WriteOptions) -> None:
    """Write one file of all pictures and people, one per line. `records` is iterated twice."""
    numbers = choose_ids(records, options).numbers
    common = _common_folder(map(_folder_of, numbers))
    _write(records, file, numbers, common)


def write_one(record: Record, file: ByteSink, options: WriteOptions) -> None:
    """Write the file of one image. It names the image without folders."""
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
        labelled = positions_of(labels)
        if not labelled:
            continue
        box = box_around(labelled)
        yield {
            "image_id": number,
            "category_id": PERSON_CATEGORY,
            "keypoints": [value for label in labels for value in label],
            "num_keypoints": len(labelled),
            "bbox": box,
            "area": area_of(box),
            "iscrowd": 0,
            "segmentation": [],
            **({"track_id": pose.id} if pose.id is not None else {}),
        }


def positions_of(points: Iterable[Point]) -> list[tuple[float, float]]:
    """Positions of the labelled keypoints."""
    return [(x, y) for x, y, visibility in points if visibility]


def box_around(positions: Iterable[tuple[float, float]]) -> list[float]:
    """The `bbox` of an annotation: left, top, width and height."""
    xs, ys = zip(*positions, strict=True)
    left, top = min(xs), min(ys)
    return [left, top, round(max(xs) - left, 2), round(max(ys) - top, 2)]


def area_of(box: Iterable[float]) -> float:
    """The `area` of an annotation with this `bbox`."""
    *_, width, height = box
    return max(round(width * height, 2), _LEAST_AREA)


def _label(point: Keypoint, width: int, height: int) -> Point:
    x, y = round(point.x, 2), round(point.y, 2)
    if point.score < HIDDEN_SCORE or not (0 <= x <= width and 0 <= y <= height):
        return _UNLABELLED
    return x, y, 2 if point.score >= VISIBLE_SCORE else 1


def _slashed(name: str) -> str:
    return name.replace(os.sep, "/")


def _folder_of(key: str) -> str:
    """The folder of a picture, or the clip of a frame."""
    name, _, frame = _slashed(key).partition("\0")
    return name if frame else posixpath.dirname(name)


def _common_folder(folders: Iterable[str]) -> str:
    """The deepest folder that contains, or is, all of them; empty if there is none."""
    common: str | None = None
    for folder in folders:
        common = folder if common is None else common
        while common and not f"{folder}/".startswith(f"{common}/"):
            common = posixpath.dirname(common) if posixpath.dirname(common) != common else ""
    return common or ""


def picture_name(record: Record) -> str:
    """The full name of a picture or frame, with slashes."""
    name = _slashed(record.image if record.file is None else record.file)
    return name if record.frame is None or record.file is not None else f"{name}/frame_{record.frame:06d}.PNG"


def read(file: IO[bytes]) -> Iterator[Record]:
    """Yield one record per picture of a file. Raises ValueError, with the field, if the file holds something else."""
    data = file.read()
    labels = labels_of(parse_json(data))
    digest = hashlib.sha256(data).hexdigest()
    poses: dict[int, list[Pose]] = {image.id: [] for image in labels.images}
    for person in labels.people:
        if person.labelled and not person.crowd:
            poses[person.image].append(Pose.from_keypoints(1.0, _keypoints(person))._replace(id=person.track))
    for image in labels.images:
        yield _record(image, digest, poses[image.id])


def _record(image: LabelledImage, digest: str, poses: Iterable[Pose]) -> Record:
    width, height = (_member(image.data, key, image.name, 1) for key in ("width", "height"))
    return Record(
        image=image.file_name,
        status="ok",
        width=width,
        height=height,
        model=ModelInfo(_MODEL, digest, (height, width), _LABEL_STRIDE),
        poses=tuple(poses),
    )


def _keypoints(person: LabelledPerson) -> list[Keypoint]:
    middle_x, middle_y = ((min(axis) + max(axis)) / 2 for axis in zip(*person.labelled, strict=True))
    points = [(x, y, visibility) if visibility else (middle_x, middle_y, 0) for x, y, visibility in person.points]
    return [
        Keypoint(part, name, x, y, _SCORES[visibility])
        for part, (name, (x, y, visibility)) in enumerate(zip(KEYPOINT_NAMES, points, strict=True))
    ]


def labels_of(data: object, *, unnamed: Layout | None = None) -> Labels:
    """The images and people in the JSON of an annotation file.

    Annotations without keypoints, and those of categories without known keypoints, are left out.
    unnamed: the keypoints of all categories if the file names none; None: such a file is an error.
    Raises ValueError, with the field, if a value is missing, wrong or ambiguous.
    """
    dataset = fields.mapping(data, "the file")
    images = list(_images(dataset))
    layouts = _layouts(dataset, unnamed)
    people = list(_people(dataset, layouts, {image.id for image in images}))
    if any(person.track == 0 for person in people):  # CVAT numbers tracks from 0, posecli from 1
        people = [person._replace(track=None if person.track is None else person.track + 1) for person in people]
    return Labels(images, people)


def _images(dataset: Mapping[str, Any]) -> Iterator[LabelledImage]:
    ids, names = set[int](), set[str]()
    for name, image in _objects(dataset, "images"):
        number = _member(image, "id", name)
        if number in ids:
            raise ValueError(f"{name}.id is {number}, as that of another image")
        file_name = fields.file_name(fields.member(image, "file_name", f"{name}."), f"{name}.file_name")
        if file_name in names:
            raise ValueError(f"{name}.file_name is {fields.format_value(file_name)}, as that of another image")
        ids.add(number)
        names.add(file_name)
        yield LabelledImage(number, file_name, name, image)


def _layouts(dataset: Mapping[str, Any], unnamed: Layout | None) -> dict[int, Layout | None]:
    """Category id → its keypoints, or None if none is known. Raises ValueError if no category has known keypoints."""
    layouts: dict[int, Layout | None] = {}
    has_names = False
    for name, category in _objects(dataset, "categories"):
        number = _member(category, "id", name)
        if number in layouts:
            raise ValueError(f"{name}.id is {number}, as that of another category")
        layouts[number] = _layout(category.get("keypoints") or [], f"{name}.keypoints")
        has_names |= bool(category.get("keypoints"))
    if not has_names and unnamed is not None:
        return dict.fromkeys(layouts, unnamed)
    if not any(layouts.values()):
        raise ValueError("no category has keypoints such as nose and left_eye")
    return layouts


def _layout(names: object, place: str) -> Layout | None:
    layout = tuple(_PARTS.get(_simplified(fields.text(name, place))) for name in fields.sequence(names, place))
    counts = Counter(part for part in layout if part is not None)
    for part, count in counts.items():
        if count > 1:
            raise ValueError(f"{place} has {KEYPOINT_NAMES[part]} {count} times")
    return layout if counts else None


def _people(
    dataset: Mapping[str, Any], layouts: Mapping[int, Layout | None], images: Set[int]
) -> Iterator[LabelledPerson]:
    for name, annotation in _objects(dataset, "annotations"):
        category = _member(annotation, "category_id", name)
        if category not in layouts:
            raise ValueError(f"{name}.category_id is {category}, and no category has that id")
        layout = layouts[category]
        if layout is None or annotation.get("keypoints") in (None, []):
            continue
        image = _member(annotation, "image_id", name)
        if image not in images:
            raise ValueError(f"{name}.image_id is {image}, and no image has that id")
        points = _points(annotation["keypoints"], layout, f"{name}.keypoints")
        yield LabelledPerson(image, points, _is_crowd(annotation, name), _track(annotation, name), name, annotation)


def _points(data: object, layout: Layout, name: str) -> list[Point]:
    """The 17 keypoints. Those that are not in the layout are not labelled."""
    values = fields.sequence(data, name, length=3 * len(layout))
    points = [_UNLABELLED] * KEYPOINT_COUNT
    for place, part in enumerate(layout):
        if part is None:
            continue
        x, y, visibility = values[3 * place : 3 * place + 3]
        if visibility not in (0, 1, 2):
            raise ValueError(f"{name}: a visibility is {fields.format_value(visibility)}, not 0, 1 or 2")
        points[part] = fields.number(x, name), fields.number(y, name), int(visibility)
    return points


def _is_crowd(annotation: Mapping[str, Any], name: str) -> bool:
    value = annotation.get("iscrowd")
    return bool(fields.choice(_without_fraction(0 if value is None else value), f"{name}.iscrowd", (0, 1)))


def _track(annotation: Mapping[str, Any], name: str) -> int | None:
    """The track id in the file, or None. CVAT writes it as an attribute."""
    attributes = annotation.get("attributes")
    for place, data in ((name, annotation), (f"{name}.attributes", attributes)):
        if isinstance(data, Mapping) and data.get("track_id") is not None:
            return _member(data, "track_id", place)
    return None


def _objects(dataset: Mapping[str, Any], key: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the objects of an array, each with its name for messages."""
    for index, value in enumerate(fields.sequence(fields.member(dataset, key), key)):
        name = f"{key}[{index}]"
        yield name, fields.mapping(value, name)


def _member(data: Mapping[str, Any], key: str, name: str, least: int = 0) -> int:
    """A required whole number."""
    return fields.integer(_without_fraction(fields.member(data, key, f"{name}.")), f"{name}.{key}", least)


def _without_fraction(value: Any) -> Any:
    """Convert 720.0 to 720: some tools write all numbers with a fraction."""
    return int(value) if type(value) is float and value.is_integer() else value


_SUMMARY = "COCO keypoint annotations, for annotation tools"
FORMAT = Format("coco-annotations", write, ".coco-annotations.json", _SUMMARY, write_one, needs_all=True)
