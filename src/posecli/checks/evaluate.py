"""COCO keypoint precision and recall, computed with the official pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from posecli import fields
from posecli.errors import UsageError
from posecli.extras import import_extra
from posecli.files.name_match import match_names
from posecli.poses.similarity import keypoint_similarities
from posecli.records.formats.base import parse_json
from posecli.records.formats.coco import PERSON_CATEGORY, people_of
from posecli.records.formats.coco_annotations import (
    LabelledPerson,
    Labels,
    area_of,
    box_around,
    labels_of,
    picture_name,
)
from posecli.records.journal import read_records
from posecli.skeleton import KEYPOINT_COUNT, KEYPOINT_NAMES
from posecli.types import Record

#: The names of `COCOeval.stats` for keypoints, in order.
FIGURES = ("AP", "AP50", "AP75", "AP medium", "AP large", "AR", "AR50", "AR75", "AR medium", "AR large")
#: The number of a picture that has not been matched yet.
_NO_IMAGE = 0
#: The keypoints of annotations that do not name them. COCO results do not name them either.
_COCO_LAYOUT = tuple(range(KEYPOINT_COUNT))
_LOW, _LARGEST_AREA = -fields.FARTHEST_PX, fields.FARTHEST_PX**2
_FIRST = 0  # index of "all areas" and of the lowest OKS (0.5) in COCOeval's parameters


class Score(NamedTuple):
    """The results for a set of pictures. figures: by the names of `FIGURES`; None if no people are annotated."""

    pictures: int
    people: int
    figures: dict[str, float | None]


class Evaluation(NamedTuple):
    """The result of an evaluation.

    groups: scores of all pictures, of pictures with one annotated person, and of pictures with several.
    found: number of people matched by a pose with an OKS of at least 0.5.
    keypoints: mean similarity (0..1) by part, over the labelled keypoints of those people.
    missing: annotated pictures without a result. unknown: pictures with results but without annotations.
    """

    groups: dict[str, Score]
    found: int
    keypoints: dict[str, float | None]
    missing: tuple[str, ...]
    unknown: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        groups = {name: group._asdict() for name, group in self.groups.items()}
        return {**self._asdict(), "groups": groups, "missing": list(self.missing), "unknown": list(self.unknown)}


class Results(NamedTuple):
    """COCO keypoint results.

    people: of the annotated pictures. seen: ids of pictures with a result. unknown: names of pictures that are not
    annotated.
    """

    people: list[dict[str, Any]]
    seen: frozenset[int]
    unknown: tuple[str, ...]


def evaluate(truth_path: str, results_path: str) -> Evaluation:
    """Compare results with annotations.

    truth_path: COCO person keypoint annotations. results_path: posecli's records, or COCO keypoint results.
    Raises UsageError for files that are neither, MissingExtra without pycocotools.
    """
    coco = _read_truth(truth_path)
    return evaluate_results(coco, read_results(results_path, _ids_of(coco)))


def evaluate_records(truth_path: str, records: Iterable[Record]) -> Evaluation:
    """As `evaluate`, for records in memory."""
    coco = _read_truth(truth_path)
    return evaluate_results(coco, _from_records(records, _ids_of(coco)))


def _ids_of(coco: Any) -> dict[str, int]:
    return {image["file_name"]: int(image["id"]) for image in coco.dataset["images"]}


def evaluate_results(coco: Any, results: Results) -> Evaluation:
    """Evaluate all pictures, those with one person, and those with several. Raises UsageError if no result matches."""
    if not results.seen:
        unknown = f", such as {results.unknown[0]}" if results.unknown else ""
        raise UsageError(f"no result belongs to an annotated picture{unknown}")
    counts = dict.fromkeys(coco.getImgIds(), 0)
    for person in coco.loadAnns(coco.getAnnIds(catIds=[PERSON_CATEGORY], iscrowd=False)):
        counts[person["image_id"]] += person["num_keypoints"] > 0
    chosen = {
        "all": list(counts),
        "one person": [image for image, people in counts.items() if people == 1],
        "several people": [image for image, people in counts.items() if people > 1],
    }
    found = _results_of(coco, results.people)
    evaluations = {name: _run(coco, found, images) for name, images in chosen.items()}
    groups = {
        name: Score(len(images), sum(counts[image] for image in images), _figures(evaluations[name]))
        for name, images in chosen.items()
    }
    pairs = list(_matched(evaluations["all"]))
    missing = tuple(
        str(image["file_name"]) for image in coco.loadImgs(coco.getImgIds()) if image["id"] not in results.seen
    )
    return Evaluation(groups, len(pairs), _keypoint_means(pairs), missing, results.unknown)


def read_results(path: str, names: dict[str, int]) -> Results:
    """Records or COCO results, whichever the file holds; names: ids of the annotated pictures."""
    listed = _coco_results(path)
    if listed is None:
        return _from_records(read_records(path), names)
    ids = frozenset(names.values())
    seen = {int(person["image_id"]) for person in listed}
    unknown = tuple(f"image {number}" for number in sorted(seen - ids))
    return Results([person for person in listed if person["image_id"] in ids], frozenset(seen & ids), unknown)


def _coco_results(path: str) -> list[dict[str, Any]] | None:
    """The entries of a COCO results file; None if the file is something else. Raises UsageError for invalid entries."""
    try:
        with open(path, "rb") as file:
            data = parse_json(file.read()) if file.read(1) == b"[" and not file.seek(0) else None
    except (OSError, ValueError):
        return None  # `read_records` then reports the error
    required = {"image_id", "keypoints", "score"}
    if not data or not all(isinstance(entry, dict) and required <= entry.keys() for entry in data):
        return None
    try:
        _check_coco_results(data)
    except ValueError as error:
        raise UsageError(f"{path} does not hold COCO keypoint results: {error}") from error
    return list(data)


def _check_coco_results(data: Iterable[dict[str, Any]]) -> None:
    """Raise ValueError for the first entry that is not a COCO keypoint result."""
    for number, entry in enumerate(data, 1):
        name = f"entry {number}: "
        fields.integer(entry["image_id"], f"{name}image_id")
        fields.number(entry["score"], f"{name}score")
        for value in fields.sequence(entry["keypoints"], f"{name}keypoints", length=3 * KEYPOINT_COUNT):
            fields.number(value, f"{name}keypoints")


def _from_records(records: Iterable[Record], names: dict[str, int]) -> Results:
    found = [(picture_name(record), people_of(record, _NO_IMAGE)) for record in records]
    pairs = match_names((name for name, _ in found), names)
    people = [
        {**person, "image_id": names[pairs[name]]} for name, entries in found if name in pairs for person in entries
    ]
    unknown = tuple(name for name, _ in found if name not in pairs)
    return Results(people, frozenset(names[name] for name in pairs.values()), unknown)


def _read_truth(path: str) -> Any:
    """Read and index the annotations. The standard output of pycocotools is discarded."""
    coco = import_extra("pycocotools.coco", extra="eval").COCO()
    try:
        with open(path, "rb") as file:
            labels = labels_of(parse_json(file.read()), unnamed=_COCO_LAYOUT)
        if not labels.people:
            raise ValueError("it contains no people with keypoints")
        coco.dataset = _standard(labels)
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read COCO keypoint annotations from {path}: {error}") from error
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


def _standard(labels: Labels) -> dict[str, Any]:
    """Convert annotations for pycocotools: one category, the 17 keypoints in their order, and every field.

    Annotation tools number categories and order keypoints in different ways, and omit fields. Raises ValueError if the
    annotations are invalid.
    """
    return {
        "info": {},
        "images": [{"id": image.id, "file_name": image.file_name} for image in labels.images],
        "categories": [{"id": PERSON_CATEGORY, "name": "person"}],
        "annotations": [_standard_person(number, person) for number, person in enumerate(labels.people, 1)],
    }


def _standard_person(number: int, person: LabelledPerson) -> dict[str, Any]:
    """One annotation with every field. Without a box it gets the box around its labelled keypoints, or an empty one."""
    box = person.data.get("bbox") or (box_around(person.labelled) if person.labelled else [0, 0, 0, 0])
    lefts_and_sizes = zip(fields.sequence(box, f"{person.name}.bbox", length=4), (_LOW, _LOW, 0, 0), strict=True)
    box = [fields.number(value, f"{person.name}.bbox", low) for value, low in lefts_and_sizes]
    area = fields.number(person.data.get("area") or 0, f"{person.name}.area", 0, _LARGEST_AREA)
    return {
        "id": number,
        "image_id": person.image,
        "category_id": PERSON_CATEGORY,
        "keypoints": [value for point in person.points for value in point],
        "num_keypoints": len(person.labelled),
        "bbox": box,
        "area": area or area_of(box),  # some tools write 0
        "iscrowd": int(person.crowd),
    }


def _results_of(coco: Any, people: list[dict[str, Any]]) -> Any:
    with contextlib.redirect_stdout(io.StringIO()):
        if people:
            try:
                return coco.loadRes(people)
            except (ValueError, KeyError, IndexError, TypeError, AssertionError) as error:
                raise UsageError(f"the results are not COCO keypoint results: {error!r}") from error
        empty = type(coco)()  # loadRes does not accept an empty list
        empty.dataset = {"images": coco.dataset["images"], "categories": coco.dataset["categories"], "annotations": []}
        empty.createIndex()
        return empty


def _run(coco: Any, found: Any, images: Sequence[int]) -> Any:
    evaluation = import_extra("pycocotools.cocoeval", extra="eval").COCOeval(coco, found, "keypoints")
    evaluation.params.imgIds = sorted(images)
    evaluation.params.catIds = [PERSON_CATEGORY]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def _figures(evaluation: Any) -> dict[str, float | None]:
    """The figures by name. COCOeval returns -1 if no people are annotated; here that is None."""
    return {name: float(value) if value >= 0 else None for name, value in zip(FIGURES, evaluation.stats, strict=True)}


def _matched(evaluation: Any) -> Iterable[tuple[dict[str, Any], dict[str, Any]]]:
    """Pairs of annotated people and the poses that COCOeval matched with them at its lowest OKS."""
    for image in evaluation.evalImgs:
        if image is None or image["aRng"] != evaluation.params.areaRng[_FIRST]:
            continue
        for person, pose, ignored in zip(image["gtIds"], image["gtMatches"][_FIRST], image["gtIgnore"], strict=True):
            if pose > 0 and not ignored:
                yield evaluation.cocoGt.anns[person], evaluation.cocoDt.anns[int(pose)]


def _keypoint_means(pairs: Iterable[tuple[dict[str, Any], dict[str, Any]]]) -> dict[str, float | None]:
    """The mean similarity of each part over the people with that part annotated, with the annotated area as scale."""
    similarities: list[list[float]] = [[] for _ in KEYPOINT_NAMES]
    for person, pose in pairs:
        truth, found = (np.reshape(entry["keypoints"], (-1, 3)) for entry in (person, pose))
        area = person["area"] + np.spacing(1)  # as in COCOeval, because an area may be 0
        values = keypoint_similarities(truth[:, :2], found[:, :2], area=area)
        for part in np.flatnonzero(truth[:, 2] > 0):
            similarities[part].append(float(values[part]))
    return {
        name: float(np.mean(values)) if values else None
        for name, values in zip(KEYPOINT_NAMES, similarities, strict=True)
    }
