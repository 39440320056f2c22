"""Where results go: output options → destinations, checked before anything is loaded."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from posecli.errors import UsageError
from posecli.files import storage
from posecli.inputs.clips import frame_output, is_clip
from posecli.inputs.name_set import Seen
from posecli.records.formats import PART_FORMATS, choose_format, get_format
from posecli.records.formats.base import Format, LineFile, WriteOptions, output_errors, whole_file
from posecli.records.journal import JOURNAL_SUFFIX, Journal, RunIdentity, finished_image, read_records, remove, take_up
from posecli.records.parts import list_parts
from posecli.run.pipeline import CLIP_EXTENSIONS, ClipOutput, clip_output_name
from posecli.run.worker import DataOutput, PictureOutput, picture_kind
from posecli.types import ImageInput, Record

_STANDARD_OUTPUT = 1
REFUSE, OVERWRITE, RESUME = "refuse", "overwrite", "resume"


class RunOutput(NamedTuple):
    """Where the records of a run go as a whole. path: a file; None: standard output.

    JSON Lines are written as they come. Any other file appears when it is whole: until then the records are in a
    journal beside it, which also stays where some inputs failed, so that they can be tried again.
    """

    format: Format
    path: str | None = None
    options: WriteOptions = WriteOptions()

    @property
    def lines_path(self) -> str:
        """The file that grows while the run goes on."""
        assert self.path is not None
        return self.path if self.format.name == "jsonl" else self.path + JOURNAL_SUFFIX

    def check(self, policy: str) -> None:
        """Raise UsageError where a file is there already and nothing was said about it."""
        if self.path is not None and storage.is_remote(self.path) and policy == RESUME:
            raise UsageError(f"{self.path} appears when the run is at its end", "--shards -o FOLDER/ can be resumed")
        if self.path is None or policy != REFUSE:
            return
        if storage.exists(self.path) and (storage.is_remote(self.path) or _is_file_or_folder(self.path)):
            raise UsageError(f"{self.path} exists already", "--overwrite replaces it, --resume carries on")
        if self.format.name != "jsonl" and os.path.lexists(self.lines_path):
            raise UsageError(
                f"{self.lines_path} is left of an unfinished run", "--resume carries on, --overwrite begins anew"
            )

    def take_up(self, policy: str, identity: RunIdentity) -> Seen:
        """What an earlier run has finished; nothing unless resuming. Raises UsageError, OutputError."""
        if self.path is None or not (os.path.isfile(self.path) or os.path.isfile(self.lines_path)):
            return Seen()
        if policy != RESUME:
            self.discard()
            return Seen()
        if not os.path.exists(self.lines_path):
            self._rebuild_journal()
        return take_up(self.lines_path, identity)

    def finished_records(self) -> Iterable[Record]:
        """What an earlier run has finished, each time it is gone through."""
        if self.path is None or not os.path.isfile(self.lines_path):
            return ()
        return [record for record in Journal(self.lines_path) if record.ok and record.frame is not None]

    def discard(self) -> None:
        """Delete what an earlier run has written line by line; whole files stay until they are replaced."""
        if self.path is not None and os.path.isfile(self.lines_path):
            remove(self.lines_path)

    def _rebuild_journal(self) -> None:
        """A finished file holds its records where its format can be read back."""
        if self.format.read is None or self.path is None:
            raise UsageError(
                f"{self.path} is whole, and records cannot be read back from it", "--overwrite makes it anew"
            )
        with whole_file(self.lines_path) as journal:
            get_format("jsonl").write(read_records(self.path), journal, self.options)

    def write(self, records: Iterable[Record]) -> None:
        """Write records until they end. Raises OutputError."""
        if self.path is None:
            self._to_standard_output(records)
            return
        if storage.is_remote(self.path):
            self._to_remote_file(records, self.path)
            return
        failures = 0

        def counted() -> Iterator[Record]:
            nonlocal failures
            for record in records:
                failures += not record.ok
                yield record

        append_lines(counted(), self.lines_path)
        if self.lines_path != self.path:
            with whole_file(self.path) as file:
                self.format.write(Journal(self.lines_path), file, self.options)
            if not failures and os.path.isfile(self.path):
                remove(self.lines_path)

    def _to_remote_file(self, records: Iterable[Record], path: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            lines = os.path.join(folder, "records.jsonl")
            append_lines(records, lines)
            with whole_file(path) as file:
                self.format.write(Journal(lines), file, self.options)

    def _to_standard_output(self, records: Iterable[Record]) -> None:
        if not self.format.needs_all:
            with output_errors("standard output"):
                self.format.write(records, LineFile(_STANDARD_OUTPUT), self.options)
            return
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "records.jsonl")
            append_lines(records, path)
            with output_errors("standard output"):
                self.format.write(Journal(path), LineFile(_STANDARD_OUTPUT), self.options)


class ShardOutput(NamedTuple):
    """Where the records of a run go in parts: a folder, inputs in one part, and the parts' format."""

    folder: str
    size: int
    kind: str = "jsonl"

    def check(self, policy: str) -> None:
        """Raise UsageError where there are parts already and nothing was said about them."""
        if policy == REFUSE and next(list_parts(self.folder), None) is not None:
            raise UsageError(
                f"{self.folder} holds parts of a run already", "--overwrite replaces them, --resume carries on"
            )


def append_lines(records: Iterable[Record], path: str) -> None:
    """Append records to a file of JSON Lines, each at once and whole. Raises OutputError."""
    with output_errors(path):
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(path, "ab", buffering=0) as lines:
            get_format("jsonl").write(records, LineFile(lines.fileno()), WriteOptions())


class Outputs(NamedTuple):
    """All that a run writes: the whole run's data, or a data file an image, and annotated pictures."""

    run: RunOutput | None
    data: DataOutput | None
    pictures: PictureOutput | None
    clips: ClipOutput | None = None
    shards: ShardOutput | None = None

    def folders(self) -> list[tuple[str, str]]:
        """Folders that get files, with the suffix that those have."""
        found = []
        if self.data is not None:
            found.append((self.data.folder, get_format(self.data.format_name).image_suffix))
        if self.pictures is not None and not self.pictures.is_file:
            found.append((self.pictures.path, "." + self.pictures.kind))
        return found

    def paths_for(self, image: ImageInput) -> list[str]:
        """The files that are made for one input."""
        drawn = self._drawn_path(image)
        whole_clip = image.frame is None and self.clips is not None and is_clip(image.name)
        first = image._replace(output=frame_output(image.output, 0)) if whole_clip else image
        data = [self.data.path_for(first)] if self.data is not None else []
        return data + ([drawn] if drawn is not None else [])

    def _drawn_path(self, image: ImageInput) -> str | None:
        """The annotated picture of an input, or clip of a clip or frame; None where there is none."""
        if self.clips is not None and (image.frame is not None or is_clip(image.name)):
            return self.clips.path_for(image.name, clip_output_name(image))
        return self.pictures.path_for(image) if self.pictures is not None else None

    def check(self, policy: str) -> None:
        """Refuse single files that exist, before anything is read. Raises UsageError."""
        for whole in (self.run, self.shards):
            if whole is not None:
                whole.check(policy)
        for output in (self.pictures, self.clips):
            if output is not None and output.is_file and policy == REFUSE and storage.exists(output.path):
                raise UsageError(f"{output.path} exists already", "--overwrite replaces it")

    def check_files(self, images: Iterable[ImageInput], policy: str) -> None:
        """Refuse outputs that exist or are an input themselves. Raises UsageError for the first."""
        for image in images:
            for path in self.paths_for(image):
                if storage.exists(path) and (policy == REFUSE or _is_same_file(path, image.name)):
                    raise UsageError(f"{path} exists already", "--overwrite replaces it, --resume carries on")

    def may_have_files(self) -> bool:
        """Whether a folder that gets files has something in it, so that each must be looked at."""
        return any(next(storage.names_in(folder), None) is not None for folder, _ in self.folders())

    def finished(self, image: ImageInput, identity: RunIdentity) -> bool:
        """Whether all files of an input are there from an earlier run. Raises UsageError where that differed."""
        if self.data is not None:
            path = self.data.path_for(image)
            is_record = get_format(self.data.format_name).keeps_failures
            if not (finished_image(path, identity) if is_record else storage.exists(path)):
                return False
        drawn = self._drawn_path(image)
        return drawn is None or storage.exists(drawn)


def choose_outputs(
    output: str | None,
    format_name: str | None,
    drawn: tuple[PictureOutput | None, ClipOutput | None],
    options: WriteOptions,
    *,
    shard_size: int | None = None,
) -> Outputs:
    """From -o, -f and what -a became to destinations; shard_size: records go into parts of so many inputs. Raises
    UsageError, MissingExtra."""
    if shard_size is not None:
        return Outputs(None, None, *drawn, choose_shards(output, format_name, shard_size))
    if output is None and any(drawn) and format_name is None:
        return Outputs(None, None, *drawn)
    folder = output is not None and (os.path.isdir(output) or output.endswith(("/", os.sep)))
    chosen = choose_format(format_name, output, folder=folder)
    if folder:
        assert output is not None
        return Outputs(None, DataOutput(output, chosen.name, options), *drawn)
    if not chosen.one_file_a_run:
        raise UsageError(f"{chosen.name} writes one file an image", "name a folder: -o FOLDER/")
    return Outputs(RunOutput(chosen, output, options._replace(path=output)), None, *drawn)


def choose_shards(output: str | None, format_name: str | None, size: int) -> ShardOutput:
    """From -o and -f to where parts go. Raises UsageError, MissingExtra."""
    if output is None or not (os.path.isdir(output) or output.endswith(("/", os.sep))):
        raise UsageError("--shards writes many files", "name a folder: -o FOLDER/")
    if format_name not in (None, *PART_FORMATS):
        raise UsageError(f"parts are not written as {format_name}", f"-f {' or -f '.join(PART_FORMATS)}")
    kind = format_name or PART_FORMATS[0]
    get_format(kind)  # raises MissingExtra here, not in a worker
    return ShardOutput(output, size, kind)


def choose_pictures(
    path: str | None, *, kind: str, extras: tuple[str, ...], background: str, one_input: bool
) -> tuple[PictureOutput | None, ClipOutput | None]:
    """From -a and its options to destinations of pictures and of clips. Raises UsageError for one file where the
    inputs may be many."""
    if path is None:
        return None, None
    kind_of_file = picture_kind(path)
    clip_file = os.path.splitext(path)[1].lower() in CLIP_EXTENSIONS
    clips = ClipOutput(path, is_file=clip_file, extras=extras, background=background)
    if (kind_of_file is None and not clip_file) or os.path.isdir(path) or path.endswith(("/", os.sep)):
        folder = PictureOutput(path, is_file=False, kind=kind, extras=extras, background=background)
        return folder, clips._replace(is_file=False)
    if not one_input:
        what = "clip" if clip_file else "picture"
        raise UsageError(f"{path} is one {what}, but the inputs may be many", "name a folder: --annotate FOLDER/")
    if clip_file:
        return None, clips
    assert kind_of_file is not None
    return PictureOutput(path, is_file=True, kind=kind_of_file, extras=extras, background=background), None


def _is_file_or_folder(path: str) -> bool:
    """Not a device or a pipe, which are there before anything is written to them."""
    return os.path.isfile(path) or os.path.isdir(path)


def _is_same_file(path: str, other: str) -> bool:
    try:
        return os.path.samefile(path, other)
    except OSError:
        return False
