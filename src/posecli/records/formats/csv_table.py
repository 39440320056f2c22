"""CSV: a row a keypoint. A picture with nobody in it, or one that failed, has one row with the rest left empty."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from posecli.records.formats.base import ByteSink, Format, TextSink, WriteOptions, cell_text, csv_writer
from posecli.types import Record

COLUMNS = (
    "image", "frame", "time", "status", "width", "height", "person", "track", "pose_score", "id", "part", "x", "y",
    "score", "message",
)  # fmt: skip


def write(records: Iterable[Record], file: ByteSink, options: WriteOptions) -> None:
    """Write a header and the rows of each record; people are numbered from 0 in falling score."""
    writer = csv_writer(TextSink(file))
    writer.writerow(COLUMNS)
    for record in records:
        writer.writerows(_rows(record))
        file.flush()


def _rows(record: Record) -> Iterator[tuple[object, ...]]:
    time = round(record.time, 6) if record.time is not None else None
    head = (cell_text(record.image), record.frame, time, record.status, record.width, record.height)
    nothing = (None,) * 8
    if record.error is not None:
        yield (*head, *nothing, cell_text(record.error.message))
    elif not record.poses:
        yield (*head, *nothing, None)
    for person, pose in enumerate(record.poses):
        for point in pose.keypoints:
            position = round(point.x, 2), round(point.y, 2), round(point.score, 4)
            yield (*head, person, pose.id, round(pose.score, 4), point.id, point.part, *position, None)


FORMAT = Format("csv", write, ".csv")
