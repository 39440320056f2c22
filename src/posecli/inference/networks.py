"""Passes of a network: from a prepared part of a picture to its poses, in picture pixels.

Two kinds of networks are supported: PoseNet, which finds all people in an input of any size, and networks for a single
person, such as MoveNet SinglePose, whose input is a square of fixed size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter

import numpy as np
import numpy.typing as npt

from posecli.decode import decode_multi, decode_output, decode_single
from posecli.decode.refine import certainty, mirror_average, refine
from posecli.errors import UsageError
from posecli.inference.crops import Crop, person_crop, square_crop
from posecli.inputs.pictures import Frame, ModelInput, Transform, input_size_for, prepare_part
from posecli.model.graph import Graph
from posecli.model.heads import SinglePersonHeads, find_single_person
from posecli.model.runtime import Runtime, SinglePersonRuntime
from posecli.poses.consensus import View, same_person
from posecli.types import DecodedPose, Maps, Settings

#: Decoder settings of second passes. They only need to find a person that the first passes have found.
ZOOM_SCORE_THRESHOLD = 0.2
ZOOM_MAX_POSES = 6
#: Largest input with a flip test in second passes, side in pixels. In larger inputs it costs most and gains nothing.
LARGEST_MIRRORED = 353

Decoder = Callable[[Maps], Sequence[DecodedPose]]
#: Milliseconds by stage.
Timings = dict[str, float]


class PoseNetPasses:
    """Passes of a PoseNet. settings: size, fit and decoder of first passes, sizes of second passes, flip test."""

    def __init__(self, runtime: Runtime, settings: Settings) -> None:
        self.runtime = runtime
        self.output_stride = runtime.output_stride
        self.fit = settings.fit
        self._settings = settings

    def input_sizes(self, width: int, height: int) -> list[tuple[int, int]]:
        """Height and width of the inputs of all first passes, in ascending area, without duplicates."""
        native, fit = self.runtime.native_size_hw, self.fit
        sizes = self._settings.input_size or (None,)
        found = {input_size_for((width, height), native, size, fit) for size in sizes}
        return sorted(found, key=lambda size_hw: size_hw[0] * size_hw[1])

    def find(self, prepared: ModelInput, timings: Timings) -> list[DecodedPose]:
        """Find all people in a first pass."""
        mirror = self._settings.mirror and not self._settings.second_passes
        return self._poses(prepared, self._decode, mirror=mirror, timings=timings)

    def _decode(self, maps: Maps) -> list[DecodedPose]:
        settings = self._settings
        if settings.decoder == "single":
            found = [decode_single(maps)]
        else:
            found = decode_multi(
                maps,
                max_poses=settings.most_people,
                score_threshold=settings.score_threshold,
                nms_radius=settings.nms_radius,
            )
        # The threshold applies before `certainty` replaces the score: partial duplicates have a low raw score.
        return [pose for pose in found if pose.score >= settings.min_pose_score]

    def crops(self, pose: DecodedPose, picture_wh: tuple[int, int], turn: float) -> list[Crop]:
        """The crops of second passes for a person, without duplicates."""
        found = (person_crop(pose, picture_wh, size, turn=turn) for size in self._settings.zoom_size)
        return list(dict.fromkeys(crop for crop in found if crop is not None))

    def view(self, frame: Frame, pose: DecodedPose, crop: Crop) -> View:
        """Find a known person in a second pass."""
        prepared = prepare_part(frame, crop.box, size_hw=crop.size_hw, turn=crop.turn)
        mirror = self._settings.mirror and crop.size_hw[0] * crop.size_hw[1] <= LARGEST_MIRRORED**2
        found = self._poses(prepared, _decode_crop, mirror=mirror, timings={})
        return View(same_person(pose, found), 1 / crop.scale)

    def _poses(self, prepared: ModelInput, decode: Decoder, *, mirror: bool, timings: Timings) -> list[DecodedPose]:
        with timed(timings, "infer"):
            maps = _run(self.runtime, prepared, mirror=mirror)
        with timed(timings, "decode"):
            return [_to_picture(maps, pose, prepared.transform) for pose in decode(maps)]


class SinglePersonPasses:
    """Passes of a network for a single person. heads: from `find_single_person`."""

    def __init__(self, graph: Graph, heads: SinglePersonHeads, *, threads: int) -> None:
        self.runtime = SinglePersonRuntime(graph, heads, threads=threads)
        self.output_stride = heads.network.output_stride
        self.fit = "pad"  # the input is a square, and people must keep their proportions

    def input_sizes(self, width: int, height: int) -> list[tuple[int, int]]:
        """Height and width of the fixed input, for every picture."""
        return [self.runtime.native_size_hw]

    def find(self, prepared: ModelInput, timings: Timings) -> list[DecodedPose]:
        """Find the person in a picture: always one pose, even with a low score."""
        with timed(timings, "infer"):
            output = self.runtime.run(prepared.pixels)
        with timed(timings, "decode"):
            pose = decode_output(output)
            return [pose._replace(xy=prepared.transform.to_picture(pose.xy))]

    def crops(self, pose: DecodedPose, picture_wh: tuple[int, int], turn: float) -> list[Crop]:
        """The square around a person."""
        crop = square_crop(pose, picture_wh, self.runtime.native_size_hw[0], turn=turn)
        return [crop] if crop is not None else []

    def view(self, frame: Frame, pose: DecodedPose, crop: Crop) -> View:
        """Find a known person in a second pass."""
        prepared = prepare_part(frame, crop.box, size_hw=crop.size_hw, turn=crop.turn)
        return View(same_person(pose, self.find(prepared, {})), 1 / crop.scale)


def zoom_passes(graph: Graph, *, threads: int) -> SinglePersonPasses:
    """Second passes with a separate network. Raises UsageError if it is not a network for a single person."""
    heads = find_single_person(graph)
    if heads is None:
        raise UsageError(
            "the model for second passes is not a network for a single person", "use a MoveNet SinglePose model"
        )
    return SinglePersonPasses(graph, heads, threads=threads)


def _decode_crop(maps: Maps) -> list[DecodedPose]:
    return decode_multi(maps, max_poses=ZOOM_MAX_POSES, score_threshold=ZOOM_SCORE_THRESHOLD)


def _run(runtime: Runtime, prepared: ModelInput, *, mirror: bool) -> Maps:
    maps = runtime.run(prepared.pixels)
    if not mirror:
        return maps
    flipped: npt.NDArray[np.uint8] = prepared.pixels[:, ::-1]
    return mirror_average(maps, runtime.run(flipped), prepared.pixels.shape[1])


def _to_picture(maps: Maps, pose: DecodedPose, transform: Transform) -> DecodedPose:
    refined = refine(maps, pose)
    return DecodedPose(transform.to_picture(refined.xy), refined.scores, certainty(refined))


@contextmanager
def timed(timings: Timings, stage: str) -> Iterator[None]:
    """Add the duration of a block to `timings`, milliseconds."""
    start = perf_counter()
    yield
    timings[stage] = timings.get(stage, 0.0) + 1000 * (perf_counter() - start)
