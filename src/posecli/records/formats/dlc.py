"""DeepLabCut's CSV of keypoints: one file per clip, one row per frame, three columns per keypoint.

The row of frame 12 is the thirteenth, because readers count rows. Frames that were skipped, failed, or have no people
are rows of empty cells. With tracks, each track is an individual (`track_3`), and people without one are left out.
Without tracks, frames may have one person at most. `likelihood` is the keypoint's score; `scorer` is the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from posecli.errors import UsageError
from posecli.records.formats.base import ByteSink, Format, TextSink, WriteOptions
from posecli.records.formats.csv_table import csv_writer
from posecli.skeleton import KEYPOINT_COUNT, KEYPOINT_NAMES
from posecli.types import Pose, Record

_COORDS = ("x", "y", "likelihood")
#: Three days at 50 frames per second. Without a limit, one large frame number would fill the disk with empty rows.
_MOST_FRAMES = 12_960_000


class _Clip(NamedTuple):
    """The header's data. scorer: the model's name; tracks: in rising order, empty if people are not tracked."""

    scorer: str
    tracks: tuple[int, ...]


def write(records: Iterable[Record], file: ByteSink, options: WriteOptions) -> None:
    """Write the records of one clip. `records` is iterated twice. Raises UsageError if they are not of one clip, or if
    frames have several people without tracks."""
    clip = _examine(records)
    table = csv_writer(TextSink(file))
    individuals = [f"track_{track}" for track in clip.tracks] or [""]
    columns = [(individual, part, coord) for individual in individuals for part in KEYPOINT_NAMES for coord in _COORDS]
    table.writerow(["scorer", *[clip.scorer] * len(columns)])
    if clip.tracks:
        table.writerow(["individuals", *(individual for individual, _, _ in columns)])
    table.writerow(["bodyparts", *(part for _, part, _ in columns)])
    table.writerow(["coords", *(coord for _, _, coord in columns)])
    for number, poses in enumerate(_frames(records)):
        table.writerow([number, *_cells(poses, clip.tracks)])


def _examine(records: Iterable[Record]) -> _Clip:
    scorer, names, tracks, untracked = "posecli", set[str](), set[int](), False
    for record in records:
        if record.ok and record.frame is None:
            raise UsageError(f"dlc holds the frames of a clip, and {record.image} is a picture", "use -f csv")
        names.add(record.image)
        if len(names) > 1:
            raise UsageError(
                f"dlc holds one clip, and there are {' and '.join(sorted(names))}", "write each clip to its own file"
            )
        scorer = record.model.name if record.model is not None else scorer
        tracks |= {pose.id for pose in record.poses if pose.id is not None}
        untracked |= len(record.poses) > 1 and all(pose.id is None for pose in record.poses)
    if untracked and not tracks:
        raise UsageError(
            "dlc tells people apart by their tracks, and frames have several people and no tracks",
            "use estimate --track",
        )
    return _Clip(scorer, tuple(sorted(tracks)))


def _frames(records: Iterable[Record]) -> Iterator[Sequence[Pose]]:
    """Yield the people of each frame, from frame 0 to the last frame with a record."""
    expected = 0
    for record in records:
        if record.frame is None:
            continue
        if not expected <= record.frame < _MOST_FRAMES:
            raise UsageError(f"frame {record.frame} is out of order, or its number is too large", "sort the records")
        for _ in range(expected, record.frame):
            yield ()
        yield record.poses
        expected = record.frame + 1


def _cells(poses: Sequence[Pose], tracks: Sequence[int]) -> list[float | None]:
    by_track = {pose.id: pose for pose in poses}
    people = [by_track.get(track) for track in tracks] or [poses[0] if poses else None]
    cells: list[float | None] = []
    for pose in people:
        if pose is None:
            cells += [None] * (KEYPOINT_COUNT * len(_COORDS))
        else:
            cells += [value for p in pose.keypoints for value in (round(p.x, 2), round(p.y, 2), round(p.score, 4))]
    return cells


_SUMMARY = "the CSV of DeepLabCut for one clip: one row for each frame, one individual for each track"
FORMAT = Format("dlc", write, ".csv", _SUMMARY, needs_all=True, one_clip=True)
