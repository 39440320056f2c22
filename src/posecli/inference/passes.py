"""Looking at a frame: a first look at all of it, and where wanted a second one at each person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from math import sqrt
from time import perf_counter

import numpy as np
import numpy.typing as npt

from posecli.decode import decode_multi, decode_single
from posecli.decode.refine import certainty, mirror_average, refine
from posecli.errors import UsageError
from posecli.inference.crops import (
    Crop,
    average,
    fills,
    join_looks,
    person_crop,
    put_together,
    same_person,
)
from posecli.inputs.pictures import (
    Frame,
    ModelInput,
    Transform,
    finer,
    fitted_size,
    input_size_for,
    prepare,
    prepare_part,
)
from posecli.model.graph import Graph
from posecli.model.runtime import Runtime
from posecli.poses.similarity import pose_nms
from posecli.types import DecodedPose, Maps, Settings

#: Second looks use finer maps where the network allows it, and find people in a crop that the first look knows of.
ZOOM_STRIDE = 16
ZOOM_SCORE_THRESHOLD = 0.2
ZOOM_MAX_POSES = 6
#: A second look at nearly the first one's scale (within this factor) shows nothing new, unless it is mirrored.
SAME_SCALE = 1.2
#: Larger inputs, side in pixels, are not mirrored: it costs most there, and shows a large person no better.
LARGEST_MIRRORED = 353
#: A first look this many times as large as the network's own input is given a small one beside it, for people ...
MUCH_LARGER = 2.0
#: ... who fill at least this share of the picture's height or width, and are found with at least this score.
LARGE, CERTAIN = 0.6, 0.3


class Looker:
    """Runs one network over frames, as the settings say. Poses come in picture pixels.

    runtime_class: what runs it. Raises ModelError or UsageError where the network cannot be used so.
    """

    def __init__(
        self, graph: Graph, settings: Settings, *, threads: int, runtime_class: type[Runtime] = Runtime
    ) -> None:
        self._settings = settings
        self._first = runtime_class(graph, threads=threads, stride=settings.stride)
        self._second = self._first
        if settings.zoom and self._first.output_stride > ZOOM_STRIDE:
            with suppress(UsageError):  # its layers cannot be finer
                self._second = runtime_class(graph, threads=threads, stride=ZOOM_STRIDE)

    @property
    def runtimes(self) -> tuple[Runtime, ...]:
        """What runs the first look and, where that is another, the second."""
        return (self._first,) if self._second is self._first else (self._first, self._second)

    @property
    def output_stride(self) -> int:
        """Of the first look's maps."""
        return self._first.output_stride

    def input_size(self, width: int, height: int) -> tuple[int, int]:
        """Height and width of the first look's input for a picture."""
        settings = self._settings
        return input_size_for((width, height), self._first.native_size_hw, settings.input_size, settings.fit)

    def needed_detail(self, width: int, height: int) -> tuple[int, int]:
        """Width and height beyond which the first look sees no more detail of a picture."""
        return fitted_size((width, height), self.input_size(width, height), self._settings.fit)

    def look(self, frame: Frame, timings: dict[str, float], known: Sequence[DecodedPose] = ()) -> list[DecodedPose]:
        """Everybody in a frame, in falling score; milliseconds by stage are added to `timings`.

        known: the people of a frame just before, in picture pixels. With second looks, they are looked for where they
        were; where all are found again that is everybody.
        """
        if known and self._settings.zoom:
            with timed(timings, "zoom"):
                again = self._find_again(frame, known)
            if again is not None:
                return self._kept(again)
        return self._kept(self._look_at_all(frame, timings))

    def _kept(self, poses: Sequence[DecodedPose]) -> list[DecodedPose]:
        return [pose for pose in pose_nms(poses) if pose.score >= self._settings.min_pose_score]

    def _look_at_all(self, frame: Frame, timings: dict[str, float]) -> list[DecodedPose]:
        with timed(timings, "prepare"):
            size_hw = self.input_size(frame.width, frame.height)
            prepared = prepare(frame, size_hw=size_hw, fit=self._settings.fit)
        mirror = self._settings.mirror and not self._settings.zoom
        with timed(timings, "infer"):
            maps = _run(self._first, prepared, mirror=mirror)
        with timed(timings, "decode"):
            poses = self._poses(maps, prepared.transform)
        if self._settings.zoom:
            with timed(timings, "zoom"):
                large, small_scale = self._too_large_for(frame, size_hw)
                scales = {id(pose): small_scale for pose in large}
                together = put_together(poses, large)
                scale = 1 / max(prepared.transform.scale_xy)
                poses = list(self._look_again(frame, [(pose, scales.get(id(pose), scale)) for pose in together]))
        return poses

    def _find_again(self, frame: Frame, known: Sequence[DecodedPose]) -> list[DecodedPose] | None:
        """People of the frame before where second looks alone show them; None where somebody is not to be seen so."""
        size_hw = self.input_size(frame.width, frame.height)
        fitted = fitted_size((frame.width, frame.height), size_hw, self._settings.fit)
        scale = max(fitted[0] / frame.width, fitted[1] / frame.height)
        if len(known) > self._settings.max_zooms:
            return None
        people = []
        for pose in known:
            looks = []
            for crop in self._crops(frame, pose, scale):
                seen = same_person(pose, self._look_at(frame, crop))
                if seen is None:
                    return None
                looks.append(seen._replace(score=sqrt(pose.score * seen.score)))
            if not looks:
                return None
            people.append(average(looks))
        return people if len(pose_nms(people)) == len(people) else None

    def _poses(self, maps: Maps, transform: Transform) -> list[DecodedPose]:
        # Chosen before the score becomes a rank: what is left over of people already found has little of its own.
        decoded = [pose for pose in self._decode(maps) if pose.score >= self._settings.min_pose_score]
        return [_in_picture(maps, pose, transform) for pose in decoded]

    def _too_large_for(self, frame: Frame, size_hw: tuple[int, int]) -> tuple[list[DecodedPose], float]:
        """People so large that a first look of this size sees only parts of them, found by a smaller one; its scale."""
        native = self._first.native_size_hw
        if self._settings.decoder == "single" or size_hw[0] * size_hw[1] < MUCH_LARGER * native[0] * native[1]:
            return [], 1.0
        small_hw = input_size_for((frame.width, frame.height), native, None, "aspect")
        prepared = prepare(frame, size_hw=small_hw, fit="aspect")
        found = self._poses(_run(self._first, prepared, mirror=False), prepared.transform)
        picture_wh = (frame.width, frame.height)
        large = [pose for pose in found if pose.score >= CERTAIN and fills(pose, picture_wh) >= LARGE]
        return large, 1 / max(prepared.transform.scale_xy)

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

    def _look_again(self, frame: Frame, found: list[tuple[DecodedPose, float]]) -> Iterator[DecodedPose]:
        """The poses in falling score, the first `max_zooms` of them after a second look.

        found: poses, and the input pixels that stood for a picture pixel when they were found.
        """
        plans = list(self._plans(frame, found))
        scales = [crop.scale for _, crops in plans for crop in crops]
        if scales:
            finest = min(scales)
            frame = finer(frame, lambda width, height: (width / finest, height / finest))
        for pose, crops in plans:
            yield self._look_closer(frame, pose, crops)

    def _plans(self, frame: Frame, found: list[tuple[DecodedPose, float]]) -> Iterator[tuple[DecodedPose, list[Crop]]]:
        """Poses in falling score, each with what to look at again: nothing, beyond `max_zooms` people."""
        left = self._settings.max_zooms
        for pose, scale in sorted(found, key=lambda pose_and_scale: -pose_and_scale[0].score):
            crops = self._crops(frame, pose, scale) if left > 0 else []
            if not self._settings.mirror:
                crops = [crop for crop in crops if not _shows_nothing_new(crop, scale)]
            left -= bool(crops)
            yield pose, crops

    def _look_closer(self, frame: Frame, pose: DecodedPose, crops: list[Crop]) -> DecodedPose:
        looks = []
        for crop in crops:
            joined = join_looks(pose, self._look_at(frame, crop))
            if joined is None:  # not to be seen from near: others would cost time and show as little
                break
            looks.append(joined)
        return average(looks) if looks else pose

    def _crops(self, frame: Frame, pose: DecodedPose, scale: float) -> list[Crop]:
        """What to look at for a person once more: on maps no coarser than those of a first look at this scale."""
        picture_wh = (frame.width, frame.height)
        least = scale * self._second.output_stride / self._first.output_stride
        largest = round(least * sqrt(frame.width * frame.height))
        crops = (
            person_crop(pose, picture_wh, size, least_scale=least, largest=largest) for size in self._settings.zoom_size
        )
        return list(dict.fromkeys(crop for crop in crops if crop is not None))  # sizes that came out alike are one look

    def _look_at(self, frame: Frame, crop: Crop) -> Iterator[DecodedPose]:
        prepared = prepare_part(frame, crop.box, size_hw=crop.size_hw)
        maps = _run(self._second, prepared, mirror=self._mirrors(crop))
        for pose in decode_multi(maps, max_poses=ZOOM_MAX_POSES, score_threshold=ZOOM_SCORE_THRESHOLD):
            yield _in_picture(maps, pose, prepared.transform)

    def _mirrors(self, crop: Crop) -> bool:
        return self._settings.mirror and crop.size_hw[0] * crop.size_hw[1] <= LARGEST_MIRRORED**2


def _shows_nothing_new(crop: Crop, scale: float) -> bool:
    ratio = scale * crop.scale
    return max(ratio, 1 / ratio) < SAME_SCALE


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
    """Add the milliseconds that a block takes."""
    start = perf_counter()
    yield
    timings[stage] = timings.get(stage, 0.0) + 1000 * (perf_counter() - start)
