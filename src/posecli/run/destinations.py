"""Where a run writes: the kinds of destinations, the output paths of an input, and the checks of existing outputs.

The checks before a run, --dry-run, --resume and the writers all use this module.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

from posecli.errors import MissingExtra, UsageError
from posecli.extras import install_extra
from posecli.files import storage
from posecli.files.atomic import (
    name_errors_of_one_file,
    output_errors,
    output_exists,
    remove,
    remove_dead_temporaries,
    remove_dead_temporaries_beside,
)
from posecli.files.lock import LOCK_SUFFIX, locked
from posecli.inputs.clip_decoder import is_clip
from posecli.inputs.clips import can_read_videos, frame_output, is_video
from posecli.inputs.folder_clips import clips_apart
from posecli.inputs.name_set import NameSet
from posecli.records.formats import PART_FORMATS, choose_format, get_format
from posecli.records.formats.base import Format, WriteOptions, output_path
from posecli.records.identity import digest
from posecli.records.journal import JOURNAL_SUFFIX
from posecli.records.parts import list_parts
from posecli.render.picture_writer import picture_kind, save_picture
from posecli.types import Drawing, ImageInput, Record, Settings

if TYPE_CHECKING:
    from PIL import Image

    from posecli.render.clip_drawing import ClipDrawing

#: Extensions of an annotated clip that -a names.
CLIP_EXTENSIONS = (".mp4", ".gif")
#: Settings that leave people out of the records → their options.
_LEAVES_PEOPLE_OUT = {
    "person": "--person", "region": "--region", "decoder": "--decoder single", "max_poses": "a small --max-poses",
}  # fmt: skip
_LOCK_PREFIX = ".posecli"
_FOLDER_JOURNAL = _LOCK_PREFIX + JOURNAL_SUFFIX


class Policy(Enum):
    """What happens to existing outputs."""

    REFUSE = "refuse"
    OVERWRITE = "overwrite"
    RESUME = "resume"


class RunFile(NamedTuple):
    """One file for the records of all inputs. path: None for standard output."""

    format: Format
    path: str | None = None
    options: WriteOptions = WriteOptions()

    @property
    def journal_path(self) -> str:
        """The path of its journal, in the same folder."""
        assert self.path is not None
        return self.path + JOURNAL_SUFFIX

    @property
    def is_lines(self) -> bool:
        """Whether it is written line by line during the run."""
        return self.format.name == "jsonl"

    def check(self, policy: Policy, *, resumes: bool) -> None:
        """Raise UsageError if the file exists and the policy is to refuse. resumes: see `Destinations.check`."""
        if self.path is not None and storage.is_remote(self.path) and policy is Policy.RESUME:
            raise UsageError(
                f"{self.path} is written at the end of the run, so it cannot be resumed", "use --shards -o FOLDER/"
            )
        if self.path is None or policy is not Policy.REFUSE:
            return
        if output_exists(self.path) and (storage.is_remote(self.path) or _is_file_or_folder(self.path)):
            raise UsageError(f"{self.path} already exists", _policy_hint(resumes=resumes))
        if os.path.lexists(self.journal_path):
            hint = "--resume continues it, --overwrite starts again" if resumes else "--overwrite ignores it"
            raise UsageError(f"{self.journal_path} is the journal of an unfinished run", hint)


class ImageFiles(NamedTuple):
    """One data file per picture or frame, in a folder."""

    folder: str
    format_name: str
    options: WriteOptions = WriteOptions()

    @property
    def hold_records(self) -> bool:
        """Whether records can be read from the files."""
        return get_format(self.format_name).read is not None

    def path_for(self, image: ImageInput) -> str:
        """The path of the data file of an input."""
        return output_path(self.folder, image.output, get_format(self.format_name).image_suffix)

    def write(self, record: Record, image: ImageInput) -> None:
        """Write the file of one image, atomically. Raises OutputError, and InputError if the file cannot exist."""
        path = self.path_for(image)
        with name_errors_of_one_file(path, self.folder):
            get_format(self.format_name).write_image(record, path, self.options)


class Shards(NamedTuple):
    """Part files in a folder. size: inputs per part."""

    folder: str
    size: int
    kind: str = "jsonl"

    def check(self, policy: Policy) -> None:
        """Raise UsageError if there are parts and the policy is to refuse."""
        if policy is not Policy.REFUSE:
            return
        with output_errors(self.folder):
            has_parts = next(list_parts(self.folder), None) is not None
        if has_parts:
            raise UsageError(
                f"{self.folder} already contains parts of a run", "--overwrite replaces them, --resume continues it"
            )


class AnnotatedPictures(NamedTuple):
    """Annotated pictures: a folder, or one picture at `path` if `is_file`."""

    path: str
    is_file: bool
    kind: str = "png"  # png, jpg or webp
    drawing: Drawing = Drawing()

    def path_for(self, image: ImageInput) -> str:
        """The path of the annotated picture of an input."""
        return self.path if self.is_file else output_path(self.path, image.output, "." + self.kind)

    def write(self, picture: Image.Image, record: Record, image: ImageInput) -> None:
        """Draw the people of a record over its picture, and write the result atomically.

        Raises OutputError, and InputError if the file cannot exist.
        """
        from posecli.render.draw import draw  # imported only if needed, since it is slow to load

        drawn = draw(picture, record.poses, self.drawing)
        path = self.path_for(image)
        with nullcontext() if self.is_file else name_errors_of_one_file(path, self.path):
            save_picture(drawn, path, self.kind)


class AnnotatedClips(NamedTuple):
    """Annotated clips: a folder (a/x.mp4 gives a/x.mp4.mp4), or one clip at `path` if `is_file`."""

    path: str
    is_file: bool
    drawing: Drawing = Drawing()

    def kind_for(self, image: ImageInput) -> str:
        """mp4 or gif: from the extension of a file; in a folder, videos become mp4 and other clips gif."""
        named = os.path.splitext(self.path)[1].lower() if self.is_file else ""
        if named in CLIP_EXTENSIONS:
            return named[1:]
        is_folder = image.file is not None or bool(image.members)
        return "mp4" if (is_folder and can_read_videos()) or is_video(image.name) else "gif"

    def path_for(self, image: ImageInput) -> str:
        """The path of the annotated clip of a clip, or of the clip of a frame."""
        clip = image.output.removesuffix(frame_output("", image.frame)) if image.frame is not None else image.output
        return self.path if self.is_file else output_path(self.path, clip, "." + self.kind_for(image))

    def begin(self, image: ImageInput, source: str) -> ClipDrawing:
        """Begin the annotated clip of a frame. source: the file of the frame.

        Raises OutputError, and InputError if the file cannot exist.
        """
        from posecli.render.clip_drawing import ClipDrawing  # imported only if needed, since it is slow to load

        path, kind = self.path_for(image), self.kind_for(image)
        with nullcontext() if self.is_file else name_errors_of_one_file(path, self.path):
            return ClipDrawing(source, path, kind, self.drawing)


class Destinations(NamedTuple):
    """All that a run writes."""

    run_file: RunFile | None = None
    image_files: ImageFiles | None = None
    pictures: AnnotatedPictures | None = None
    clips: AnnotatedClips | None = None
    shards: Shards | None = None

    def folders(self) -> list[tuple[str, str]]:
        """Folders with one file per image, and the suffix of their files."""
        found = []
        if self.image_files is not None:
            found.append((self.image_files.folder, get_format(self.image_files.format_name).image_suffix))
        if self.pictures is not None and not self.pictures.is_file:
            found.append((self.pictures.path, "." + self.pictures.kind))
        return found

    def _local_folders(self) -> list[str]:
        """Local folders that are written to, each once."""
        found = [folder for folder, _ in self.folders()] + ([self.shards.folder] if self.shards is not None else [])
        if self.clips is not None and not self.clips.is_file:
            found.append(self.clips.path)
        return [folder for folder in dict.fromkeys(found) if not storage.is_remote(folder)]

    def paths_for(self, image: ImageInput) -> list[str]:
        """The output files of one input. For a clip, only the first of its data files is included.

        If the input is a folder read as a clip, clips inside it are included too.
        """
        if image.members:
            apart = list(clips_apart(image, lambda member: is_clip(member.name)))
            if apart != [image]:
                return [path for each in apart for path in self.paths_for(each)]
        drawn = self.drawn_path(image)
        whole_clip = image.frame is None and self.clips is not None and is_clip(image.name)
        whole_clip = whole_clip or bool(image.members)
        first = image._replace(output=frame_output(image.output, 0)) if whole_clip else image
        data = [self.image_files.path_for(first)] if self.image_files is not None else []
        return data + ([drawn] if drawn is not None else [])

    def drawn_path(self, image: ImageInput) -> str | None:
        """The annotated picture of an input, or the annotated clip of a clip or frame; None if there is none."""
        output = self._drawn_output(image)
        return output.path_for(image) if output is not None else None

    def is_drawn(self, image: ImageInput) -> bool:
        """Whether nothing needs to be drawn for an input: no drawing is asked for, or it exists and may be kept."""
        output = self._drawn_output(image)
        return output is None or is_drawn(output, image)

    def discard_earlier(self, image: ImageInput, *, picture: bool, clip: bool) -> None:
        """Delete what an earlier run drew of an input and must not stay, even if the input fails. Raises OutputError.

        picture, clip: whether the input may be a picture, and whether it may be a clip.
        """
        for output, wanted in ((self.pictures, picture), (self.clips, clip)):
            if wanted and output is not None and not output.drawing.may_keep_earlier:
                remove(output.path_for(image))

    def _drawn_output(self, image: ImageInput) -> AnnotatedPictures | AnnotatedClips | None:
        if self.clips is not None and (image.frame is not None or image.members or is_clip(image.name)):
            return self.clips
        return self.pictures

    def all_records(self) -> str | None:
        """The path that --dry-run shows for the records of all inputs; None if there is none."""
        if self.shards is not None:
            return os.path.join(self.shards.folder, f"part-*.{self.shards.kind}")
        return self.run_file.path if self.run_file is not None else None

    def journal_path(self, *, steps: bool) -> str | None:
        """The file of raw records during a run; None if the output itself contains them, or nothing does.

        steps: whether there are steps over time after inference.
        """
        if self.run_file is not None:
            path = self.run_file.path
            if path is None or storage.is_remote(path) or _is_device(path):
                return None
            return path if self.run_file.is_lines and not steps else self.run_file.journal_path
        if self.image_files is not None:
            folder = self.image_files.folder if steps or not self.image_files.hold_records else None
        else:
            folder = self.pictures.path if self.pictures is not None and not self.pictures.is_file else None
        return None if folder is None or storage.is_remote(folder) else os.path.join(folder, _FOLDER_JOURNAL)

    def keep_journal_of_failures(self, *, steps: bool) -> bool:
        """Whether the journal of a finished run stays if inputs failed. steps: see `journal_path`.

        The journal of a folder is deleted unless steps need its records: the existing files show what is finished.
        """
        return steps or self.run_file is not None

    def locked(self) -> AbstractContextManager[None]:
        """Lock all outputs against other runs during the block. Raises UsageError if another run has a lock."""
        return locked(self._locks())

    def _locks(self) -> Iterator[tuple[str, str]]:
        for folder in self._local_folders():
            yield os.path.join(os.path.realpath(folder), _LOCK_PREFIX + LOCK_SUFFIX), folder
        for output in (self.run_file, self.pictures, self.clips):
            path = output.path if output is not None and getattr(output, "is_file", True) else None
            if path is not None and not storage.is_remote(path) and not _is_device(path):
                folder, name = os.path.split(os.path.realpath(path))
                yield os.path.join(folder, f"{_LOCK_PREFIX}-{digest([name])}{LOCK_SUFFIX}"), path

    def check(self, policy: Policy, *, resumes: bool = True) -> None:
        """Raise UsageError, before anything is read, if a single output file exists and the policy is to refuse.

        resumes: whether the command has --resume.
        """
        if self.run_file is not None:
            self.run_file.check(policy, resumes=resumes)
        if self.shards is not None:
            self.shards.check(policy)
        for output in (self.pictures, self.clips):
            if output is not None and output.is_file and policy is Policy.REFUSE and output_exists(output.path):
                raise UsageError(f"{output.path} already exists", "--overwrite replaces it")

    def check_one_input(self, name: str, *, as_clip: bool = False) -> None:
        """Raise UsageError if an output is for a clip and the only input is a picture, or the reverse.

        as_clip: the input is a folder read as a clip. Raises MissingExtra for a video if the extra is not installed.
        """
        clip_format = self.run_file.format if self.run_file is not None and self.run_file.format.one_clip else None
        one_picture = self.pictures if self.pictures is not None and self.pictures.is_file else None
        drawn_clip = self.clips if self.clips is not None and self.clips.is_file and self.pictures is None else None
        if clip_format is None and one_picture is None and drawn_clip is None:
            return
        is_clip = as_clip or _is_clip(name)
        if clip_format is not None and not is_clip:
            raise UsageError(f"{name} is a picture, and the format {clip_format.name} is for clips", "use -f csv")
        if one_picture is not None and is_clip:
            wanted = " or ".join(CLIP_EXTENSIONS)
            raise UsageError(f"{name} is a clip, and {one_picture.path} is one picture", f"use a {wanted} file")
        if drawn_clip is not None and not is_clip and storage.is_remote(name):
            raise UsageError(f"{name} is remote, and clips are read from local files only", "download it first")
        if drawn_clip is not None and not is_clip:
            raise UsageError(f"{name} is a picture, and {drawn_clip.path} is a clip", "use a .png, .jpg or .webp file")

    def check_tracks(self, settings: Settings) -> None:
        """Raise UsageError if the format needs tracks, and there may be several people without tracks."""
        several = settings.decoder == "multi" and settings.max_poses > 1 and settings.person is None
        if self.run_file is not None and self.run_file.format.one_clip and several and not settings.track:
            name = self.run_file.format.name
            raise UsageError(
                f"the format {name} needs tracks if there are several people", "add --track or --max-poses 1"
            )

    def check_faces(self, settings: Mapping[str, Any]) -> None:
        """Raise UsageError if faces are to be hidden and the settings leave people out: their faces would be visible.

        settings: as in records.
        """
        if all(output is None or output.drawing.faces is None for output in (self.pictures, self.clips)):
            return
        for name, option in _LEAVES_PEOPLE_OUT.items():
            value, default = settings.get(name), getattr(Settings, name)
            enough = name == "max_poses" and value is not None and value >= default
            if value is not None and value != default and not enough:
                raise UsageError(
                    f"{option} leaves people out, and their faces would not be hidden",
                    f"run without {option} to hide faces",
                )

    def check_endless(self, watched: str, policy: Policy) -> None:
        """Check the outputs of a run that watches a folder. watched: that folder.

        Raises UsageError for an output that is written at the end of a run, for annotated pictures in the watched
        folder, which would be processed as new pictures, and for an output folder that is not empty if the policy is
        to refuse: the names of the output files are not known in advance.
        """
        file = self.run_file
        at_the_end = file is not None and not file.is_lines and (file.path is not None or file.format.needs_all)
        if at_the_end or (file is not None and file.path is not None and storage.is_remote(file.path)):
            place = file.path if file is not None and file.path is not None else "standard output"
            raise UsageError(
                f"{place} would be written at the end of the run, but --watch does not end",
                "use -o FILE.jsonl, then `posecli convert`",
            )
        for drawn in (self.pictures, self.clips):
            if drawn is not None and storage.is_same(drawn.path, watched):
                raise UsageError(
                    f"{drawn.path} is watched: annotated pictures in it would be processed as new pictures",
                    "use another folder, which may be inside it",
                )
        for folder, _ in self.folders():
            if policy is Policy.REFUSE and _holds_visible(folder):
                raise UsageError(f"{folder} already contains files", _policy_hint(resumes=True))

    def check_files(self, images: Iterable[ImageInput], policy: Policy, *, resumes: bool = True) -> None:
        """Raise UsageError for the first output that exists, if the policy is to refuse, or that is its own input.

        resumes: see `check`.
        """
        for image in images:
            for path in self.paths_for(image):
                if has_file(path) and (policy is Policy.REFUSE or storage.is_same(path, image.name)):
                    raise UsageError(f"{path} already exists", _policy_hint(resumes=resumes))

    def without_collisions(self, images: Iterable[ImageInput]) -> Iterator[ImageInput]:
        """Yield the inputs. Raises UsageError if two of them have the same output file."""
        taken = NameSet()
        for image in images:
            for path in self.paths_for(image):
                if path in taken:
                    raise UsageError(
                        f"{image.name} and another input would both be written to {path}",
                        "write them to two folders, or name a common parent folder as the input",
                    )
                taken.add(path)
            yield image

    def may_have_files(self) -> bool:
        """Whether an output folder is not empty, so that each output file must be checked."""
        for folder, _ in self.folders():
            with output_errors(folder):
                if next(storage.names_in(folder), None) is not None:
                    return True
        return False

    def remove_dead_temporaries(self) -> None:
        """Delete temporary files of killed runs."""
        for folder in self._local_folders():
            remove_dead_temporaries(folder)
        for output in (self.run_file, self.pictures, self.clips):
            if output is not None and output.path is not None and not storage.is_remote(output.path):
                remove_dead_temporaries_beside(output.path)


def choose_destinations(
    output: str | None,
    format_name: str | None,
    drawn: tuple[AnnotatedPictures | None, AnnotatedClips | None],
    options: WriteOptions,
    *,
    one_input: bool,
    shard_size: int | None = None,
) -> Destinations:
    """Make destinations from the options. Raises UsageError, MissingExtra.

    output, format_name: -o and -f.
    drawn: the result of `choose_annotation`.
    one_input: there can be only one input.
    shard_size: inputs per part; None: no parts.
    """
    pictures, clips = drawn
    if shard_size is not None:
        return Destinations(None, None, pictures, clips, _choose_shards(output, format_name, shard_size))
    if output is None and any(drawn) and format_name is None:
        return Destinations(None, None, pictures, clips)
    folder = output is not None and (os.path.isdir(output) or output.endswith(("/", os.sep)))
    chosen = choose_format(format_name, output, folder=folder)
    if chosen.one_clip and (folder or not one_input):
        raise UsageError(
            f"the format {chosen.name} writes one clip to one file", "name one clip and one file: CLIP -o FILE.csv"
        )
    if folder:
        assert output is not None
        return Destinations(None, ImageFiles(output, chosen.name, options), pictures, clips)
    if not chosen.one_file_a_run:
        raise UsageError(f"the format {chosen.name} writes one file per image", "use a folder: -o FOLDER/")
    beside = output if output is not None and not _is_device(output) else None
    return Destinations(RunFile(chosen, output, options._replace(path=beside)), None, pictures, clips)


def _choose_shards(output: str | None, format_name: str | None, size: int) -> Shards:
    if output is None or not (os.path.isdir(output) or output.endswith(("/", os.sep))):
        raise UsageError("--shards writes many files", "use a folder: -o FOLDER/")
    if format_name not in (None, *PART_FORMATS):
        raise UsageError(f"--shards cannot write {format_name}", f"use -f {' or -f '.join(PART_FORMATS)}")
    kind = format_name or PART_FORMATS[0]
    get_format(kind)  # raises MissingExtra now, not later in a worker
    return Shards(output, size, kind)


def choose_annotation(
    path: str | None, *, kind: str, drawing: Drawing, one_input: bool
) -> tuple[AnnotatedPictures | None, AnnotatedClips | None]:
    """Make the destinations of annotated pictures and clips from -a and its options.

    Raises UsageError for one file if there may be several inputs, for an unknown extension, and for hidden faces
    without -a; MissingExtra for a video if the extra is not installed.
    """
    if path is None:
        if drawing.faces is not None:
            raise UsageError("faces are hidden only in annotated pictures and clips", "add -a FOLDER/")
        return None, None
    extension = os.path.splitext(path)[1].lower()
    kind_of_file, clip_file = picture_kind(path), extension in CLIP_EXTENSIONS
    clips = AnnotatedClips(path, is_file=clip_file, drawing=drawing)
    is_folder = os.path.isdir(path) or path.endswith(("/", os.sep))
    if extension and kind_of_file is None and not clip_file and not is_folder:
        raise UsageError(
            f"the extension of {path} is not one of a picture or clip",
            "use .png, .jpg, .webp, .mp4 or .gif, or a folder: its path ends with /",
        )
    if is_folder or not extension:
        folder = AnnotatedPictures(path, is_file=False, kind=kind, drawing=drawing)
        return folder, clips._replace(is_file=False)
    if not one_input:
        what = "clip" if clip_file else "picture"
        raise UsageError(f"{path} is one {what}, but there may be several inputs", "use a folder: --annotate FOLDER/")
    if extension == ".mp4":
        _check_extra_of_videos(path)
    if clip_file:
        return None, clips
    assert kind_of_file is not None
    return AnnotatedPictures(path, is_file=True, kind=kind_of_file, drawing=drawing), None


def _holds_visible(folder: str) -> bool:
    """Whether a folder exists and contains a file that is not hidden; locks are hidden. Raises OutputError."""
    with output_errors(folder):
        return any(not name.startswith(".") for name in storage.names_in(folder))


def _policy_hint(*, resumes: bool) -> str:
    """The hint for an output that exists."""
    return "--overwrite replaces it, --resume continues the run" if resumes else "--overwrite replaces it"


def _is_clip(name: str) -> bool:
    """Whether an input has frames. Raises MissingExtra for a video if the extra is not installed."""
    if is_video(name):
        _check_extra_of_videos(name)
    return is_clip(name)


def _check_extra_of_videos(path: str) -> None:
    if not can_read_videos():
        raise MissingExtra(f"{path} is a video, and the extra video is not installed", install_extra("video"))


def is_drawn(output: AnnotatedPictures | AnnotatedClips, image: ImageInput) -> bool:
    """Whether the annotated picture or clip of an input exists and may be kept."""
    return output.drawing.may_keep_earlier and has_file(output.path_for(image))


def has_file(path: str) -> bool:
    """Whether an output file exists. A folder does not count, since it cannot be replaced by a file.

    Raises OutputError if a remote store does not answer.
    """
    return output_exists(path) and not os.path.isdir(path)


def _is_file_or_folder(path: str) -> bool:
    """False for a device or a pipe, which exist before anything is written to them."""
    return os.path.isfile(path) or os.path.isdir(path)


def _is_device(path: str) -> bool:
    return os.path.exists(path) and not _is_file_or_folder(path)
