"""Looking at a frame: a first look at all of it, and where wanted a second one at each person."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

import numpy as np
import numpy.typing as npt

from posecli.decode import decode_multi, decode_single
from posecli.decode.refine import certainty, mirror_average, refine
from posecli.decode.zoom import Crop, drop_doubles, join_looks, person_crop
from posecli.errors import UsageError
from posecli.images import Frame, ModelInput, Transform, fitted_size, input_size_for, prepare, prepare_part
from posecli.model.graph import Graph
from posecli.model.runtime import Runtime
from posecli.types import DecodedPose, Maps, Settings

#: Second looks use finer maps where the network allows it, and find people in a crop that the first look knows of.
ZOOM_STRIDE = 16
ZOOM_SCORE_THRESHOLD = 0.2
ZOOM_MAX_POSES = 6
#: A second look at nearly the first one's scale (within this factor) shows nothing new, unless it is mirrored.
SAME_SCALE = 1.2


class Looker:
    """Runs one network over frames, as the settings say. Poses come in picture pixels.

    Raises ModelError or UsageError where the network cannot be used so.
    """

    def __init__(self, graph: Graph, settings: Settings, *, threads: int) -> None:
        self._settings = settings
        self._first = Runtime(graph, threads=threads, stride=settings.stride)
        self._second = _finer_runtime(graph, self._first, threads) if settings.zoom else self._first

    @property
    def output_stride(self) -> int:
        """Of the first look's maps."""
        return self._first.output_stride

    def input_size(self, width: int, height: int) -> tuple[int, int]:
        """Height and width of the first look's input for a picture."""
        settings = self._settings
        return input_size_for((width, height), self._first.native_size_hw, settings.input_size, settings.fit)

    def needed_detail(self, width: int, height: int) -> tuple[int, int]:
        """Width and height beyond which a picture's detail is not looked at."""
        if self._settings.zoom:
            return width, height
        return fitted_size((width, height), self.input_size(width, height), self._settings.fit)

    def look(self, frame: Frame, timings: dict[str, float]) -> list[DecodedPose]:
        """Everybody in a frame, in falling score; milliseconds by stage are added to `timings`."""
        with timed(timings, "prepare"):
            size_hw = self.input_size(frame.width, frame.height)
            prepared = prepare(frame, size_hw=size_hw, fit=self._settings.fit)
        mirror = self._settings.mirror and not self._settings.zoom
        with timed(timings, "infer"):
            maps = _run(self._first, prepared, mirror=mirror)
        with timed(timings, "decode"):
            # Before the score becomes a rank: what is left over of people already found has little of its own.
            decoded = [pose for pose in self._decode(maps) if pose.score >= self._settings.min_pose_score]
            poses = [_in_picture(maps, pose, prepared.transform) for pose in decoded]
        if self._settings.zoom:
            with timed(timings, "zoom"):
                poses = list(self._look_again(frame, poses, prepared.transform))
        return [pose for pose in drop_doubles(poses) if pose.score >= self._settings.min_pose_score]

    def _decode(self, maps: Maps) -> list[DecodedPose]:
        settings = self._settings
        if settings.decoder == "single":
            return [decode_single(maps)]
        return decode_multi(
            maps,
            max_poses=settings.max_poses,
            score_threshold=settings.score_threshold,
            nms_radius=settings.nms_radius,
        )

    def _look_again(self, frame: Frame, poses: list[DecodedPose], transform: Transform) -> Iterator[DecodedPose]:
        """The poses in falling score, the first `max_zooms` of them after a second look."""
        left = self._settings.max_zooms
        for pose in sorted(poses, key=lambda pose: -pose.score):
            crop = person_crop(pose, (frame.width, frame.height), self._settings.zoom_size)
            if left <= 0 or crop is None or (not self._settings.mirror and _shows_nothing_new(crop, transform)):
                yield pose
                continue
            left -= 1
            yield join_looks(pose, self._look_at(frame, crop))

    def _look_at(self, frame: Frame, crop: Crop) -> Iterator[DecodedPose]:
        prepared = prepare_part(frame, crop.box, size_hw=crop.size_hw)
        maps = _run(self._second, prepared, mirror=self._settings.mirror)
        for pose in decode_multi(maps, max_poses=ZOOM_MAX_POSES, score_threshold=ZOOM_SCORE_THRESHOLD):
            yield _in_picture(maps, pose, prepared.transform)


def _finer_runtime(graph: Graph, first: Runtime, threads: int) -> Runtime:
    if first.output_stride <= ZOOM_STRIDE:
        return first
    try:
        return Runtime(graph, threads=threads, stride=ZOOM_STRIDE)
    except UsageError:
        return first


def _shows_nothing_new(crop: Crop, transform: Transform) -> bool:
    left, _, right, _ = crop.box
    first, second = 1 / transform.scale_xy[0], crop.size_hw[1] / (right - left)
    return max(first / second, second / first) < SAME_SCALE


def _run(runtime: Runtime, prepared: ModelInput, *, mirror: bool) -> Maps:
    maps = runtime.run(prepared.pixels)
    if not mirror:
        return maps
    turned: npt.NDArray[np.uint8] = prepared.pixels[:, ::-1]
    return mirror_average(maps, runtime.run(turned), prepared.pixels.shape[1])


def _in_picture(maps: Maps, pose: DecodedPose, transform: Transform) -> DecodedPose:
    refined = refine(maps, pose)
    return DecodedPose(transform.to_picture(refined.xy), refined.scores, certainty(refined))


@contextmanager
def timed(timings: dict[str, float], stage: str) -> Iterator[None]:
    """Note the milliseconds that a block takes."""
    start = perf_counter()
    yield
    timings[stage] = 1000 * (perf_counter() - start)
