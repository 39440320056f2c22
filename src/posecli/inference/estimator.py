"""The library's main class: `PoseEstimator` loads a model once and turns pictures into records."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from posecli.errors import INTERNAL_ERROR, ImageTooLarge, InputError, ModelError, PosecliError, UsageError
from posecli.inference.networks import timed, zoom_passes
from posecli.inference.passes import PoseFinder
from posecli.inference.presets import DEFAULT_PRESET, with_preset
from posecli.inputs.clip_decoder import frame_inputs
from posecli.inputs.clips import ClipOptions, PackedFrame, check_clip, check_options, frames_of, unpack
from posecli.inputs.opening import check_region
from posecli.inputs.pictures import AnyImage, Frame, check_is_image, frame_from
from posecli.model.graph import read_graph
from posecli.model.locate import ModelFile, load_model_file
from posecli.poses.appearance import clothing_colours
from posecli.poses.similarity import as_decoded
from posecli.poses.steps import run_steps, steps_over_time
from posecli.region import Region
from posecli.skeleton import KEYPOINT_NAMES
from posecli.types import DecodedPose, ImageInput, Keypoint, ModelInfo, Pose, Record, Settings, check_whole


class PoseEstimator:
    """Finds people's poses in pictures.

    model: a known name or a path; None: POSECLI_MODEL if set, or the official PoseNet, downloaded on first use.
    threads: CPU cores for one picture; None: all cores that this process may use.
    preset: fast, balanced, accurate or best. The arguments after it override it; `posecli estimate` documents them.
    track, track_gap, smooth: for `estimate_clip` (extra `video`); `smooth` implies `track`.
    offline: never download a model.
    zoom_model: a network for a single person, by name or path, for an additional second pass over each person.
    person: keep one person only: `largest`, `center`, `best`, or an index from 0 in descending score.
    region: estimate only this part of the picture: a text as for --region, or x, y, width, height in pixels.

    Several threads may share one estimator: the network runs for one thread at a time, the other stages run in
    parallel. An estimator cannot be pickled: create one in each process.
    Raises ModelError if the model is not usable, EngineError if no runtime is usable, and UsageError for invalid
    settings.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        preset: str = DEFAULT_PRESET,
        stride: int | None = None,
        input_size: int | Sequence[int] | None = None,
        fit: str | None = None,
        turns: str | None = None,
        zoom: bool | None = None,
        zoom_size: int | Sequence[int] | None = None,
        max_zooms: int | None = None,
        mirror: bool | None = None,
        decoder: str | None = None,
        max_poses: int | None = None,
        score_threshold: float | None = None,
        nms_radius: float | None = None,
        min_pose_score: float | None = None,
        person: str | int | None = None,
        region: str | Sequence[float] | None = None,
        track: bool | None = None,
        track_gap: float | None = None,
        smooth: bool | None = None,
        max_pixels: int | None = None,
        threads: int | None = None,
        offline: bool = False,
        zoom_model: str | os.PathLike[str] | None = None,
    ) -> None:
        explicit = {
            "stride": stride, "input_size": input_size, "fit": fit, "turns": turns, "zoom": zoom,
            "zoom_size": zoom_size, "max_zooms": max_zooms, "mirror": mirror, "decoder": decoder,
            "max_poses": max_poses, "score_threshold": score_threshold, "nms_radius": nms_radius,
            "min_pose_score": min_pose_score, "person": person, "region": _region(region), "track": track or smooth,
            "track_gap": track_gap, "smooth": smooth, "max_pixels": max_pixels,
        }  # fmt: skip
        settings = Settings(**with_preset(preset, explicit))
        if threads is not None:
            check_whole("threads", threads, 1)
        file = load_model_file(None if model is None else os.fspath(model), offline=offline)
        zoom_file = None if zoom_model is None else load_model_file(os.fspath(zoom_model), offline=offline)
        if zoom_file is not None:
            settings = replace(settings, zoom_model=zoom_file.sha256)
        self._load(file, zoom_file, settings, threads or available_cores())

    @classmethod
    def from_settings(
        cls, settings: Settings, *, model: ModelFile, threads: int, zoom_model: ModelFile | None = None
    ) -> PoseEstimator:
        """Create an estimator from checked settings and loaded model files."""
        estimator = cls.__new__(cls)
        estimator._load(model, zoom_model, settings, threads)
        return estimator

    def _load(self, model: ModelFile, zoom_model: ModelFile | None, settings: Settings, threads: int) -> None:
        self._settings = settings
        self._settings_record = settings.to_dict()
        self._model = model
        with _errors_naming(model):
            graph = read_graph(model.data, trusted=model.known)
        zoom_network = None
        if zoom_model is not None:
            with _errors_naming(zoom_model):
                zoom_network = zoom_passes(read_graph(zoom_model.data, trusted=zoom_model.known), threads=threads)
        with _errors_naming(model):
            self._finder = PoseFinder(graph, settings, threads=threads, zoom_network=zoom_network)

    def estimate(self, image: AnyImage, *, name: str | None = None) -> Record:
        """Find the people in one picture.

        image: a path, the bytes of a file, an open binary file, a Pillow image, or an array: RGB [H, W, 3], RGBA
            [H, W, 4] or grey [H, W], of uint8, or of floats from 0 to 1.
        name: the name in the record; None: the path, or the type in angle brackets.
        If the picture cannot be read, the record has the `status` error. Raises TypeError if `image` is of another
        type, UsageError for an array of another shape or dtype, and FatalError if the model fails.
        """
        return self.estimate_with_frame(image, name=name, full_size=False)[0]

    def estimate_clip(
        self,
        clip: str | os.PathLike[str] | bytes,
        *,
        name: str | None = None,
        every: int = 1,
        start: float = 0.0,
        end: float | None = None,
        fps: float | None = None,
    ) -> Iterator[Record]:
        """Find the people in the frames of a clip. Yields one record for each frame, in order, during decoding.

        clip: the path or the bytes of a video (extra `video`), of an animation, or of a file of several pictures.
        name: the name in the records; None: the path.
        every: use every n-th frame only.
        start, end: use the frames from `start` to before `end`, seconds.
        fps: use at most this many frames per second.
        With `track`, people have an `id`, and records are delayed by some frames. If a clip is truncated, the last
        record has the `status` error. Raises UsageError for invalid options, and MissingExtra if a video needs the
        extra.
        """
        source = clip if isinstance(clip, bytes) else os.fspath(clip)
        options = check_options(ClipOptions(every, start, end, fps))
        steps = steps_over_time(self._settings)
        return run_steps(steps, self._raw_records(source, name if name is not None else _name_of(clip), options))

    def _raw_records(self, clip: str | bytes, name: str, options: ClipOptions) -> Iterator[Record]:
        """Records before steps over time. As in a run, tracking passes the people of the previous frame on to the next
        frame of the same group."""
        track, region = self._settings.track, self._settings.region
        previous: tuple[ImageInput, tuple[Pose, ...]] | None = None
        for image in frame_inputs(ImageInput(name, name), self._decoded(clip, options), grouped=track, region=region):
            if image.failure is not None:
                yield image.failed(*image.failure)
                continue
            assert image.pixels is not None
            people = previous[1] if previous is not None and image.continues(previous[0]) else ()
            record, _ = self.estimate_with_frame(
                unpack(image.pixels), name=name, full_size=False, previous=people, all_people=track
            )
            previous = (image._replace(pixels=None), record.poses)
            yield replace(record, frame=image.frame, time=image.time)

    def _decoded(self, clip: str | bytes, options: ClipOptions) -> Iterator[PackedFrame]:
        check_clip(clip)
        yield from frames_of(clip, options, max_pixels=self._settings.max_pixels)

    def estimate_with_frame(
        self,
        image: AnyImage,
        *,
        name: str | None = None,
        full_size: bool = True,
        previous: Sequence[Pose] = (),
        all_people: bool = False,
    ) -> tuple[Record, Frame | None]:
        """As `estimate`, but return the decoded picture too, for drawing; None if it cannot be read.

        full_size: decode the picture in full resolution, even if the network needs less.
        previous: the people of the previous frame. With `zoom`, second passes look for them at their last positions.
            First passes run only if one of them is not found there, or if `previous` is empty.
        all_people: ignore the setting `person`, because the choice is made later, over time.
        """
        check_is_image(image)
        name = name if name is not None else _name_of(image)
        timings: dict[str, float] = {}
        try:
            with timed(timings, "read"):
                detail = None if full_size else self._finder.needed_detail
                frame = frame_from(image, max_pixels=self._settings.max_pixels, detail=detail)
            return self._find_people(frame, name, timings, previous, all_people=all_people), frame
        except InputError as error:
            return Record.failed(name, *error.reason), None
        except PosecliError:  # not caused by this picture: the next one would fail too
            raise
        except MemoryError:
            return Record.failed(name, ImageTooLarge.code, f"{name}: not enough memory for this picture"), None
        except Exception as error:  # one failing picture must not end a run of thousands
            return Record.failed(name, INTERNAL_ERROR, f"{name}: {type(error).__name__}: {error}"), None

    def _find_people(
        self, frame: Frame, name: str, timings: dict[str, float], previous: Sequence[Pose], *, all_people: bool
    ) -> Record:
        check_region(name, self._settings.region, frame.width, frame.height)
        poses = self._finder.find(frame, timings, [as_decoded(pose) for pose in previous], all_people=all_people)
        size_hw = self._finder.input_size(frame.width, frame.height)
        return Record(
            image=name,
            status="ok",
            width=frame.width,
            height=frame.height,
            model=ModelInfo(self._model.name, self._model.sha256, size_hw, self._finder.output_stride),
            settings=self._settings_record,
            poses=tuple(self._to_pose(pose, frame) for pose in poses),
            timings=timings,
        )

    def _to_pose(self, decoded: DecodedPose, frame: Frame) -> Pose:
        pose = to_pose(decoded)
        if self._settings.track:
            pose = pose._replace(appearance=clothing_colours(frame.image, decoded.xy / frame.reduction))
        return pose.rounded()


@contextmanager
def _errors_naming(model: ModelFile) -> Iterator[None]:
    """Add the model's path to the message of a ModelError."""
    try:
        yield
    except ModelError as error:
        raise ModelError(f"cannot use the model {model.path}: {error.message}", error.hint) from error


def to_pose(decoded: DecodedPose) -> Pose:
    """Convert a decoded pose, in picture pixels, to plain data."""
    points = zip(KEYPOINT_NAMES, decoded.xy.tolist(), decoded.scores.tolist(), strict=True)
    return Pose.from_keypoints(
        decoded.score,
        (Keypoint(index, part, x, y, score) for index, (part, (x, y), score) in enumerate(points)),
    )


def available_cores() -> int:
    """The number of CPU cores that this process may use: by its affinity, and by the quota of its control group."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(min(affinity, _cgroup_quota() or affinity), 1)


def _cgroup_quota() -> int | None:
    """The CPU quota of the control group (v2, then v1), in cores, rounded up; None without a quota."""
    for path, parse in (
        ("/sys/fs/cgroup/cpu.max", lambda text: text.split()),
        ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", lambda text: [text, "100000"]),
    ):
        try:
            with open(path) as file:
                quota, period = (int(word) for word in parse(file.read())[:2])
        except (OSError, ValueError):  # the file is missing, or contains "max"
            continue
        return -(-quota // period) if quota > 0 and period > 0 else None
    return None


def _region(region: str | Sequence[float] | None) -> Region | None:
    if region is None:
        return None
    if isinstance(region, str):
        return Region.parse(region)
    try:
        return Region.of_pixels([float(number) for number in region])
    except (TypeError, ValueError) as error:
        raise UsageError(f"region is {region!r}, not x, y, width and height in pixels, nor a text") from error


def _name_of(image: AnyImage) -> str:
    if isinstance(image, str | os.PathLike):
        return os.fspath(image)
    if isinstance(image, bytes):
        return "<bytes>"
    return getattr(image, "filename", "") or f"<{type(image).__name__}>"
