"""COCO keypoint results: a list of people for pycocotools.

COCO identifies pictures by numbers. These are the ids in a COCO annotation file, or the names if all names are distinct
numbers (`000000139.jpg`), or the order of writing; a map from name to number is then written beside the file.
"""

from __future__ import annotations

import itertools
import json
import os
import zlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from posecli.errors import UsageError
from posecli.files.atomic import atomic_file
from posecli.files.storage import endings, name_bytes
from posecli.records.formats.base import ByteSink, Format, TextSink, WriteOptions, text_name, to_json
from posecli.types import Record

PERSON_CATEGORY = 1


def write(records: Iterable[Record], file: ByteSink, options: WriteOptions) -> None:
    """Write one list, one person per line. `records` is iterated twice."""
    ids = choose_ids(records, options)
    if ids.are_places and options.path is not None:
        _write_map(ids.numbers, os.path.splitext(options.path)[0] + ".images.json")
    text, separator = TextSink(file), "[\n"
    for record in records:
        for entry in people_of(record, ids.numbers[record.key]):
            text.write(separator + to_json(entry))
            separator = ",\n"
    text.write("[]\n" if separator == "[\n" else "\n]\n")


def write_one(record: Record, file: ByteSink, options: WriteOptions) -> None:
    """Write the file of one image."""
    number = number_alone(record, options)
    people = [{**entry, "file_name": text_name(record.image)} for entry in people_of(record, number)]
    TextSink(file).write(to_json(people) + "\n")


def number_alone(record: Record, options: WriteOptions) -> int:
    """The id of an image in a file of its own. There is no order to number it by: if its name gives no id, the id is a
    checksum of the name."""
    number = image_id(record.image, annotated_ids(options.coco_images))
    if number is None or record.frame is not None:
        number = zlib.crc32(name_bytes(record.key)) & 0x7FFFFFFF
    return number


def people_of(record: Record, number: int) -> list[dict[str, Any]]:
    """The entries of the people in one image. number: the image's id."""
    return [
        {
            "image_id": number,
            "category_id": PERSON_CATEGORY,
            "keypoints": [value for p in pose.keypoints for value in (round(p.x, 2), round(p.y, 2), round(p.score, 4))],
            "score": round(pose.score, 4),
        }
        for pose in record.poses
    ]


class ImageIds(NamedTuple):
    """The ids of all images, by `Record.key`. are_places: some are numbers in the order of writing."""

    numbers: dict[str, int]
    are_places: bool = False


def choose_ids(records: Iterable[Record], options: WriteOptions) -> ImageIds:
    """Choose an id for every image. Images without one in the annotation file or their name are numbered in order."""
    annotated = annotated_ids(options.coco_images)
    found = {record.key: image_id(record.image, annotated) if record.frame is None else None for record in records}
    ids = {name: number for name, number in found.items() if number is not None}
    if len(ids) == len(found) and len(set(ids.values())) == len(ids):
        return ImageIds(ids)
    if not annotated:
        ids = {}  # if only some names are numbers, all images are numbered: ids then cannot be confused with names
    missing = [name for name in found if name not in ids]
    numbers = ids | dict(zip(missing, itertools.count(max(annotated.values(), default=0) + 1), strict=False))
    return ImageIds(numbers, are_places=True)


def _write_map(numbers: dict[str, int], path: str) -> None:
    images: list[dict[str, Any]] = []
    for key, number in numbers.items():
        name, _, frame = key.partition("\0")
        images.append({"id": number, "file_name": text_name(name), **({"frame": int(frame)} if frame else {})})
    with atomic_file(path) as file:
        file.write((json.dumps({"images": images}, indent=0) + "\n").encode())


@lru_cache(maxsize=1)
def annotated_ids(path: str | None) -> Mapping[str, int]:
    """The ids of a COCO annotation file by file name. The file is read once per run. Raises UsageError."""
    if path is None:
        return {}
    try:
        with open(path, "rb") as file:
            return {image["file_name"]: int(image["id"]) for image in json.load(file)["images"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"cannot read image ids from {path}: {error}") from error


def image_id(name: str, annotated: Mapping[str, int]) -> int | None:
    """The id of an image, or None. annotated: ids of an annotation file by name; names match with or without leading
    folders. If it is empty, the id is the name if that is a number."""
    if annotated:
        return next((annotated[ending] for ending in endings(name) if ending in annotated), None)
    stem = os.path.splitext(os.path.basename(name))[0]
    return int(stem) if stem.isascii() and stem.isdecimal() else None


_SUMMARY = "a list of COCO keypoint results; the third number of each keypoint is its score"
FORMAT = Format("coco", write, ".coco.json", _SUMMARY, write_one, needs_all=True)
