"""The passes over a frame: first passes over all of it, and where wanted second passes over each person."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from math import sqrt

from posecli.errors import UsageError
from posecli.inference.crops import Box, Crop
from posecli.inference.networks import PoseNetPasses, SinglePersonPasses, Timings, timed
from posecli.inputs.pictures import Frame, finer, fitted_size, prepare, prepare_part, turned_bounds
from posecli.model.graph import Graph
from posecli.model.heads import check_fixed_input, find_single_person
from posecli.model.runtime import Runtime
from posecli.poses.consensus import Candidate, Pass, View, agree, best_way_up, confirm, merge, trunk_angle
from posecli.poses.similarity import SAME_PERSON, match_greedily, pose_nms, similarities
from posecli.types import DecodedPose, Settings

#: Second passes use finer maps where the network allows it.
ZOOM_STRIDE = 16
QUARTER_TURNS = (90.0, 180.0, 270.0)
#: Somebody found in a turned picture with less than this score, after all weights, is no reason to look closer.
TURNED_SCORE = 0.25
#: Trunks that lean less, degrees, are seen no better in a turned crop.
UPRIGHT_LEAN = 45.0

Network = PoseNetPasses | SinglePersonPasses


class PoseFinder:
    """Runs networks over frames, as the settings say. Poses come in picture pixels.

    graph: of the network of first passes, and where wanted of the second ones; zoom_network: one more for these.
    runtime_class: what runs a PoseNet. Raises ModelError or UsageError where a network cannot be used so.
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
        """What runs a PoseNet: in first passes and, where that is another, in second ones."""
        found = (network.runtime for network in (self._first, *self._second))
        return tuple(dict.fromkeys(runtime for runtime in found if isinstance(runtime, Runtime)))

    @property
    def output_stride(self) -> int:
        """Input pixels from one cell of the first passes' maps to the next."""
        return self._first.output_stride

    def input_size(self, width: int, height: int) -> tuple[int, int]:
        """Height and width of the input of the largest first pass for a picture."""
        return self._first.input_sizes(width, height)[-1]

    def needed_detail(self, width: int, height: int) -> tuple[int, int]:
        """Width and height beyond which the first passes see no more detail of a picture."""
        return fitted_size((width, height), self.input_size(width, height), self._first.fit)

    def find(self, frame: Frame, timings: Timings, known: Sequence[DecodedPose] = ()) -> list[DecodedPose]:
        """Everybody in a frame, in falling score; milliseconds by stage are added to `timings`.

        known: the people of a frame just before, in picture pixels. With second passes, they are looked for where they
        were; where all are found again that is everybody. Without, those whom the first passes miss get a second pass.
        """
        if known and self._second:
            with timed(timings, "zoom"):
                again = self._find_again(frame, known)
            if again is not None:
                return self._kept(again)
        candidates = self._first_passes(frame, timings)
        if not self._second:
            people = [candidate.pose for candidate in candidates]
            with timed(timings, "zoom"):
                return self._kept(self._with_missed(frame, people, known))
        with timed(timings, "zoom"):
            return self._kept(self._second_passes(frame, candidates))

    def _kept(self, poses: Sequence[DecodedPose]) -> list[DecodedPose]:
        """Those of poses in falling score that the settings ask for."""
        kept = [pose for pose in poses if pose.score >= self._settings.min_pose_score]
        return kept[: 1 if self._settings.decoder == "single" else self._settings.max_poses]

    def _first_passes(self, frame: Frame, timings: Timings) -> list[Candidate]:
        """The people whom the passes over all of the frame agree on, upright and turned."""
        sizes = self._first.input_sizes(frame.width, frame.height)
        candidates = agree([self._pass_over_all(frame, size_hw, timings) for size_hw in sizes])
        if self._settings.turns == "off":
            return candidates
        turned = [one for turn in QUARTER_TURNS for one in self._turned_passes(frame, turn, candidates, timings)]
        return best_way_up([*candidates, *turned])

    def _turned_passes(
        self, frame: Frame, turn: float, upright: Sequence[Candidate], timings: Timings
    ) -> list[Candidate]:
        """Those of the frame turned back by `turn`. With `auto` the smallest pass decides whether the others are worth
        their time: whether it shows somebody whom the upright passes do not."""
        smallest, *larger = self._first.input_sizes(*_turned_wh(frame, turn))
        passes = [self._pass_over_all(frame, smallest, timings, turn)]
        if self._settings.turns == "auto":
            people = best_way_up([*upright, *agree(passes, turn=turn)])
            if not any(one.turn and one.pose.score >= TURNED_SCORE for one in people):
                return []
        passes += [self._pass_over_all(frame, size_hw, timings, turn) for size_hw in larger]
        return agree(passes, turn=turn)

    def _pass_over_all(self, frame: Frame, size_hw: tuple[int, int], timings: Timings, turn: float = 0.0) -> Pass:
        """A first pass."""
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
        """All people, the first `max_zooms` of them after second passes."""
        chosen, others = candidates[: self._settings.max_zooms], candidates[self._settings.max_zooms :]
        crops = [self._crops(frame, candidate.pose, candidate.turn) for candidate in chosen]
        frame = _as_fine_as(frame, (crop for found in crops for _, crop in found))
        confirmed = [
            confirm(candidate, _views(frame, candidate.pose, found))
            for candidate, found in zip(chosen, crops, strict=True)
        ]
        return pose_nms([candidate.pose for candidate in best_way_up([*confirmed, *others])])

    def _find_again(self, frame: Frame, known: Sequence[DecodedPose]) -> list[DecodedPose] | None:
        """The people of the frame before, by second passes alone; None where one of them does not show somebody."""
        if len(known) > self._settings.max_zooms:
            return None
        people = []
        for pose in known:
            views = _views(frame, pose, self._crops(frame, pose, 0.0))
            if not views or any(view.pose is None for view in views):
                return None
            again = merge(views)
            people.append(again._replace(score=sqrt(pose.score * again.score)))
        kept = pose_nms(people)
        return kept if len(kept) == len(people) else None

    def _with_missed(
        self, frame: Frame, people: Sequence[DecodedPose], known: Sequence[DecodedPose]
    ) -> list[DecodedPose]:
        """People, with those of the frame before who are not among them and whom a second pass shows where they were:
        first passes miss who stands behind somebody."""
        found = match_greedily(similarities(known, people), least=SAME_PERSON)
        missed = [pose for number, pose in enumerate(known) if number not in found][: self._settings.max_zooms]
        picture_wh = (frame.width, frame.height)
        views = [
            (pose, self._first.view(frame, pose, crop))
            for pose in missed
            for crop in self._first.crops(pose, picture_wh, 0.0)
        ]
        again = [
            view.pose._replace(score=sqrt(pose.score * view.pose.score))
            for pose, view in views
            if view.pose is not None
        ]
        return pose_nms([*people, *again]) if again else list(people)

    def _crops(self, frame: Frame, pose: DecodedPose, turn: float) -> list[tuple[Network, Crop]]:
        """What second passes look at for a person whom passes turned by `turn` found, and with which network."""
        picture_wh, turn = (frame.width, frame.height), self._crop_turn(pose, turn)
        return [(network, crop) for network in self._second for crop in network.crops(pose, picture_wh, turn)]

    def _crop_turn(self, pose: DecodedPose, turn: float) -> float:
        """Degrees by which a crop is turned so that the person's trunk is upright in it."""
        if self._settings.turns == "off":
            return 0.0
        angle = trunk_angle(pose)
        if angle is None:
            return turn
        return angle if abs(angle) > UPRIGHT_LEAN else 0.0


def _views(frame: Frame, pose: DecodedPose, crops: Iterable[tuple[Network, Crop]]) -> list[View]:
    return [network.view(frame, pose, crop) for network, crop in crops]


def _finer_runtime(first: Runtime, graph: Graph, *, threads: int, runtime_class: type[Runtime]) -> Runtime:
    """What runs second passes: the first passes' runtime where that is fine enough, or cannot be finer."""
    if first.output_stride > ZOOM_STRIDE:
        with suppress(UsageError):
            return runtime_class(graph, threads=threads, stride=ZOOM_STRIDE)
    return first


def _padded(box: Box, size_hw: tuple[int, int]) -> Box:
    """The smallest box around another one, about the same centre, that has the proportions of an input."""
    left, top, right, bottom = box
    scale = max((right - left) / size_hw[1], (bottom - top) / size_hw[0]) / 2
    x, y = (left + right) / 2, (top + bottom) / 2
    return x - size_hw[1] * scale, y - size_hw[0] * scale, x + size_hw[1] * scale, y + size_hw[0] * scale


def _turned_wh(frame: Frame, turn: float) -> tuple[int, int]:
    return (frame.width, frame.height) if turn % 180 == 0 else (frame.height, frame.width)


def _as_fine_as(frame: Frame, crops: Iterable[Crop]) -> Frame:
    """The frame, decoded again where crops show more detail than it has."""
    finest = min((crop.scale for crop in crops), default=None)
    if finest is None:
        return frame
    return finer(frame, lambda width, height: (width / finest, height / finest))
