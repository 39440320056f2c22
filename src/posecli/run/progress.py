"""What is finished: one answer for an input, over all that is written for it.

An earlier run has left raw records in its journal, or final ones in what it wrote; where neither can be read back (a
CSV file of an image), the files themselves tell. An input is finished when everything is there; what has its record is
replayed without the network; everything else is inferred.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from posecli.errors import UsageError
from posecli.records.identity import RunIdentity
from posecli.records.journal import read_image_record
from posecli.run.destinations import Destinations, ImageFiles, has_file
from posecli.types import ImageInput, Record


class RecordedInputs(Protocol):
    """Records of an earlier run by input."""

    names_that_failed: set[str]

    def get(self, image: ImageInput) -> Record | None:
        """The finished record of an input, or None."""


class RecordsByKey:
    """The records of an earlier part of a shard. An input of which anything failed is not known."""

    def __init__(self, records: Iterable[Record]) -> None:
        found = list(records)
        self.names_that_failed = {record.image for record in found if not record.ok}
        self._records = {record.key: record for record in found if record.image not in self.names_that_failed}

    def get(self, image: ImageInput) -> Record | None:
        """The record of an input, or None."""
        return self._records.get(image.key)


class RecordedImageFiles:
    """JSON files of one image each."""

    def __init__(self, files: ImageFiles, identity: RunIdentity) -> None:
        self._files = files
        self._identity = identity
        self.names_that_failed: set[str] = set()

    def get(self, image: ImageInput) -> Record | None:
        """The record in the file of an input, or None where there is none or it failed."""
        path = self._files.path_for(image)
        record = read_image_record(path, self._files.format_name)
        if record is None or record.image != image.name:
            return None
        if not record.ok:
            self.names_that_failed.add(image.name)
            return None
        self._identity.check(record, path)
        return record


class Known(NamedTuple):
    """What is known of an input. record: what inference said, or with `is_final` what came of it after all steps;
    complete: nothing is missing; files_missing: its own files are."""

    record: Record | None = None
    is_final: bool = False
    complete: bool = False
    files_missing: bool = False


class Progress:
    """Answers for every input of a run that takes up an earlier one.

    recorded: its records; None: they cannot be read back, or there are none.
    steps: whether anything is done to records of frames after inference.
    passes_all: whether every record is wanted once more, finished or not, for what is written of all of them.
    steps_choose: whether the steps leave people out, so that a record of nobody may be final too.
    """

    def __init__(
        self,
        recorded: RecordedInputs | None,
        destinations: Destinations,
        *,
        steps: bool,
        passes_all: bool,
        steps_choose: bool = False,
    ) -> None:
        self._recorded = recorded
        self._destinations = destinations
        self._steps = steps
        self._passes_all = passes_all
        self._steps_choose = steps_choose
        #: Clips of which it is not known whether records of nobody are final.
        self._doubtful_clips: set[str] = set()
        self._unfinished_clips: set[str] = set()

    def of(self, image: ImageInput) -> Known:
        """What is known of an input. Raises UsageError where another run made it."""
        if image.failure is not None:
            return Known()
        record = self._recorded.get(image) if self._recorded is not None else None
        if record is None:
            return Known(complete=self._is_complete_by_files(image))
        if (record.file, record.time) != (image.file, image.time) and image.file is not None:
            raise UsageError(
                f"cannot resume: frame {image.frame} of {image.name} was {record.file} at {record.time} s, and is "
                f"{image.file} at {image.time} s now",
                "--overwrite begins anew",
            )
        is_final = self._steps and bool(record.poses) and _has_taken_steps(record)
        doubtful = not record.poses and image.name in self._doubtful_clips
        if (is_final or doubtful) and image.name in self._unfinished_clips:
            return Known()
        files_missing = self._is_file_missing(image)
        wanted = self._passes_all or files_missing or (image.frame is not None and self._needs_frame(image, record))
        return Known(record, is_final, complete=not wanted, files_missing=files_missing)

    def examine_clip(self, frames: Iterable[ImageInput]) -> int | None:
        """Look at all frames of a clip before the first is passed on. How many there are where nothing is missing,
        else None.

        A clip of which a frame is missing is drawn again as a whole. Where its people are tracked, its final records
        are worth nothing then: they are inferred again. So are records of nobody that may be final.
        """
        found = [(frame.name, self.of(frame)) for frame in frames]
        if all(known.complete for _, known in found):
            return len(found)
        with_finals = {known.is_final for _, known in found if known.record is not None and known.record.poses}
        if len(with_finals) > 1 or any(known.record is None for _, known in found):
            self._unfinished_clips.update(name for name, _ in found)
            if self._steps_choose and with_finals != {False}:
                self._doubtful_clips.update(name for name, _ in found)
        return None

    def must_draw_clip(self, image: ImageInput) -> bool:
        """Whether the annotated clip of a frame is missing, or was drawn while frames of it were."""
        if self._destinations.clips is None:
            return False
        failed = self._recorded is not None and image.name in self._recorded.names_that_failed
        return failed or image.name in self._unfinished_clips or not self._destinations.is_drawn(image)

    def _needs_frame(self, image: ImageInput, record: Record) -> bool:
        """Whether a frame whose record is known has to pass: for steps that it has not taken, or to be drawn."""
        return (self._steps and not _has_taken_steps(record)) or self.must_draw_clip(image)

    def _is_file_missing(self, image: ImageInput) -> bool:
        files, pictures = self._destinations.image_files, self._destinations.pictures
        if files is not None and not has_file(files.path_for(image)):
            return True
        return image.frame is None and pictures is not None and not pictures.is_drawn(image)

    def _is_complete_by_files(self, image: ImageInput) -> bool:
        """Whether all files of an input are there where files are all that is written of it, and hold no records."""
        destinations = self._destinations
        if destinations.run_file is not None or self._recorded is not None or self._passes_all:
            return False
        if image.name in self._unfinished_clips:
            return False
        return not self._is_file_missing(image) and destinations.is_drawn(image)


def _has_taken_steps(record: Record) -> bool:
    """Whether a record of a tracked run is what came of it in the end: appearances are in raw records only."""
    return not any(pose.clothes for pose in record.poses)


class NothingKnown(Progress):
    """The progress of a run that begins anew."""

    def __init__(self, destinations: Destinations) -> None:
        super().__init__(None, destinations, steps=False, passes_all=True)

    def examine_clip(self, frames: Iterable[ImageInput]) -> int | None:
        """There is nothing to be found."""
        return None

    def must_draw_clip(self, image: ImageInput) -> bool:
        """All clips are drawn."""
        return self._destinations.clips is not None


def recorded_image_files(destinations: Destinations, identity: RunIdentity) -> RecordedImageFiles | None:
    """Files of one image as records, where their format holds them."""
    files = destinations.image_files
    if files is None or not files.hold_records:
        return None
    return RecordedImageFiles(files, identity)
