"""The passes over a frame: first passes over the whole frame, and optional second passes over each person."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from math import sqrt

import numpy as np

from posecli.errors import UsageError
from posecli.inference.crops import Box, Crop
from posecli.inference.networks import PoseNetPasses, SinglePersonPasses, Timings, timed
from posecli.inputs.pictures import (
    Frame,
    cut,
    detail_for_part,
    finer,
    fitted_size,
    prepare,
    prepare_part,
    turned_bounds,
)
from posecli.model.graph import Graph
from posecli.model.heads import check_fixed_input, find_single_person
from posecli.model.runtime import Runtime
from posecli.poses.choice import choose
from posecli.poses.consensus import Candidate, Pass, View, confirm, drop_worse_turns, merge, merge_passes, trunk_angle
from posecli.poses.similarity import SAME_PERSON, match_greedily, pose_nms, similarities
from posecli.region import PixelBox
from posecli.types import DecodedPose, Settings

#: Output stride of second passes, if the network allows it: finer maps than those of most first passes.
ZOOM_STRIDE = 16
QUARTER_TURNS = (90.0, 180.0, 270.0)
#: With `turns` auto: lowest score, after all weights, of a person in the smallest turned pass for more turned passes.
TURNED_SCORE = 0.25
#: Largest trunk lean without a turned crop, degrees: turning improves nothing below it.
UPRIGHT_LEAN = 45.0

Network = PoseNetPasses | SinglePersonPasses


class PoseFinder:
    """Runs networks over frames, according to the settings. Poses are in picture pixels.

    graph: the network of first passes, and of second passes with `zoom`. zoom_network: an additional network for second
    passes. runtime_class: runs a PoseNet. Raises ModelError or UsageError if a network does not support the settings.
    """

    def __init__(
        self,
        graph: Graph,
        settings: Settings,
        *,
        threads: int,
        zoom_network: SinglePersonPasses | None = None,
        runtime_class: type[Runtime] = Runtime,
    ) -> None:
        self._settings = settings
        self._first: Network
        self._second: list[Network] = []
        if (heads := find_single_person(graph)) is not None:
            check_fixed_input(heads, stride=settings.stride, input_size=settings.input_size)
            self._first = SinglePersonPasses(graph, heads, threads=threads)
            if settings.zoom:
                self._second.append(self._first)
        else:
            first = runtime_class(graph, threads=threads, stride=settings.stride)
            self._first = PoseNetPasses(first, settings)
            if settings.zoom:
                second = _finer_runtime(first, graph, threads=threads, runtime_class=runtime_class)
                self._second.append(self._first if second is first else PoseNetPasses(second, settings))
        if zoom_network is not None:
            self._second.append(zoom_network)

    @property
    def runtimes(self) -> tuple[Runtime, ...]:
        """The runtimes of PoseNet: of first passes and, if it differs, of second passes."""
        found = (network.runtime for network in (self._first, *self._second))
        return tuple(dict.fromkeys(runtime for runtime in found if isinstance(runtime, Runtime)))

    @property
    def output_stride(self) -> int:
        """The output stride of first passes, input pixels."""
        return self._first.output_stride

    def box_in(self, width: int, height: int) -> PixelBox | None:
        """The part of a picture that passes use, picture pixels; None if the region lies outside the picture."""
        region = self._settings.region
        return (0, 0, width, height) if region is None else region.box_in(width, height)

    def input_size(self, width: int, height: int) -> tuple[int, int]:
        """Height and width of the input of the largest first pass. width, height: of the picture."""
        left, top, right, bottom = self.box_in(width, height) or (0, 0, width, height)
        return self._first.input_sizes(right - left, bottom - top)[-1]

    def needed_detail(self, width: int, height: int) -> tuple[float, float]:
        """The width and height of a picture that first passes need; more resolution has no effect."""
        box = self.box_in(width, height)
        return detail_for_part(self._detail_of_part, box)(width, height) if box is not None else (1, 1)

    def _detail_of_part(self, width: int, height: int) -> tuple[int, int]:
        """As `needed_detail`, for the part of a picture that passes use."""
        return fitted_size((width, height), self._first.input_sizes(width, height)[-1], self._first.fit)

    def find(
        self, frame: Frame, timings: Timings, previous: Sequence[DecodedPose] = (), *, all_people: bool = False
    ) -> list[DecodedPose]:
        """Find the people in a frame that the settings ask for, in descending score. Adds milliseconds by stage to
        `timings`.

        previous: the people of the previous frame, in picture pixels. With second passes, these look for them at their
        last positions, and first passes run only if one of them is not found. Without, each person that the first
        passes miss gets a second pass.
        all_people: ignore the setting `person`.
        """
        picture_wh = frame.width, frame.height
        box = self.box_in(*picture_wh)
        if box is None:
            return []
        left, top = box[:2]
        found = self._find_in(cut(frame, box), timings, [_moved(pose, -left, -top) for pose in previous])
        people = self._kept([_moved(pose, left, top) for pose in found])
        if self._settings.person is None or all_people:
            return people
        index = choose(people, self._settings.person, picture_wh, self._settings.region)
        return [] if index is None else [people[index]]

    def _find_in(self, frame: Frame, timings: Timings, previous: Sequence[DecodedPose]) -> list[DecodedPose]:
        """Find all people in the region of a frame. frame: already cut to the region; poses are in its pixels."""
        if previous and self._second:
            with timed(timings, "zoom"):
                again = self._find_again(frame, previous)
            if again is not None:
                return again
        candidates = self._first_passes(frame, timings)
        people = [candidate.pose for candidate in candidates]
        if not previous and not self._second:
            return people
        with timed(timings, "zoom"):
            if self._second:
                return self._second_passes(frame, candidates)
            return self._with_missed(frame, people, previous)

    def _kept(self, poses: Sequence[DecodedPose]) -> list[DecodedPose]:
        """The poses that score at least `min_pose_score`, up to the highest number. poses: in descending score."""
        kept = [pose for pose in poses if pose.score >= self._settings.min_pose_score]
        return kept[: 1 if self._settings.decoder == "single" else self._settings.most_people]

    def _first_passes(self, frame: Frame, timings: Timings) -> list[Candidate]:
        """The merged people of all first passes, upright and turned."""
        sizes = self._first.input_sizes(frame.width, frame.height)
        candidates = merge_passes([self._pass_over_all(frame, size_hw, timings) for size_hw in sizes])
        if self._settings.turns == "off":
            return candidates
        turned = [one for turn in QUARTER_TURNS for one in self._turned_passes(frame, turn, candidates, timings)]
        return drop_worse_turns([*candidates, *turned])

    def _turned_passes(
        self, frame: Frame, turn: float, upright: Sequence[Candidate], timings: Timings
    ) -> list[Candidate]:
        """The candidates in the frame turned back by `turn`. With `turns` auto, the larger passes run only if the
        smallest pass shows a person that the upright passes do not show."""
        smallest, *larger = self._first.input_sizes(*_turned_wh(frame, turn))
        passes = [self._pass_over_all(frame, smallest, timings, turn)]
        if self._settings.turns == "auto":
            people = drop_worse_turns([*upright, *merge_passes(passes, turn=turn)])
            if not any(one.turn and one.pose.score >= TURNED_SCORE for one in people):
                return []
        passes += [self._pass_over_all(frame, size_hw, timings, turn) for size_hw in larger]
        return merge_passes(passes, turn=turn)

    def _pass_over_all(self, frame: Frame, size_hw: tuple[int, int], timings: Timings, turn: float = 0.0) -> Pass:
        """Run a first pass over the whole frame."""
        with timed(timings, "prepare"):
            if turn:
                box = turned_bounds((frame.width, frame.height), turn)
                if self._first.fit == "pad":
                    box = _padded(box, size_hw)
                prepared = prepare_part(frame, box, size_hw=size_hw, turn=turn)
            else:
                prepared = prepare(frame, size_hw=size_hw, fit=self._first.fit)
        return Pass(self._first.find(prepared, timings), prepared.transform.input_scale)

    def _second_passes(self, frame: Frame, candidates: Sequence[Candidate]) -> list[DecodedPose]:
        """Run second passes over the first `max_zooms` people. Return all people."""
        chosen, others = candidates[: self._settings.max_zooms], candidates[self._settings.max_zooms :]
        crops = [self._crops(frame, candidate.pose, candidate.turn) for candidate in chosen]
        frame = _fine_enough(frame, (crop for found in crops for _, crop in found))
        confirmed = [
            confirm(candidate, _views(frame, candidate.pose, found))
            for candidate, found in zip(chosen, crops, strict=True)
        ]
        return pose_nms([candidate.pose for candidate in drop_worse_turns([*confirmed, *others])])

    def _find_again(self, frame: Frame, previous: Sequence[DecodedPose]) -> list[DecodedPose] | None:
        """Find the people of the previous frame with second passes only; None if a pass does not show its person."""
        if len(previous) > self._settings.max_zooms:
            return None
        people = []
        for pose in previous:
            views = _views(frame, pose, self._crops(frame, pose, 0.0))
            if not views or any(view.pose is None for view in views):
                return None
            again = merge(views)
            people.append(again._replace(score=sqrt(pose.score * again.score)))
        kept = pose_nms(people)
        return kept if len(kept) == len(people) else None

    def _with_missed(
        self, frame: Frame, people: Sequence[DecodedPose], previous: Sequence[DecodedPose]
    ) -> list[DecodedPose]:
        """Add the people of the previous frame that first passes missed and second passes find at their last positions.
        First passes often miss a person who stands behind another."""
        found = match_greedily(similarities(previous, people), least=SAME_PERSON)
        missed = [pose for index, pose in enumerate(previous) if index not in found]
        again = []
        for pose in missed[: self._settings.max_zooms]:
            for crop in self._first.crops(pose, (frame.width, frame.height), 0.0):
                seen = self._first.view(frame, pose, crop).pose
                if seen is not None:
                    again.append(seen._replace(score=sqrt(pose.score * seen.score)))
        return pose_nms([*people, *again]) if again else list(people)

    def _crops(self, frame: Frame, pose: DecodedPose, turn: float) -> list[tuple[Network, Crop]]:
        """The crops of second passes for a person, each with its network. turn: of the passes that found the person."""
        picture_wh, turn = (frame.width, frame.height), self._crop_turn(pose, turn)
        return [(network, crop) for network in self._second for crop in network.crops(pose, picture_wh, turn)]

    def _crop_turn(self, pose: DecodedPose, turn: float) -> float:
        """The angle of a crop in which the person's trunk is upright, degrees."""
        if self._settings.turns == "off":
            return 0.0
        angle = trunk_angle(pose)
        if angle is None:
            return turn
        return angle if abs(angle) > UPRIGHT_LEAN else 0.0


def _moved(pose: DecodedPose, x: int, y: int) -> DecodedPose:
    return pose._replace(xy=pose.xy + np.array((x, y))) if x or y else pose


def _views(frame: Frame, pose: DecodedPose, crops: Iterable[tuple[Network, Crop]]) -> list[View]:
    return [network.view(frame, pose, crop) for network, crop in crops]


def _finer_runtime(first: Runtime, graph: Graph, *, threads: int, runtime_class: type[Runtime]) -> Runtime:
    """The runtime of second passes: that of first passes if it is fine enough, or if no finer stride is possible."""
    if first.output_stride > ZOOM_STRIDE:
        with suppress(UsageError):
            return runtime_class(graph, threads=threads, stride=ZOOM_STRIDE)
    return first


def _padded(box: Box, size_hw: tuple[int, int]) -> Box:
    """The smallest box that contains `box`, has the same centre, and has the aspect ratio of an input."""
    left, top, right, bottom = box
    scale = max((right - left) / size_hw[1], (bottom - top) / size_hw[0]) / 2
    x, y = (left + right) / 2, (top + bottom) / 2
    return x - size_hw[1] * scale, y - size_hw[0] * scale, x + size_hw[1] * scale, y + size_hw[0] * scale


def _turned_wh(frame: Frame, turn: float) -> tuple[int, int]:
    return (frame.width, frame.height) if turn % 180 == 0 else (frame.height, frame.width)


def _fine_enough(frame: Frame, crops: Iterable[Crop]) -> Frame:
    """The frame, decoded again at a higher resolution if the crops need it."""
    finest = min((crop.scale for crop in crops), default=None)
    if finest is None:
        return frame
    return finer(frame, lambda width, height: (width / finest, height / finest))
