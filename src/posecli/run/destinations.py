"""Where a run writes: all kinds of destinations, which paths an input gives, what stands in the way.

Everybody who must know asks here: the checks before a run, --dry-run, --resume, and those who write.
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
    errors_of_one_file,
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

#: Of annotated clips that are named.
CLIP_EXTENSIONS = (".mp4", ".gif")
#: Settings that leave out people who are in the picture, and their options.
_LEAVES_PEOPLE_OUT = {
    "person": "--person", "region": "--region", "decoder": "--decoder single", "max_poses": "a small --max-poses",
}  # fmt: skip
_LOCK_PREFIX = ".posecli"
_FOLDER_JOURNAL = _LOCK_PREFIX + JOURNAL_SUFFIX


class Policy(Enum):
    """What becomes of outputs that exist."""

    REFUSE = "refuse"
    OVERWRITE = "overwrite"
    RESUME = "resume"


class RunFile(NamedTuple):
    """One file for the records of all inputs. path: None is standard output."""

    format: Format
    path: str | None = None
    options: WriteOptions = WriteOptions()

    @property
    def journal_path(self) -> str:
        """The journal beside it."""
        assert self.path is not None
        return self.path + JOURNAL_SUFFIX

    @property
    def is_lines(self) -> bool:
        """Whether it is written line by line as the run goes."""
        return self.format.name == "jsonl"

    def check(self, policy: Policy, *, resumes: bool) -> None:
        """Raise UsageError where a file is there already and nothing was said about it. resumes: as of
        `Destinations.check`."""
        if self.path is not None and storage.is_remote(self.path) and policy is Policy.RESUME:
            raise UsageError(f"{self.path} appears when the run is at its end", "--shards -o FOLDER/ can be resumed")
        if self.path is None or policy is not Policy.REFUSE:
            return
        if output_exists(self.path) and (storage.is_remote(self.path) or _is_file_or_folder(self.path)):
            raise UsageError(f"{self.path} exists already", _ways_on(resumes=resumes))
        if os.path.lexists(self.journal_path):
            hint = "--resume carries on, --overwrite begins anew" if resumes else "--overwrite writes beside it"
            raise UsageError(f"{self.journal_path} is left of an unfinished run", hint)


class ImageFiles(NamedTuple):
    """One data file an image or frame, in a folder."""

    folder: str
    format_name: str
    options: WriteOptions = WriteOptions()

    @property
    def hold_records(self) -> bool:
        """Whether records can be read back from the files."""
        return get_format(self.format_name).read is not None

    def path_for(self, image: ImageInput) -> str:
        """Where the data file of an input goes."""
        return output_path(self.folder, image.output, get_format(self.format_name).image_suffix)

    def write(self, record: Record, image: ImageInput) -> None:
        """Write the file of one image, whole. Raises OutputError, InputError where it cannot be there."""
        path = self.path_for(image)
        with errors_of_one_file(path, self.folder):
            get_format(self.format_name).write_image(record, path, self.options)


class Shards(NamedTuple):
    """Part files in a folder, so many inputs each."""

    folder: str
    size: int
    kind: str = "jsonl"

    def check(self, policy: Policy) -> None:
        """Raise UsageError where there are parts already and nothing was said about them."""
        if policy is not Policy.REFUSE:
            return
        with output_errors(self.folder):
            has_parts = next(list_parts(self.folder), None) is not None
        if has_parts:
            raise UsageError(
                f"{self.folder} holds parts of a run already", "--overwrite replaces them, --resume carries on"
            )


class AnnotatedPictures(NamedTuple):
    """Annotated pictures: into a folder, or (`is_file`) the one picture at `path`."""

    path: str
    is_file: bool
    kind: str = "png"  # png, jpg or webp
    drawing: Drawing = Drawing()

    def path_for(self, image: ImageInput) -> str:
        """Where the annotated picture of an input goes."""
        return self.path if self.is_file else output_path(self.path, image.output, "." + self.kind)

    def is_drawn(self, image: ImageInput) -> bool:
        """Whether the annotated picture of an input is there, as far as it may be kept."""
        return self.drawing.may_keep_earlier and has_file(self.path_for(image))

    def discard_earlier(self, image: ImageInput) -> None:
        """Delete the annotated picture that an earlier run left, unless it may be kept. Raises OutputError."""
        if not self.drawing.may_keep_earlier:
            remove(self.path_for(image))

    def write(self, picture: Image.Image, record: Record, image: ImageInput) -> None:
        """Draw the people of a record over its picture and write that, whole. Raises OutputError, InputError where it
        cannot be there."""
        from posecli.render.draw import draw  # only who draws pays for loading it

        drawn = draw(picture, record.poses, self.drawing)
        path = self.path_for(image)
        with nullcontext() if self.is_file else errors_of_one_file(path, self.path):
            save_picture(drawn, path, self.kind)


class AnnotatedClips(NamedTuple):
    """Annotated clips: into a folder (a/x.mp4 gives a/x.mp4.mp4), or (`is_file`) the one clip at `path`."""

    path: str
    is_file: bool
    drawing: Drawing = Drawing()

    def kind_for(self, image: ImageInput) -> str:
        """mp4 or gif: what the file is called, else videos become videos and other clips GIFs."""
        named = os.path.splitext(self.path)[1].lower() if self.is_file else ""
        if named in CLIP_EXTENSIONS:
            return named[1:]
        is_folder = image.file is not None or bool(image.members)
        return "mp4" if (is_folder and can_read_videos()) or is_video(image.name) else "gif"

    def path_for(self, image: ImageInput) -> str:
        """Where the annotated clip of a clip, or of the clip of a frame, goes."""
        clip = image.output.removesuffix(frame_output("", image.frame)) if image.frame is not None else image.output
        return self.path if self.is_file else output_path(self.path, clip, "." + self.kind_for(image))

    def is_drawn(self, image: ImageInput) -> bool:
        """Whether the annotated clip of an input is there, as far as it may be kept."""
        return self.drawing.may_keep_earlier and has_file(self.path_for(image))

    def discard_earlier(self, image: ImageInput) -> None:
        """Delete the annotated clip that an earlier run left, unless it may be kept. Raises OutputError."""
        if not self.drawing.may_keep_earlier:
            remove(self.path_for(image))

    def begin(self, image: ImageInput, source: str) -> ClipDrawing:
        """Begin the annotated clip of a frame. source: the file that the frame is from. Raises OutputError, InputError
        where it cannot be there."""
        from posecli.render.clip_drawing import ClipDrawing  # only who draws clips pays for loading it

        path, kind = self.path_for(image), self.kind_for(image)
        with nullcontext() if self.is_file else errors_of_one_file(path, self.path):
            return ClipDrawing(source, path, kind, self.drawing)


class Destinations(NamedTuple):
    """All that a run writes."""

    run_file: RunFile | None = None
    image_files: ImageFiles | None = None
    pictures: AnnotatedPictures | None = None
    clips: AnnotatedClips | None = None
    shards: Shards | None = None

    def folders(self) -> list[tuple[str, str]]:
        """Folders that get a file an image, with the suffix that those have."""
        found = []
        if self.image_files is not None:
            found.append((self.image_files.folder, get_format(self.image_files.format_name).image_suffix))
        if self.pictures is not None and not self.pictures.is_file:
            found.append((self.pictures.path, "." + self.pictures.kind))
        return found

    def _local_folders(self) -> list[str]:
        """Folders of this machine that anything is written to, each once."""
        found = [folder for folder, _ in self.folders()] + ([self.shards.folder] if self.shards is not None else [])
        if self.clips is not None and not self.clips.is_file:
            found.append(self.clips.path)
        return [folder for folder in dict.fromkeys(found) if not storage.is_remote(folder)]

    def paths_for(self, image: ImageInput) -> list[str]:
        """The files that are made for one input; of a clip's data files only the first. A folder that is a clip may
        hold more clips."""
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
        """The annotated picture of an input, or clip of a clip or frame; None where there is none."""
        output = self._drawn_output(image)
        return output.path_for(image) if output is not None else None

    def is_drawn(self, image: ImageInput) -> bool:
        """Whether nothing is to be drawn of an input, or it is there and may be kept."""
        output = self._drawn_output(image)
        return output is None or output.is_drawn(image)

    def _drawn_output(self, image: ImageInput) -> AnnotatedPictures | AnnotatedClips | None:
        if self.clips is not None and (image.frame is not None or image.members or is_clip(image.name)):
            return self.clips
        return self.pictures

    def all_records(self) -> str | None:
        """What --dry-run calls the place of the records of all inputs."""
        if self.shards is not None:
            return os.path.join(self.shards.folder, f"part-*.{self.shards.kind}")
        return self.run_file.path if self.run_file is not None else None

    def journal_path(self, *, steps: bool) -> str | None:
        """Where raw records are kept while a run goes on; None where what is written holds them, or nothing does.

        steps: whether anything is done to records after inference.
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
        """Whether the journal of a finished run stays if inputs failed. steps: as of `journal_path`.

        In a folder it goes, unless steps need the records: the files that are there say what is finished.
        """
        return steps or self.run_file is not None

    def locked(self) -> AbstractContextManager[None]:
        """Keep other runs from all that is written, while the block runs. Raises UsageError where one is at it."""
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
        """Refuse single files that exist, before anything is read. resumes: whether the command has --resume. Raises
        UsageError."""
        if self.run_file is not None:
            self.run_file.check(policy, resumes=resumes)
        if self.shards is not None:
            self.shards.check(policy)
        for output in (self.pictures, self.clips):
            if output is not None and output.is_file and policy is Policy.REFUSE and output_exists(output.path):
                raise UsageError(f"{output.path} exists already", "--overwrite replaces it")

    def check_one_input(self, name: str, *, as_clip: bool = False) -> None:
        """Refuse a file that cannot hold the one input that there is. as_clip: it is a folder that is a clip. Raises
        UsageError, MissingExtra."""
        clip_format = self.run_file.format if self.run_file is not None and self.run_file.format.one_clip else None
        one_picture = self.pictures if self.pictures is not None and self.pictures.is_file else None
        drawn_clip = self.clips if self.clips is not None and self.clips.is_file and self.pictures is None else None
        if clip_format is None and one_picture is None and drawn_clip is None:
            return
        is_clip = as_clip or _is_clip(name)
        if clip_format is not None and not is_clip:
            raise UsageError(f"{name} is a picture, and {clip_format.name} writes clips", "-f csv")
        if one_picture is not None and is_clip:
            wanted = " or ".join(CLIP_EXTENSIONS)
            raise UsageError(f"{name} is a clip, and {one_picture.path} is one picture", f"name a {wanted} file")
        if drawn_clip is not None and not is_clip and storage.is_remote(name):
            raise UsageError(f"{name} is remote, and clips are read from local files only", "download it first")
        if drawn_clip is not None and not is_clip:
            raise UsageError(f"{name} is a picture, and {drawn_clip.path} is a clip", "name a .png, .jpg or .webp file")

    def check_tracks(self, settings: Settings) -> None:
        """Refuse a format that tells people apart by tracks where there may be several without. Raises UsageError."""
        several = settings.decoder == "multi" and settings.max_poses > 1 and settings.person is None
        if self.run_file is not None and self.run_file.format.one_clip and several and not settings.track:
            name = self.run_file.format.name
            raise UsageError(f"{name} tells people apart by their tracks", "add --track, or --max-poses 1")

    def check_faces(self, settings: Mapping[str, Any]) -> None:
        """Refuse to hide faces if the settings leave people out of records: their faces would be seen. settings: as
        records have them. Raises UsageError."""
        if all(output is None or output.drawing.faces is None for output in (self.pictures, self.clips)):
            return
        for name, option in _LEAVES_PEOPLE_OUT.items():
            value, default = settings.get(name), getattr(Settings, name)
            enough = name == "max_poses" and value is not None and value >= default
            if value is not None and value != default and not enough:
                raise UsageError(
                    f"{option} leaves people out, and their faces would not be hidden",
                    f"hide faces in a run without {option}",
                )

    def check_endless(self, watched: str, policy: Policy) -> None:
        """Refuse what is written at the end of a run where that has none, what would be taken for new pictures, and
        folders that hold something where nothing was said about it: which files will be written is not known. watched:
        the folder that the inputs come from. Raises UsageError."""
        file = self.run_file
        at_the_end = file is not None and not file.is_lines and (file.path is not None or file.format.needs_all)
        if at_the_end or (file is not None and file.path is not None and storage.is_remote(file.path)):
            place = file.path if file is not None and file.path is not None else "standard output"
            raise UsageError(
                f"{place} would be written at the end of the run, and --watch has none",
                "-o FILE.jsonl, then posecli convert",
            )
        for drawn in (self.pictures, self.clips):
            if drawn is not None and _is_same_file(drawn.path, watched):
                raise UsageError(
                    f"{drawn.path} is watched, and annotated pictures would be taken for new ones",
                    "name a folder of their own, in it or elsewhere",
                )
        for folder, _ in self.folders():
            if policy is Policy.REFUSE and _holds_visible(folder):
                raise UsageError(f"{folder} holds files already", _ways_on(resumes=True))

    def check_files(self, images: Iterable[ImageInput], policy: Policy, *, resumes: bool = True) -> None:
        """Refuse outputs that exist or are an input themselves. resumes: as of `check`. Raises UsageError for the
        first."""
        for image in images:
            for path in self.paths_for(image):
                if has_file(path) and (policy is Policy.REFUSE or _is_same_file(path, image.name)):
                    raise UsageError(f"{path} exists already", _ways_on(resumes=resumes))

    def without_collisions(self, images: Iterable[ImageInput]) -> Iterator[ImageInput]:
        """The inputs, as long as no two of them would be written to one file. Raises UsageError."""
        taken = NameSet()
        for image in images:
            for path in self.paths_for(image):
                if path in taken:
                    raise UsageError(
                        f"{image.name} and another input would both be written to {path}",
                        "write them into two folders, or give them in another way, such as by a folder that holds both",
                    )
                taken.add(path)
            yield image

    def may_have_files(self) -> bool:
        """Whether a folder that gets files has something in it, so that each must be looked at."""
        for folder, _ in self.folders():
            with output_errors(folder):
                if next(storage.names_in(folder), None) is not None:
                    return True
        return False

    def remove_dead_temporaries(self) -> None:
        """Delete temporary files that runs left that were killed."""
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
    """From -o, -f and what -a became to destinations. one_input: no more can be; shard_size: records go into parts of
    so many inputs. Raises UsageError, MissingExtra."""
    pictures, clips = drawn
    if shard_size is not None:
        return Destinations(None, None, pictures, clips, _choose_shards(output, format_name, shard_size))
    if output is None and any(drawn) and format_name is None:
        return Destinations(None, None, pictures, clips)
    folder = output is not None and (os.path.isdir(output) or output.endswith(("/", os.sep)))
    chosen = choose_format(format_name, output, folder=folder)
    if chosen.one_clip and (folder or not one_input):
        raise UsageError(f"{chosen.name} writes one file a clip", "name one clip and one file: CLIP -o FILE.csv")
    if folder:
        assert output is not None
        return Destinations(None, ImageFiles(output, chosen.name, options), pictures, clips)
    if not chosen.one_file_a_run:
        raise UsageError(f"{chosen.name} writes one file an image", "name a folder: -o FOLDER/")
    beside = output if output is not None and not _is_device(output) else None
    return Destinations(RunFile(chosen, output, options._replace(path=beside)), None, pictures, clips)


def _choose_shards(output: str | None, format_name: str | None, size: int) -> Shards:
    if output is None or not (os.path.isdir(output) or output.endswith(("/", os.sep))):
        raise UsageError("--shards writes many files", "name a folder: -o FOLDER/")
    if format_name not in (None, *PART_FORMATS):
        raise UsageError(f"parts are not written as {format_name}", f"-f {' or -f '.join(PART_FORMATS)}")
    kind = format_name or PART_FORMATS[0]
    get_format(kind)  # raises MissingExtra here, not in a worker
    return Shards(output, size, kind)


def choose_annotation(
    path: str | None, *, kind: str, drawing: Drawing, one_input: bool
) -> tuple[AnnotatedPictures | None, AnnotatedClips | None]:
    """From -a and its options to destinations of pictures and of clips. Raises UsageError for one file where the
    inputs may be many, for an extension of no picture and no clip, and for hidden faces of no picture; MissingExtra for
    a video where none can be written."""
    if path is None:
        if drawing.faces is not None:
            raise UsageError("faces are hidden in annotated pictures and clips, and there are none", "-a FOLDER/")
        return None, None
    extension = os.path.splitext(path)[1].lower()
    kind_of_file, clip_file = picture_kind(path), extension in CLIP_EXTENSIONS
    clips = AnnotatedClips(path, is_file=clip_file, drawing=drawing)
    is_folder = os.path.isdir(path) or path.endswith(("/", os.sep))
    if extension and kind_of_file is None and not clip_file and not is_folder:
        raise UsageError(
            f"the extension of {path} names no picture or clip",
            "there are .png, .jpg, .webp, .mp4 and .gif; a folder ends in /",
        )
    if is_folder or not extension:
        folder = AnnotatedPictures(path, is_file=False, kind=kind, drawing=drawing)
        return folder, clips._replace(is_file=False)
    if not one_input:
        what = "clip" if clip_file else "picture"
        raise UsageError(f"{path} is one {what}, but the inputs may be many", "name a folder: --annotate FOLDER/")
    if extension == ".mp4" and not can_read_videos():
        raise MissingExtra(f"{path} is a video, and the extra video is not installed", install_extra("video"))
    if clip_file:
        return None, clips
    assert kind_of_file is not None
    return AnnotatedPictures(path, is_file=True, kind=kind_of_file, drawing=drawing), None


def _holds_visible(folder: str) -> bool:
    """Whether a folder is there and has something in it that is not hidden, as locks are. Raises OutputError."""
    with output_errors(folder):
        return any(not name.startswith(".") for name in storage.names_in(folder))


def _ways_on(*, resumes: bool) -> str:
    """What may be done where an output exists."""
    return "--overwrite replaces it, --resume carries on" if resumes else "--overwrite replaces it"


def _is_clip(name: str) -> bool:
    """Whether an input holds frames. Raises MissingExtra for a video where none can be read."""
    if is_video(name) and not can_read_videos():
        raise MissingExtra(f"{name} is a video, and the extra video is not installed", install_extra("video"))
    return is_clip(name)


def has_file(path: str) -> bool:
    """Whether the file of one input is there. A folder in its place is none: it cannot be replaced. Raises OutputError
    where a remote store does not say."""
    return output_exists(path) and not os.path.isdir(path)


def _is_file_or_folder(path: str) -> bool:
    """Not a device or a pipe, which are there before anything is written to them."""
    return os.path.isfile(path) or os.path.isdir(path)


def _is_device(path: str) -> bool:
    return os.path.exists(path) and not _is_file_or_folder(path)


def _is_same_file(path: str, other: str) -> bool:
    try:
        return os.path.samefile(path, other)
    except OSError:
        return False
