"""The choice of one person (`--person`): in a picture, and over the frames of a clip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from posecli.poses.lookahead import time_of
from posecli.poses.similarity import as_decoded, body_area, body_box
from posecli.region import Region
from posecli.types import DecodedPose, Record

#: Seconds: tolerance for rounding errors of times.
_ROUNDING = 1e-6


def choose(
    poses: Sequence[DecodedPose], person: str | int, picture_wh: tuple[int, int], region: Region | None
) -> int | None:
    """The index of the chosen person in `poses`; None if there is no such person.

    poses: in picture pixels, in descending score. person: as in `Settings`. region: `center` means its centre; None:
    the whole picture.
    """
    if isinstance(person, int):
        return person if person < len(poses) else None
    if not poses or person == "best":
        return 0 if poses else None
    indices = range(len(poses))
    if person == "largest":
        return max(indices, key=lambda index: body_area(poses[index]))
    left, top, right, bottom = (region and region.box_in(*picture_wh)) or (0, 0, *picture_wh)
    centre = np.array((left + right, top + bottom)) / 2
    return min(indices, key=lambda index: float(np.linalg.norm(sum(body_box(poses[index])) / 2 - centre)))


class FollowedPerson:
    """Keeps one tracked person of each clip and drops all others.

    The person is chosen in the first frame where the choice is possible, and followed by track id. The choice is made
    again after the person was out of sight for more than `gap` seconds. A frame without the person keeps no poses.
    Stills pass unchanged.
    """

    def __init__(self, person: str | int, *, region: Region | None, gap: float) -> None:
        self._person = person
        self._region = region
        self._gap = gap
        self._clip: str | None = None
        self._track: int | None = None
        self._last_seen = 0.0  # seconds from the clip's beginning

    def take(self, record: Record) -> Iterator[Record]:
        """Yield the record with only the followed person. No record is held back."""
        if record.frame is None or not record.ok:
            yield record
            return
        if record.image != self._clip:
            self._clip, self._track = record.image, None
        track = self._followed(record, time_of(record))
        yield replace(record, poses=tuple(pose for pose in record.poses if pose.id is not None and pose.id == track))

    def finish(self) -> Iterator[Record]:
        """Yield nothing: no record is held back. The next record belongs to another clip."""
        self._clip = None
        yield from ()

    def _followed(self, record: Record, time: float) -> int | None:
        """The id of the track that is followed in this frame; None if no person is chosen yet."""
        tracked = [pose for pose in record.poses if pose.id is not None]
        if self._track not in [pose.id for pose in tracked]:
            if self._track is not None and time - self._last_seen <= self._gap + _ROUNDING:
                return self._track
            assert record.width is not None
            assert record.height is not None
            size = record.width, record.height
            index = choose([as_decoded(pose) for pose in tracked], self._person, size, self._region)
            self._track = None if index is None else tracked[index].id
        self._last_seen = time
        return self._track
