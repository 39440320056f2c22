"""Compare two sets of records: for checks in CI that results have not changed."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from math import hypot
from typing import Any, NamedTuple

from posecli.files.name_match import match_names
from posecli.poses.similarity import CERTAIN_SCORE, MOVED_PERSON, as_decoded, match_greedily, similarities
from posecli.records.formats.coco_annotations import picture_name
from posecli.types import Keypoint, Pose, Record


class Limits(NamedTuple):
    """The largest changes that are not reported. distance: of a keypoint, pixels. score_change: of any score."""

    distance: float = 4.0
    score_change: float = 0.1


class Difference(NamedTuple):
    """One difference.

    kind: missing_picture, new_picture, status, missing_person, new_person, moved, score.
    person: index in the expected record (for `new_person`: in the actual record), from 0. amount: pixels or score.
    frame: of a clip, from 0.
    """

    image: str
    kind: str
    message: str
    person: int | None = None
    part: str | None = None
    amount: float | None = None
    frame: int | None = None

    @property
    def place(self) -> str:
        """The picture, or the clip and its frame."""
        return self.image if self.frame is None else f"{self.image} frame {self.frame}"

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {name: value for name, value in self._asdict().items() if value is not None}


class Expectation:
    """Expected records; actual records are compared with them one by one."""

    def __init__(self, expected: Iterable[Record], limits: Limits) -> None:
        self._limits = limits
        self._expected = {picture_name(record): record for record in expected}
        self._checked: set[str] = set()
        self._others: list[Record] = []

    def check(self, actual: Record) -> list[Difference]:
        """The differences in one picture. A picture without an expected one of the same name waits for `others`."""
        name = picture_name(actual)
        if name not in self._expected:
            self._others.append(actual)
            return []
        return self._differences(name, actual)

    def others(self) -> Iterator[Difference]:
        """The differences in the pictures with other names, after all pictures: `match_names` pairs them."""
        pairs = match_names([*self._checked, *map(picture_name, self._others)], self._expected)
        for actual in self._others:
            name = pairs.get(picture_name(actual))
            if name is None or _of_other_clip(self._expected[name], actual):
                yield Difference(actual.image, "new_picture", "is not among the expected pictures", frame=actual.frame)
            else:
                yield from self._differences(name, actual)

    def missing(self) -> list[Difference]:
        """The expected pictures without an actual record."""
        return [
            Difference(record.image, "missing_picture", "was expected but is missing", frame=record.frame)
            for name, record in self._expected.items()
            if name not in self._checked
        ]

    def _differences(self, name: str, actual: Record) -> list[Difference]:
        self._checked.add(name)
        found = _differences(self._expected[name], actual, self._limits)
        return [difference._replace(frame=actual.frame) for difference in found]


def compare(
    expected: Iterable[Record], actual: Iterable[Record], limits: Limits, *, ignore_missing: bool = False
) -> Iterator[Difference]:
    """All differences. ignore_missing: do not report pictures that only the expected records contain."""
    expectation = Expectation(expected, limits)
    for record in actual:
        yield from expectation.check(record)
    yield from expectation.others()
    if not ignore_missing:
        yield from expectation.missing()


def _of_other_clip(one: Record, other: Record) -> bool:
    """Whether both are frames of videos that are called otherwise: their own names, frame_000012.PNG, say nothing."""
    are_frames = all(record.frame is not None and record.file is None for record in (one, other))
    return are_frames and posixpath.basename(one.image) != posixpath.basename(other.image)


def _differences(expected: Record, actual: Record, limits: Limits) -> Iterator[Difference]:
    image = actual.image
    if expected.status != actual.status:
        why = f": {actual.error.message}" if actual.error else ""
        yield Difference(image, "status", f"was {expected.status}, is {actual.status}{why}")
        return
    pairs = _pair(expected.poses, actual.poses)
    for number, other in pairs.items():
        if other is None:
            score = expected.poses[number].score
            yield Difference(image, "missing_person", f"person {number} (score {score:.2f}) is gone", number)
        else:
            yield from _changes(image, number, expected.poses[number], actual.poses[other], limits)
    for number in sorted(set(range(len(actual.poses))) - set(pairs.values())):
        score = actual.poses[number].score
        yield Difference(image, "new_person", f"a person (score {score:.2f}) is new", number)


def _pair(expected: tuple[Pose, ...], actual: tuple[Pose, ...]) -> dict[int, int | None]:
    """Match people by OKS: index of the expected person → index of the actual one; None if it is missing."""
    before, after = ([as_decoded(pose) for pose in poses] for poses in (expected, actual))
    pairs = match_greedily(similarities(before, after), least=MOVED_PERSON)
    return {number: pairs.get(number) for number in range(len(expected))}


def _changes(image: str, number: int, before: Pose, after: Pose, limits: Limits) -> Iterator[Difference]:
    for old, new in zip(before.keypoints, after.keypoints, strict=True):
        distance = hypot(new.x - old.x, new.y - old.y)
        if _both_certain(old, new) and distance > limits.distance:
            message = f"person {number}: {old.part} moved by {distance:.1f} pixels"
            yield Difference(image, "moved", message, number, old.part, round(distance, 2))
        if abs(new.score - old.score) > limits.score_change:
            yield _score_change(image, number, old.part, old.score, new.score)
    if abs(after.score - before.score) > limits.score_change:
        yield _score_change(image, number, None, before.score, after.score)


def _both_certain(old: Keypoint, new: Keypoint) -> bool:
    return min(old.score, new.score) >= CERTAIN_SCORE


def _score_change(image: str, number: int, part: str | None, old: float, new: float) -> Difference:
    message = f"person {number}: score{f' of {part}' if part else ''} was {old:.2f}, is {new:.2f}"
    return Difference(image, "score", message, number, part, round(new - old, 4))
