"""Data types from a picture to its record. Plain data: this module does not import NumPy or Pillow.

Coordinates are in *input pixels* (of the network's input) or *picture pixels* (of the upright picture). The origin of
both is the top left corner of the top left pixel.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from posecli import extras, fields
from posecli.errors import ERROR_CODES, UsageError
from posecli.region import Region
from posecli.skeleton import EDGE_COUNT, KEYPOINT_COUNT

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas

SCHEMA = "posecli/1"
DECODERS = ("multi", "single")
FITS = ("aspect", "pad", "stretch")
#: Passes over pictures turned by 90, 180 and 270 degrees: off: never. auto: a small pass; if it finds people, a full
#: pass. all: always full passes.
TURNS = ("off", "auto", "all")
#: Names that choose one person; a number chooses by rank of the score.
PERSONS = ("largest", "center", "best")
#: Minimum number of people that are searched for if one of them is chosen.
MIN_CANDIDATES = 20
STRIDES = (8, 16, 32)
#: Output strides of all networks that records may come from; 1 stands for labels, which come from no network.
RECORD_STRIDES = (1, 4, *STRIDES)
#: What can be drawn in addition to skeletons, the backgrounds of skeletons, and the ways of hiding faces.
OVERLAYS = ("scores", "boxes", "names", "angles")
BACKGROUNDS = ("picture", "none", "black", "white")
FACES = ("blurred", "pixelated")
#: What `posecli model quantize` leaves in float32: the heads and the first block; the heads; nothing.
RECIPES = ("float-ends", "float-heads", "int8")
#: Input sizes are a multiple of this plus one, so that every output stride divides size - 1.
INPUT_SIZE_STEP = max(STRIDES)
MAX_INPUT_SIZE = 128 * INPUT_SIZE_STEP + 1


class Drawing(NamedTuple):
    """How people are drawn.

    extras: from `OVERLAYS`. background: from `BACKGROUNDS`.
    faces: from `FACES`; None: faces are visible.
    skeletons: whether skeletons and extras are drawn.
    """

    extras: tuple[str, ...] = ()
    background: str = "picture"
    faces: str | None = None
    skeletons: bool = True

    @property
    def may_keep_earlier(self) -> bool:
        """Whether an annotated picture of an earlier run may stay. It may show faces that are now to be hidden."""
        return self.faces is None


#: Width, height and the RGB bytes of an upright picture, row by row.
PackedPixels = tuple[int, int, bytes]


class ImageInput(NamedTuple):
    """One picture or frame: picklable, the only data that is sent to a worker.

    name: as the user gave it. It is also the path, unless `data` or `pixels` is set.
    output: relative path that the names of output files are derived from.
    data: bytes of the file.
    frame, time: number of the frame from 0, and its time in seconds; None for a picture.
    pixels: pixels of a frame.
    failure: error code and message, if a clip could not be read further.
    group: number of a group of consecutive frames. A group goes to one worker, which may use results of the previous
        frame.
    recorded: record after inference of an earlier run; the network is not run again.
    file: path of a frame that is a file of its own.
    members: pictures of a folder that is a clip.
    ends_clip: whether this is the last input of a clip.
    """

    name: str
    output: str
    data: bytes | None = None
    frame: int | None = None
    time: float | None = None
    pixels: PackedPixels | None = None
    failure: tuple[str, str] | None = None
    group: int | None = None
    recorded: Record | None = None
    file: str | None = None
    members: tuple[ImageInput, ...] = ()
    ends_clip: bool = False

    @property
    def place(self) -> str:
        """The file that is read, and the name in messages."""
        return self.name if self.file is None else self.file

    def continues(self, other: ImageInput) -> bool:
        """Whether both are frames of one group."""
        return self.group is not None and (self.name, self.group) == (other.name, other.group)

    @property
    def ends_group(self) -> bool:
        """Whether it is certain that no other input continues its group."""
        return self.group is None or self.ends_clip

    @property
    def key(self) -> str:
        """Identifies the input among all inputs of a run."""
        return frame_key(self.name, self.frame)

    def failed(self, code: str, message: str) -> Record:
        """The failed record of this input."""
        return replace(Record.failed(self.name, code, message), frame=self.frame, time=self.time, file=self.file)


def frame_key(name: str, frame: int | None) -> str:
    """A unique key of a picture or a frame of a clip. No file name contains a NUL."""
    return name if frame is None else f"{name}\0{frame}"


@dataclass(frozen=True)
class Settings:
    """What to compute. Raises `UsageError` for invalid values."""

    stride: int | None = None  # output stride; None: the model's own
    input_size: tuple[int, ...] | None = None  # one first pass each: see `inputs.pictures.input_size_for`
    fit: str = "aspect"
    turns: str = "off"  # first passes over the picture in quarter turns, and crops turned with the person
    zoom: bool = False  # second passes over each person
    zoom_size: tuple[int, ...] = (257,)  # one second pass each, with an input of about size × size pixels
    max_zooms: int = 20  # maximum number of people with second passes
    zoom_model: str | None = None  # SHA-256 of the network of an additional second pass
    mirror: bool = False  # flip test: each last pass is averaged with one over the mirror image
    decoder: str = "multi"
    max_poses: int = 20
    score_threshold: float = 0.5  # minimum score of a root part, 0..1
    nms_radius: float = 20.0  # input pixels
    min_pose_score: float = 0.15  # 0..1
    person: str | int | None = None  # the person to keep: a name, or an index from 0 in descending score; None: all
    region: Region | None = None  # the part of the picture that is searched; None: the whole picture
    track: bool = False  # people in clips have an id
    track_gap: float = 3.0  # seconds that a person may be out of sight and keep the id
    smooth: bool = False  # keypoints of tracked people are smoothed over time
    max_pixels: int = 200_000_000  # limit of decoded pixels of one picture

    def __post_init__(self) -> None:
        _check_choice("fit", self.fit, FITS)
        _check_choice("decoder", self.decoder, DECODERS)
        if self.stride is not None:
            _check_choice("stride", self.stride, STRIDES)
        _check_choice("turns", self.turns, TURNS)
        if self.input_size == ():
            raise UsageError("input_size is empty")
        for size in (*(self.input_size or ()), *self.zoom_size):
            _check_input_size(size)
        check_whole("max_zooms", self.max_zooms, 0)
        check_whole("max_poses", self.max_poses, 1)
        _check_range("score_threshold", self.score_threshold, 0, 1)
        _check_range("nms_radius", self.nms_radius, 0, 1e6)
        _check_range("min_pose_score", self.min_pose_score, 0, 1)
        _check_person(self.person, self.decoder)
        _check_range("track_gap", self.track_gap, 0, 1e6)
        check_whole("max_pixels", self.max_pixels, 1)
        for name in ("zoom", "mirror", "track", "smooth"):
            _check_flag(name, getattr(self, name))

    @property
    def second_passes(self) -> bool:
        """Whether there are second passes over crops of people."""
        return self.zoom or self.zoom_model is not None

    @property
    def most_people(self) -> int:
        """Maximum number of people that are searched for."""
        if self.person is None:
            return self.max_poses
        rank = self.person if isinstance(self.person, int) else 0
        return max(self.max_poses, MIN_CANDIDATES, rank + 1)

    def to_dict(self) -> dict[str, Any]:
        """The settings that affect poses, as JSON. They are written to each record and compared by --resume.

        `max_pixels` is not included: it does not change the poses of a picture that is read.
        """
        relevant = {name: value for name, value in asdict(self).items() if name != "max_pixels"}
        relevant["region"] = None if self.region is None else str(self.region)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in relevant.items()}


def _check_choice(name: str, value: object, choices: Iterable[object]) -> None:
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        raise UsageError(f"{name} is {value!r}, not one of {', '.join(map(str, choices))}")


def _check_person(person: str | int | None, decoder: str) -> None:
    if isinstance(person, str):
        _check_choice("person", person, PERSONS)
    elif person is not None and (type(person) is not int or person < 0):
        raise UsageError(f"person is {person!r}, not a whole number from 0, nor one of {', '.join(PERSONS)}")
    elif decoder == "single" and person:
        raise UsageError(f"there is no person {person} with the decoder single", "it finds only person 0")


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise UsageError(f"{name} is {value!r}, not an int or float")
    if not low <= value <= high:  # also refuses NaN
        raise UsageError(f"{name} is {value}, not between {low} and {high}")


def check_whole(name: str, value: int, low: int) -> None:
    """Raise UsageError unless an argument is an int of at least `low`."""
    if type(value) is not int or value < low:
        raise UsageError(f"{name} is {value!r}, not a whole number from {low}")


def _check_flag(name: str, value: bool) -> None:
    if type(value) is not bool:
        raise UsageError(f"{name} is {value!r}, not True or False")


def _check_input_size(size: int) -> None:
    if not isinstance(size, int):
        raise UsageError(f"an input size is {size!r}, not a whole number of pixels")
    step = INPUT_SIZE_STEP
    if step < size <= MAX_INPUT_SIZE and size % step == 1:
        return
    below = min(max((size - 1) // step, 1) * step + 1, MAX_INPUT_SIZE - step)
    raise UsageError(
        f"the input size is {size}; it must be a multiple of {step} plus one, and at most {MAX_INPUT_SIZE}: "
        f"the nearest are {below} and {below + step}"
    )


@dataclass(frozen=True)
class Maps:
    """The output of the network, checked. h, w: cells; all float32.

    heatmaps: [h, w, 17] scores, 0..1.
    offsets: [h, w, 34] short offsets, input pixels, 17 y then 17 x.
    displacement_fwd, displacement_bwd: [h, w, 32] mid-range displacements, input pixels, 16 y then 16 x; from parent
        to child, and back.
    output_stride: input pixels from one cell to the next.
    """

    heatmaps: npt.NDArray[np.float32]
    offsets: npt.NDArray[np.float32]
    displacement_fwd: npt.NDArray[np.float32]
    displacement_bwd: npt.NDArray[np.float32]
    output_stride: int

    def __post_init__(self) -> None:
        cells = self.heatmaps.shape[:2]
        for name, channels in (
            ("heatmaps", KEYPOINT_COUNT),
            ("offsets", 2 * KEYPOINT_COUNT),
            ("displacement_fwd", 2 * EDGE_COUNT),
            ("displacement_bwd", 2 * EDGE_COUNT),
        ):
            shape = getattr(self, name).shape
            if shape != (*cells, channels) or 0 in shape:
                raise ValueError(f"{name} has shape {shape}, expected {(*cells, channels)}")
        if self.output_stride < 1:
            raise ValueError(f"output_stride is {self.output_stride}, expected a positive number")


class SinglePersonOutput(NamedTuple):
    """The unprocessed output of a network for a single person; all numbers are finite.

    network: its name in `model.heads`.
    values: float32, without the batch axis.
    input_size: length of both sides of the input, pixels.
    """

    network: str
    values: npt.NDArray[np.float32]
    input_size: int


class DecodedPose(NamedTuple):
    """One person found by a decoder. xy: [17, 2] float64, input pixels; scores: [17] float64; score: 0..1."""

    xy: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]
    score: float


class Keypoint(NamedTuple):
    """One body part: `x`, `y` in picture pixels (may be outside the picture), `score` 0..1."""

    id: int
    part: str
    x: float
    y: float
    score: float


class Pose(NamedTuple):
    """One person.

    score: 0..1.
    box: x, y, width and height of the bounding box of all keypoints, picture pixels.
    keypoints: all 17 keypoints in the order of their ids.
    id: with tracking, the same for a person in all frames; otherwise None.
    appearance: clothing colours (`poses.appearance`), for tracking. Only the journal of a run stores it
        (`Record.to_dict`, raw).
    """

    score: float
    box: tuple[float, float, float, float]
    keypoints: tuple[Keypoint, ...]
    id: int | None = None
    appearance: tuple[float, ...] = ()

    @classmethod
    def from_keypoints(cls, score: float, keypoints: Iterable[Keypoint]) -> Pose:
        """Create a pose and its bounding box from keypoints."""
        points = tuple(keypoints)
        left, right = min(p.x for p in points), max(p.x for p in points)
        top, bottom = min(p.y for p in points), max(p.y for p in points)
        return cls(score=score, box=(left, top, right - left, bottom - top), keypoints=points)

    def rounded(self) -> Pose:
        """The pose rounded as in JSON, so that it equals the pose that is read back."""
        points = [p._replace(x=round(p.x, 2), y=round(p.y, 2), score=round(p.score, 4)) for p in self.keypoints]
        left, top, width, height = (round(value, 2) for value in self.box)
        colours = tuple(round(value, 4) for value in self.appearance)
        return Pose(round(self.score, 4), (left, top, width, height), tuple(points), self.id, colours)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Pose:
        """Read a pose from its JSON form. Raises ValueError, which names the field, if it is invalid."""
        data = fields.mapping(data, "the pose")
        keypoints = tuple(map(Keypoint._make, fields.keypoints(fields.member(data, "keypoints"))))
        x, y, width, height = fields.sequence(fields.member(data, "box"), "box", length=4)
        box = (
            fields.number(x, "box[0]"),
            fields.number(y, "box[1]"),
            fields.number(width, "box[2]", 0, 2 * fields.FARTHEST_PX),
            fields.number(height, "box[3]", 0, 2 * fields.FARTHEST_PX),
        )
        track = data.get("id")
        if track is not None:
            fields.integer(track, "id", 1)
        colours = fields.sequence(data.get("appearance", []), "appearance")
        clothes = tuple(fields.number(value, "appearance") for value in colours)
        score = fields.number(fields.member(data, "score"), "score", 0, 1)
        return cls(score, box, keypoints, id=track, appearance=clothes)


class ModelInfo(NamedTuple):
    """The model that found the poses. input: height and width of its input, pixels; stride: its output stride."""

    name: str
    sha256: str
    input: tuple[int, int]
    stride: int


class Failure(NamedTuple):
    """Why an input failed. code: one of `errors.ERROR_CODES`."""

    code: str
    message: str


#: Columns of tables with one row per keypoint.
TABLE_COLUMNS = (
    "image", "frame", "time", "status", "width", "height", "person", "track", "pose_score", "id", "part", "x", "y",
    "score", "message",
)  # fmt: skip
_TABLE_TYPES = dict.fromkeys(("frame", "width", "height", "person", "track", "id"), "Int64") | dict.fromkeys(
    ("time", "pose_score", "x", "y", "score"), "float64"
)


@dataclass(frozen=True)
class Record:
    """The result of one picture or frame: poses (possibly none), or an error.

    image: the name of the input.
    status: `ok` or `error`.
    frame, time: number of the frame from 0, and its time in seconds, if the input is a clip or a file of several
        pictures.
    width, height: size of the upright picture, pixels.
    model: the model that found the poses.
    settings: the settings that affect poses (`Settings.to_dict`).
    poses: the people, in descending score.
    error: code and message, if the status is `error`.
    timings: milliseconds by stage. They stay in the process, and are not part of the JSON form.
    file: path of a frame that is a file of its own.
    """

    image: str
    status: str
    frame: int | None = None
    time: float | None = None
    width: int | None = None
    height: int | None = None
    model: ModelInfo | None = None
    settings: Mapping[str, Any] | None = None
    poses: tuple[Pose, ...] = ()
    error: Failure | None = None
    timings: Mapping[str, float] = field(default_factory=dict, compare=False)
    file: str | None = None

    @property
    def key(self) -> str:
        """Identifies the input among all inputs of a run."""
        return frame_key(self.image, self.frame)

    @property
    def ok(self) -> bool:
        """Whether the picture was read and processed, with or without people."""
        return self.status == "ok"

    def table_rows(self) -> Iterator[tuple[Any, ...]]:
        """Rows of `TABLE_COLUMNS`: one row per keypoint, people numbered from 0.

        A picture without people, or one that failed, has one row with empty cells.
        """
        time = round(self.time, 6) if self.time is not None else None
        head = (self.image, self.frame, time, self.status, self.width, self.height)
        if not self.poses:
            yield (*head, *(None,) * 8, self.error.message if self.error is not None else None)
        for person, pose in enumerate(self.poses):
            for point in pose.keypoints:
                position = round(point.x, 2), round(point.y, 2), round(point.score, 4)
                yield (*head, person, pose.id, round(pose.score, 4), point.id, point.part, *position, None)

    def to_dataframe(self) -> pandas.DataFrame:
        """The rows of `posecli estimate -f csv` as a pandas DataFrame: one row per keypoint.

        For several records: `pandas.concat(record.to_dataframe() for record in records)`.
        Raises MissingExtra if pandas is not installed.
        """
        table = extras.import_extra("pandas", extra="pandas").DataFrame(self.table_rows(), columns=TABLE_COLUMNS)
        typed: pandas.DataFrame = table.astype(_TABLE_TYPES)
        return typed

    @classmethod
    def failed(cls, image: str, code: str, message: str) -> Record:
        """Create the record of an input that failed."""
        return cls(image=image, status="error", error=Failure(code=code, message=message))

    def to_dict(self, *, raw: bool = False) -> dict[str, Any]:
        """The JSON form, as in `posecli schema`: positions are rounded to 0.01 pixels, scores to four digits.

        raw: include what steps over time need, for the journal.
        """
        data: dict[str, Any] = {"schema": SCHEMA, "image": self.image, "status": self.status}
        if self.frame is not None:
            data["frame"] = self.frame
        if self.time is not None:
            data["time"] = round(self.time, 6)
        if self.file is not None:
            data["file"] = self.file
        if self.error is not None:
            return data | {"error": self.error._asdict()}
        assert self.model is not None
        model = {
            "name": self.model.name,
            "sha256": self.model.sha256,
            "input": list(self.model.input),
            "stride": self.model.stride,
        }
        size = {"width": self.width, "height": self.height}
        settings = {"settings": dict(self.settings)} if self.settings is not None else {}
        return data | size | {"model": model} | settings | {"poses": [_pose_dict(pose, raw=raw) for pose in self.poses]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Record:
        """Read a record from its JSON form. Raises ValueError, which names the field, if it is invalid."""
        data = fields.mapping(data, "the record")
        if (schema := fields.member(data, "schema")) != SCHEMA:
            raise ValueError(f"schema is {fields.format_value(schema)}, expected {SCHEMA!r}")
        image = fields.file_name(fields.member(data, "image"), "image")
        frame, time, file = data.get("frame"), data.get("time"), data.get("file")
        if file is not None:
            fields.file_name(file, "file")
        if frame is not None:
            fields.integer(frame, "frame")
        if time is not None:
            fields.number(time, "time", -fields.LONGEST_TIME, fields.LONGEST_TIME)
        status = fields.member(data, "status")
        if status == "error":
            failed = _failure(fields.mapping(fields.member(data, "error"), "error"))
            return cls(image, "error", frame, time, error=failed, file=file)
        if status != "ok":
            raise ValueError(f"status is {fields.format_value(status)}, not 'ok' or 'error'")
        settings = data.get("settings")
        return cls(
            image=image,
            status="ok",
            frame=frame,
            time=time,
            width=fields.integer(fields.member(data, "width"), "width", 1),
            height=fields.integer(fields.member(data, "height"), "height", 1),
            model=_model(fields.mapping(fields.member(data, "model"), "model")),
            settings=None if settings is None else fields.settings(settings, "settings"),
            poses=_poses(fields.sequence(fields.member(data, "poses"), "poses")),
            file=file,
        )


def _poses(data: Iterable[Any]) -> tuple[Pose, ...]:
    found: list[Pose] = []
    try:
        found.extend(map(Pose.from_dict, data))
    except ValueError as error:
        raise ValueError(f"poses[{len(found)}]: {error}") from None
    return tuple(found)


def _failure(data: Mapping[str, Any]) -> Failure:
    code, message = (fields.text(fields.member(data, key, "error."), f"error.{key}") for key in Failure._fields)
    return Failure(fields.choice(code, "error.code", ERROR_CODES), message)


def _model(data: Mapping[str, Any]) -> ModelInfo:
    name, digest = (fields.text(fields.member(data, key, "model."), f"model.{key}") for key in ("name", "sha256"))
    size = fields.sequence(fields.member(data, "input", "model."), "model.input", length=2)
    height, width = (fields.integer(value, "model.input", 1) for value in size)
    stride = fields.choice(fields.member(data, "stride", "model."), "model.stride", RECORD_STRIDES)
    return ModelInfo(name, fields.sha256(digest, "model.sha256"), (height, width), stride)


def _pose_dict(pose: Pose, *, raw: bool) -> dict[str, Any]:
    return {
        **({"id": pose.id} if pose.id is not None else {}),
        **({"appearance": list(pose.appearance)} if raw and pose.appearance else {}),
        "score": round(pose.score, 4),
        "box": [round(value, 2) for value in pose.box],
        "keypoints": [
            {"id": p.id, "part": p.part, "x": round(p.x, 2), "y": round(p.y, 2), "score": round(p.score, 4)}
            for p in pose.keypoints
        ],
    }
