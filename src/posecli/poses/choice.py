"""Whom to keep, where one person is wanted: in a picture, and over the frames of a clip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from posecli.poses.lookahead import time_of
from posecli.poses.similarity import as_decoded, body_area, body_box
from posecli.region import Region
from posecli.types import DecodedPose, Record

#: Seconds that are rounding errors.
_ROUNDING = 1e-6


def choose(
    poses: Sequence[DecodedPose], person: str | int, picture_wh: tuple[int, int], region: Region | None
) -> int | None:
    """The place of the person that is wanted; None where there is no such person.

    poses: in falling score, picture pixels. person: as in `Settings`. region: what is looked at; None: all of the
    picture. The centre is that of the region.
    """
    if isinstance(person, int):
        return person if person < len(poses) else None
    if not poses or person == "best":
        return 0 if poses else None
    places = range(len(poses))
    if person == "largest":
        return max(places, key=lambda place: body_area(poses[place]))
    left, top, right, bottom = (region and region.box_in(*picture_wh)) or (0, 0, *picture_wh)
    centre = np.array((left + right, top + bottom)) / 2
    return min(places, key=lambda place: float(np.linalg.norm(sum(body_box(poses[place])) / 2 - centre)))


class FollowedPerson:
    """Keeps one tracked person of every clip: whoever is chosen first, as long as the track lasts.

    The choice is made in the first frame that shows the person that is wanted, and again where that person was out of
    sight for more than `gap` seconds. Without the person a frame has nobody. Stills pass unchanged.
    """

    def __init__(self, person: str | int, *, region: Region | None, gap: float) -> None:
        self._person = person
        self._region = region
        self._gap = gap
        self._clip: str | None = None
        self._track: int | None = None
        self._seen = 0.0  # when the person was seen last

    def take(self, record: Record) -> Iterator[Record]:
        """The record with the person that is followed. It is never held back."""
        if record.frame is None or not record.ok:
            yield record
            return
        if record.image != self._clip:
            self._clip, self._track = record.image, None
        track = self._followed(record, time_of(record))
        yield replace(record, poses=tuple(pose for pose in record.poses if pose.id is not None and pose.id == track))

    def finish(self) -> Iterator[Record]:
        """Nothing is held back. What comes next is another clip."""
        self._clip = None
        yield from ()

    def _followed(self, record: Record, time: float) -> int | None:
        """The track that is followed in a frame; None where there is none yet."""
        tracked = [pose for pose in record.poses if pose.id is not None]
        if self._track not in [pose.id for pose in tracked]:
            if self._track is not None and time - self._seen <= self._gap + _ROUNDING:
                return self._track
            assert record.width is not None
            assert record.height is not None
            size = record.width, record.height
            place = choose([as_decoded(pose) for pose in tracked], self._person, size, self._region)
            self._track = None if place is None else tracked[place].id
        self._seen = time
        return self._track
