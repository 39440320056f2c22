"""Converts saved records to other formats, annotated pictures and annotated clips, without the model."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from posecli.errors import UnreadableImage, UsageError
from posecli.inputs.arguments import output_name, picture_path
from posecli.inputs.clips import FrameReader, frame_output, read_file_of_frame
from posecli.inputs.opening import limit_pillow
from posecli.inputs.pictures import read_frame
from posecli.records.journal import read_records
from posecli.run.batch import write_run_file
from posecli.run.destinations import Destinations, Policy
from posecli.run.pipeline import DrawnClips, write_files
from posecli.run.report import Report
from posecli.types import ImageInput, PackedPixels, Record, Settings


class Conversion(NamedTuple):
    """The records to convert and the destinations.

    source: a file or folder of records; - is standard input.
    image_root: folder of the pictures; None: their paths in the records.
    """

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
    """Raise UsageError, before anything is written, if something cannot be written."""
    destinations, policy = conversion.destinations, conversion.policy
    names: dict[str, None] = {}
    for record in records:
        image = _input_of(record)
        destinations.check_faces(record.settings or {})
        if record.image not in names:
            names[record.image] = None
            for one_file in (destinations.pictures, destinations.clips):
                if one_file is not None and one_file.is_file and len(names) > 1:
                    raise UsageError(
                        f"{one_file.path} is one file, and there are records of {' and '.join(sorted(names))}",
                        "use a folder: --annotate FOLDER/",
                    )
        if record.frame is not None and destinations.pictures is not None and destinations.pictures.is_file:
            raise UsageError(
                f"{record.image} is a clip, and {destinations.pictures.path} is one picture", "use a .mp4 or .gif file"
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
    """Writes the files of each image. A picture that cannot be read counts as failed; its record is converted."""

    def __init__(self, conversion: Conversion, report: Report) -> None:
        self._destinations = conversion.destinations
        self._root = conversion.image_root
        self._report = report
        self._frames = FrameReader()
        self._clips = DrawnClips(conversion.destinations.clips)
        self._image: str | None = None  # the picture or clip of the last record

    def written(self, records: Iterable[Record]) -> Iterator[Record]:
        """Write the files of each record, and yield the record."""
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
        self._discard_earlier(record)
        if not record.ok:
            return
        path = picture_path(record, self._root)
        if record.frame is not None:
            source = path if record.file is None else record.image
            if self._clips.wants(source):
                pixels = self._pixels_of_frame(record, path)
                _check_size(record, path, pixels[:2])
                self._clips.add(image._replace(pixels=pixels), record.poses, source)
        elif self._destinations.pictures is not None:
            frame = read_frame(path, max_pixels=Settings.max_pixels)
            _check_size(record, path, (frame.width, frame.height))
            self._destinations.pictures.write(frame.image, record, image)

    def _pixels_of_frame(self, record: Record, path: str) -> PackedPixels:
        """The pixels of a frame, from its own file or from the clip at the path. Raises InputError."""
        if record.file is not None:
            return read_file_of_frame(path, max_pixels=Settings.max_pixels)
        assert record.frame is not None
        return self._frames.read(path, record.frame)

    def _discard_earlier(self, record: Record) -> None:
        """At the first record of a picture or clip, delete an earlier annotated file that must not stay."""
        if record.image == self._image:
            return
        self._image = record.image
        image = ImageInput(record.image, output_name(record.image))
        is_frame = record.frame is not None
        self._destinations.discard_earlier(image, picture=not is_frame, clip=is_frame or not record.ok)


def _check_size(record: Record, path: str, size: tuple[int, int]) -> None:
    """Raise UnreadableImage if the size of a picture differs from the size in its record."""
    if size != (record.width, record.height):
        raise UnreadableImage(
            f"{path} has {size[0]} x {size[1]} pixels, but the picture of the record has "
            f"{record.width} x {record.height}"
        )
