"""Saved records → other formats, annotated pictures and clips, without the model."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from posecli.errors import UsageError
from posecli.inputs.arguments import output_name, picture_path
from posecli.inputs.clips import FrameReader, frame_output, read_file_of_frame
from posecli.inputs.opening import limit_pillow
from posecli.inputs.pictures import read_frame
from posecli.records.journal import read_records
from posecli.run.batch import write_run_file
from posecli.run.destinations import Destinations, Policy
from posecli.run.pipeline import DrawnClips, write_files
from posecli.run.report import Report
from posecli.types import ImageInput, Record, Settings


class Conversion(NamedTuple):
    """What is to be written of which records. source: a file or folder of records, - for standard input; image_root:
    where pictures are, if not where the records say."""

    source: str
    destinations: Destinations
    policy: Policy
    image_root: str | None = None


def convert(conversion: Conversion, *, quiet: bool) -> int:
    """Write everything; return the exit status. Raises UsageError, FatalError."""
    with conversion.destinations.locked():
        return _convert(conversion, quiet=quiet)


def _convert(conversion: Conversion, *, quiet: bool) -> int:
    destinations = conversion.destinations
    destinations.check(conversion.policy, resumes=False)
    records: Iterable[Record] = read_records(conversion.source)
    if conversion.source == "-":
        records = list(records)
        _check(conversion, records)
    else:
        _check(conversion, records)
        records = read_records(conversion.source)
    report = Report(quiet=quiet)
    drawer = _Drawer(conversion, report)
    written = drawer.written(records)
    if destinations.run_file is not None:
        write_run_file(written, destinations.run_file)
    else:
        for _ in written:
            pass
    report.close()
    return report.exit_status()


def _check(conversion: Conversion, records: Iterable[Record]) -> None:
    """Refuse what cannot be written, before anything is. Raises UsageError."""
    destinations, policy = conversion.destinations, conversion.policy
    names: dict[str, None] = {}
    for record in records:
        image = _input_of(record)
        if record.image not in names:
            names[record.image] = None
            for one_file in (destinations.pictures, destinations.clips):
                if one_file is not None and one_file.is_file and len(names) > 1:
                    raise UsageError(
                        f"{one_file.path} is one file, and there are records of {' and '.join(sorted(names))}",
                        "name a folder: --annotate FOLDER/",
                    )
        if record.frame is not None and destinations.pictures is not None and destinations.pictures.is_file:
            raise UsageError(
                f"{record.image} is a clip, and {destinations.pictures.path} is one picture", "name a .mp4 or .gif file"
            )
        destinations.check_files([image], policy, resumes=False)
    inputs = (ImageInput(name, output_name(name)) for name in names)
    deque(destinations.without_collisions(inputs), maxlen=0)


def _input_of(record: Record) -> ImageInput:
    image = ImageInput(record.image, output_name(record.image))
    if record.frame is None:
        return image
    output = frame_output(image.output, record.frame)
    return image._replace(output=output, frame=record.frame, time=record.time, file=record.file)


class _Drawer:
    """Writes the files of each image. A picture that cannot be read counts as failed, and its record goes on."""

    def __init__(self, conversion: Conversion, report: Report) -> None:
        self._destinations = conversion.destinations
        self._root = conversion.image_root
        self._report = report
        self._frames = FrameReader()
        self._clips = DrawnClips(conversion.destinations.clips)

    def written(self, records: Iterable[Record]) -> Iterator[Record]:
        """Records on their way to the file of the run."""
        limit_pillow(Settings.max_pixels)
        try:
            for record in records:
                image = _input_of(record)
                self._report.count(write_files((self._write_data, self._draw), record, image) or record)
                yield record
            self._clips.finish()
        except BaseException as error:
            self._clips.abandon(error)
            raise

    def _write_data(self, record: Record, image: ImageInput) -> None:
        if self._destinations.image_files is not None:
            self._destinations.image_files.write(record, image)

    def _draw(self, record: Record, image: ImageInput) -> None:
        if not record.ok:
            return
        path = picture_path(record, self._root)
        if record.file is not None:
            if self._clips.wants(record.image):
                pixels = read_file_of_frame(path, max_pixels=Settings.max_pixels)
                self._clips.add(image._replace(pixels=pixels), record.poses, record.image)
        elif record.frame is not None:
            if self._clips.wants(path):
                pixels = self._frames.read(path, record.frame)
                self._clips.add(image._replace(pixels=pixels), record.poses, path)
        elif self._destinations.pictures is not None:
            frame = read_frame(path, max_pixels=Settings.max_pixels)
            self._destinations.pictures.write(frame.image, record, image)
