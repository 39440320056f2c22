"""The passes over a frame: first passes over all of it, and where wanted second passes over each person."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from math import sqrt
from time import perf_counter

import numpy as np
import numpy.typing as npt

from posecli.decode import decode_multi, decode_single
from posecli.decode.refine import certainty, mirror_average, refine
from posecli.errors import UsageError
from posecli.inference.crops import Crop, person_crop
from posecli.inputs.pictures import (
    Frame,
    ModelInput,
    Transform,
    finer,
    fitted_size,
    input_size_for,
    prepare,
    prepare_part,
    turned_bounds,
)
from posecli.model.graph import Graph
from posecli.model.runtime import Runtime
from posecli.poses.consensus import (
    Candidate,
    Pass,
    View,
    agree,
    best_way_up,
    confirm,
    merge,
    same_person,
    trunk_angle,
)
from posecli.poses.similarity import pose_nms
from posecli.types import DecodedPose, Maps, Settings

#: Second passes use finer maps where the network allows it, and find people in a crop whom the first passes know.
ZOOM_STRIDE = 16
ZOOM_SCORE_THRESHOLD = 0.2
ZOOM_MAX_POSES = 6
#: Larger inputs, side in pixels, are not mirrored: it costs most there, and shows a large person no better.
LARGEST_MIRRORED = 353
QUARTER_TURNS = (90.0, 180.0, 270.0)
#: Somebody found in a turned picture with less than this score, after all weights, is no reason to look closer.
TURNED_SCORE = 0.2
#: Trunks that lean less, degrees, are seen no better in a turned crop.
UPRIGHT_LEAN = 45.0


class PoseFinder:
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
        """What runs the first passes and, where that is another, the second."""
        return (self._first,) if self._second is self._first else (self._first, self._second)

    @property
    def output_stride(self) -> int:
        """Input pixels from one cell of the first passes' maps to the next."""
        return self._first.output_stride

    def input_size(self, width: int, height: int) -> tuple[int, int]:
        """Height and width of the input of the largest first pass for a picture."""
        return max(self._input_sizes(width, height), key=lambda size_hw: size_hw[0] * size_hw[1])

    def _input_sizes(self, width: int, height: int) -> list[tuple[int, int]]:
        """Height and width of the inputs of all first passes, the smallest first; sizes that come out alike are one."""
        native, fit = self._first.native_size_hw, self._settings.fit
        sizes = self._settings.input_size or (None,)
        found = {input_size_for((width, height), native, size, fit) for size in sizes}
        return sorted(found, key=lambda size_hw: size_hw[0] * size_hw[1])

    def needed_detail(self, width: int, height: int) -> tuple[int, int]:
        """Width and height beyond which the first passes see no more detail of a picture."""
        return fitted_size((width, height), self.input_size(width, height), self._settings.fit)

    def find(self, frame: Frame, timings: dict[str, float], known: Sequence[DecodedPose] = ()) -> list[DecodedPose]:
        """Everybody in a frame, in falling score; milliseconds by stage are added to `timings`.

        known: the people of a frame just before, in picture pixels. With second passes, they are looked for where they
        were; where all are found again that is everybody.
        """
        if known and self._settings.zoom:
            with timed(timings, "zoom"):
                again = self._find_again(frame, known)
            if again is not None:
                return self._kept(again)
        candidates = self._first_passes(frame, timings)
        if not self._settings.zoom:
            return self._kept([candidate.pose for candidate in candidates])
        with timed(timings, "zoom"):
            return self._kept(self._second_passes(frame, candidates))

    def _kept(self, poses: Sequence[DecodedPose]) -> list[DecodedPose]:
        kept = [pose for pose in pose_nms(poses) if pose.score >= self._settings.min_pose_score]
        return kept[:1] if self._settings.decoder == "single" else kept

    def _first_passes(self, frame: Frame, timings: dict[str, float]) -> list[Candidate]:
        """The people whom the passes over all of the frame agree on, upright and turned."""
        sizes = self._input_sizes(frame.width, frame.height)
        candidates = agree([self._pass_over_all(frame, size_hw, timings) for size_hw in sizes])
        if self._settings.turns == "off":
            return candidates
        turned = [one for turn in QUARTER_TURNS for one in self._turned_passes(frame, turn, candidates, timings)]
        return best_way_up([*candidates, *turned])

    def _turned_passes(
        self, frame: Frame, turn: float, upright: Sequence[Candidate], timings: dict[str, float]
    ) -> list[Candidate]:
        """Those of the frame turned back by `turn`. With `auto` the smallest pass decides whether the others are worth
        their time: whether it shows somebody whom the upright passes do not."""
        smallest, *larger = self._input_sizes(*_turned_wh(frame, turn))
        passes = [self._pass_over_all(frame, smallest, timings, turn)]
        if self._settings.turns == "auto":
            people = best_way_up([*upright, *agree(passes, turn=turn)])
            if not any(one.turn and one.pose.score >= TURNED_SCORE for one in people):
                return []
        passes += [self._pass_over_all(frame, size_hw, timings, turn) for size_hw in larger]
        return agree(passes, turn=turn)

    def _pass_over_all(
        self, frame: Frame, size_hw: tuple[int, int], timings: dict[str, float], turn: float = 0.0
    ) -> Pass:
        """A first pass. Turned ones fill the input, whatever `fit` says."""
        with timed(timings, "prepare"):
            if turn:
                box = turned_bounds((frame.width, frame.height), turn)
                prepared = prepare_part(frame, box, size_hw=size_hw, turn=turn)
            else:
                prepared = prepare(frame, size_hw=size_hw, fit=self._settings.fit)
        mirror = self._settings.mirror and not self._settings.zoom
        with timed(timings, "infer"):
            maps = _run(self._first, prepared, mirror=mirror)
        with timed(timings, "decode"):
            return Pass(self._poses(maps, prepared.transform), prepared.transform.input_scale)

    def _poses(self, maps: Maps, transform: Transform) -> list[DecodedPose]:
        # Chosen before the score becomes a rank: what is left over of people already found has little of its own.
        decoded = [pose for pose in self._decode(maps) if pose.score >= self._settings.min_pose_score]
        return [_in_picture(maps, pose, transform) for pose in decoded]

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

    def _second_passes(self, frame: Frame, candidates: Sequence[Candidate]) -> list[DecodedPose]:
        """All people, the first `max_zooms` of them after second passes."""
        chosen, others = candidates[: self._settings.max_zooms], candidates[self._settings.max_zooms :]
        crops = [self._crops(frame, candidate.pose, candidate.turn) for candidate in chosen]
        frame = _as_fine_as(frame, (crop for found in crops for crop in found))
        confirmed = [
            confirm(candidate, [self._view(frame, candidate.pose, crop) for crop in found])
            for candidate, found in zip(chosen, crops, strict=True)
        ]
        return [candidate.pose for candidate in best_way_up([*confirmed, *others])]

    def _find_again(self, frame: Frame, known: Sequence[DecodedPose]) -> list[DecodedPose] | None:
        """The people of the frame before, by second passes alone; None where one of them does not show somebody."""
        if len(known) > self._settings.max_zooms:
            return None
        people = []
        for pose in known:
            views = [self._view(frame, pose, crop) for crop in self._crops(frame, pose, 0.0)]
            if not views or any(view.pose is None for view in views):
                return None
            again = merge(views)
            people.append(again._replace(score=sqrt(pose.score * again.score)))
        return people if len(pose_nms(people)) == len(people) else None

    def _crops(self, frame: Frame, pose: DecodedPose, turn: float) -> list[Crop]:
        """What second passes look at for a person whom passes turned by `turn` found; sizes that come out alike are
        one."""
        turn = self._crop_turn(pose, turn)
        crops = (person_crop(pose, (frame.width, frame.height), size, turn=turn) for size in self._settings.zoom_size)
        return list(dict.fromkeys(crop for crop in crops if crop is not None))

    def _crop_turn(self, pose: DecodedPose, turn: float) -> float:
        """Degrees by which a crop is turned so that the person's trunk is upright in it."""
        if self._settings.turns == "off":
            return 0.0
        angle = trunk_angle(pose)
        if angle is None:
            return turn
        return angle if abs(angle) > UPRIGHT_LEAN else 0.0

    def _view(self, frame: Frame, pose: DecodedPose, crop: Crop) -> View:
        """A known person in one second pass."""
        prepared = prepare_part(frame, crop.box, size_hw=crop.size_hw, turn=crop.turn)
        mirror = self._settings.mirror and crop.size_hw[0] * crop.size_hw[1] <= LARGEST_MIRRORED**2
        maps = _run(self._second, prepared, mirror=mirror)
        decoded = decode_multi(maps, max_poses=ZOOM_MAX_POSES, score_threshold=ZOOM_SCORE_THRESHOLD)
        found = [_in_picture(maps, one, prepared.transform) for one in decoded]
        return View(same_person(pose, found), 1 / crop.scale)


def _turned_wh(frame: Frame, turn: float) -> tuple[int, int]:
    return (frame.width, frame.height) if turn % 180 == 0 else (frame.height, frame.width)


def _as_fine_as(frame: Frame, crops: Iterable[Crop]) -> Frame:
    """The frame, decoded again where crops show more detail than it has."""
    finest = min((crop.scale for crop in crops), default=None)
    if finest is None:
        return frame
    return finer(frame, lambda width, height: (width / finest, height / finest))


def _run(runtime: Runtime, prepared: ModelInput, *, mirror: bool) -> Maps:
    maps = runtime.run(prepared.pixels)
    if not mirror:
        return maps
    flipped: npt.NDArray[np.uint8] = prepared.pixels[:, ::-1]
    return mirror_average(maps, runtime.run(flipped), prepared.pixels.shape[1])


def _in_picture(maps: Maps, pose: DecodedPose, transform: Transform) -> DecodedPose:
    refined = refine(maps, pose)
    return DecodedPose(transform.to_picture(refined.xy), refined.scores, certainty(refined))


@contextmanager
def timed(timings: dict[str, float], stage: str) -> Iterator[None]:
    """Add the milliseconds that a block takes."""
    start = perf_counter()
    yield
    timings[stage] = timings.get(stage, 0.0) + 1000 * (perf_counter() - start)
