"""Decides which inputs of a resumed run are finished, over all their outputs.

An earlier run left raw records in its journal, or final records in its output. If neither can be read (such as one CSV
file per image), the existing files decide. An input is finished if all its outputs exist. If only its record exists, it
is replayed without the network. All other inputs are inferred.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from posecli.errors import UsageError
from posecli.records.identity import RunIdentity
from posecli.records.journal import read_image_record
from posecli.run.destinations import Destinations, ImageFiles, has_file, is_drawn
from posecli.types import ImageInput, Record


class RecordedInputs(Protocol):
    """The records of an earlier run, by input."""

    names_that_failed: set[str]

    def get(self, image: ImageInput) -> Record | None:
        """The finished record of an input, or None."""


class RecordsByKey:
    """The records of an earlier part of a shard, without inputs that failed, even in only one frame."""

    def __init__(self, records: Iterable[Record]) -> None:
        found = list(records)
        self.names_that_failed = {record.image for record in found if not record.ok}
        self._records = {record.key: record for record in found if record.image not in self.names_that_failed}

    def get(self, image: ImageInput) -> Record | None:
        """The record of an input, or None."""
        return self._records.get(image.key)


class RecordedImageFiles:
    """The records in data files of one image each."""

    def __init__(self, files: ImageFiles, identity: RunIdentity) -> None:
        self._files = files
        self._identity = identity
        self.names_that_failed: set[str] = set()

    def get(self, image: ImageInput) -> Record | None:
        """The record in the file of an input; None if there is none, or if it is a failure."""
        path = self._files.path_for(image)
        record = read_image_record(path, self._files.format_name)
        if record is None or record.image != image.name:
            return None
        if not record.ok:
            self.names_that_failed.add(image.name)
            return None
        self._identity.check(record, path)
        return record


class InputState(NamedTuple):
    """What an earlier run left of an input.

    record: the record after inference or, if `is_final`, after all steps over time.
    complete: nothing is left to do. files_missing: its own output files are missing.
    """

    record: Record | None = None
    is_final: bool = False
    complete: bool = False
    files_missing: bool = False


class Progress:
    """What is finished of each input of a resumed run.

    recorded: the records of the earlier run; None: there are none, or they cannot be read.
    steps: whether there are steps over time after inference.
    passes_all: whether finished records are needed too, for a file of all records.
    steps_choose: whether the steps leave people out, so that a record without people may be final.
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
        #: Clips whose records without people may or may not be final.
        self._doubtful_clips: set[str] = set()
        self._unfinished_clips: set[str] = set()

    def of(self, image: ImageInput) -> InputState:
        """The state of an input. Raises UsageError if its record was made by a different run."""
        if image.failure is not None:
            return InputState()
        record = self._recorded.get(image) if self._recorded is not None else None
        if record is None:
            return InputState(complete=self._is_complete_by_files(image))
        if (record.file, record.time) != (image.file, image.time) and image.file is not None:
            raise UsageError(
                f"cannot resume: frame {image.frame} of {image.name} was {record.file} at {record.time} s, and is now "
                f"{image.file} at {image.time} s",
                "--overwrite starts again",
            )
        is_final = self._steps and bool(record.poses) and _has_taken_steps(record)
        doubtful = not record.poses and image.name in self._doubtful_clips
        if (is_final or doubtful) and image.name in self._unfinished_clips:
            return InputState()
        files_missing = self._is_file_missing(image)
        wanted = self._passes_all or files_missing or (image.frame is not None and self._needs_frame(image, record))
        return InputState(record, is_final, complete=not wanted, files_missing=files_missing)

    def examine_clip(self, frames: Iterable[ImageInput]) -> int | None:
        """Examine all frames of a clip before the first is processed. Return their number if the clip is finished, or
        None.

        If a frame is missing, the whole clip is drawn again. If its people are tracked, its final records cannot be
        used, and are inferred again. The same holds for records without people that may be final.
        """
        found = [(frame.name, self.of(frame)) for frame in frames]
        if all(state.complete for _, state in found):
            return len(found)
        with_finals = {state.is_final for _, state in found if state.record is not None and state.record.poses}
        if len(with_finals) > 1 or any(state.record is None for _, state in found):
            self._unfinished_clips.update(name for name, _ in found)
            if self._steps_choose and with_finals != {False}:
                self._doubtful_clips.update(name for name, _ in found)
        return None

    def must_draw_clip(self, image: ImageInput) -> bool:
        """Whether the annotated clip of a frame is missing, or was drawn when some of its frames were missing."""
        if self._destinations.clips is None:
            return False
        failed = self._recorded is not None and image.name in self._recorded.names_that_failed
        return failed or image.name in self._unfinished_clips or not self._destinations.is_drawn(image)

    def _needs_frame(self, image: ImageInput, record: Record) -> bool:
        """Whether a frame with a record is needed: for steps over time that are not done, or to be drawn."""
        return (self._steps and not _has_taken_steps(record)) or self.must_draw_clip(image)

    def _is_file_missing(self, image: ImageInput) -> bool:
        files, pictures = self._destinations.image_files, self._destinations.pictures
        if files is not None and not has_file(files.path_for(image)):
            return True
        return image.frame is None and pictures is not None and not is_drawn(pictures, image)

    def _is_complete_by_files(self, image: ImageInput) -> bool:
        """Whether all files of an input exist, if files are its only output and do not contain records."""
        destinations = self._destinations
        if destinations.run_file is not None or self._recorded is not None or self._passes_all:
            return False
        if image.name in self._unfinished_clips:
            return False
        return not self._is_file_missing(image) and destinations.is_drawn(image)


def _has_taken_steps(record: Record) -> bool:
    """Whether a record of a tracked run is final: only raw records have appearances."""
    return not any(pose.appearance for pose in record.poses)


class NothingFinished(Progress):
    """The progress of a new run: nothing is finished."""

    def __init__(self, destinations: Destinations) -> None:
        super().__init__(None, destinations, steps=False, passes_all=True)

    def examine_clip(self, frames: Iterable[ImageInput]) -> int | None:
        """None: no clip is finished."""
        return None

    def must_draw_clip(self, image: ImageInput) -> bool:
        """True if clips are drawn at all."""
        return self._destinations.clips is not None


def recorded_image_files(destinations: Destinations, identity: RunIdentity) -> RecordedImageFiles | None:
    """The records in the files of single images; None if the format does not contain records."""
    files = destinations.image_files
    if files is None or not files.hold_records:
        return None
    return RecordedImageFiles(files, identity)
