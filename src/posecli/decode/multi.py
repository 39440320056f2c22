"""The multi-person decoder: fast greedy decoding of PersonLab (arXiv 1803.08225, section 3.1.2).

Local maxima of the heatmaps are the candidates for root parts. They are processed in descending order of score. A
root is skipped if it lies on a person that was already found. Every other root is grown into a skeleton along the part
tree. Each step is a mid-range displacement that is refined by short offsets.

The result equals the result of the reference, tfjs-models posenet 2.2 `decodeMultiplePoses`, in every digit. This
includes the order of candidates with equal scores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import floor

import numpy as np
import numpy.typing as npt

from posecli.skeleton import EDGE_COUNT, KEYPOINT_COUNT, PART_TREE
from posecli.types import DecodedPose, Maps

#: A candidate must be the maximum within this many cells in each direction.
LOCAL_MAXIMUM_RADIUS = 1
#: How many times a displaced point is corrected by the short offset at its nearest cell.
OFFSET_REFINEMENT_STEPS = 2

PointYX = tuple[float, float]
#: score, row, column, part
Candidate = tuple[float, int, int, int]
#: A function that reads one number of a map: row, column, channel.
Item = Callable[[int, int, int], float]


def decode_multi(
    maps: Maps, *, max_poses: int = 20, score_threshold: float = 0.5, nms_radius: float = 20.0
) -> list[DecodedPose]:
    """Find people, in descending order of the score of their root part.

    score_threshold: minimum score of a root part, 0..1, inclusive.
    nms_radius: radius of the pose NMS in input pixels. A root is dropped if it is this close to the same part of a
    person that was already found.
    A pose's score is the sum of the scores of the parts that are not near the same part of an earlier person, divided
    by 17.
    """
    squared_radius = nms_radius**2
    grower = _PoseGrower(maps)
    claimed: list[list[PointYX]] = [[] for _ in range(KEYPOINT_COUNT)]
    poses: list[DecodedPose] = []
    for score, row, column, part in _in_reference_order(_root_candidates(maps.heatmaps, score_threshold)):
        if len(poses) >= max_poses:
            break
        root = grower.position(row, column, part)
        if _is_near(root, claimed[part], squared_radius):
            continue
        points, scores = grower.grow(root, part, score)
        poses.append(_finish_pose(points, scores, claimed, squared_radius))
        for part_claims, point in zip(claimed, points, strict=True):
            part_claims.append(point)
    return poses


def _root_candidates(heatmaps: npt.NDArray[np.float32], threshold: float) -> list[Candidate]:
    """Local maxima of the heatmaps with at least the threshold as score, in row-major order."""
    highest = _local_maximum(_local_maximum(heatmaps, axis=0), axis=1)
    # The comparison is in double precision: float32(0.7) is below 0.7.
    found = np.nonzero((heatmaps >= highest) & (heatmaps.astype(np.float64) >= threshold))
    scores = heatmaps[found]
    return list(zip(scores.tolist(), *(axis.tolist() for axis in found), strict=True))


def _local_maximum(values: npt.NDArray[np.float32], axis: int) -> npt.NDArray[np.float32]:
    """The maximum within LOCAL_MAXIMUM_RADIUS along one axis. The window is cut at the border."""
    along = np.moveaxis(values, axis, 0)
    highest = along.copy()
    for step in range(1, LOCAL_MAXIMUM_RADIUS + 1):
        np.maximum(highest[:-step], along[step:], out=highest[:-step])
        np.maximum(highest[step:], along[:-step], out=highest[step:])
    return np.moveaxis(highest, 0, axis)


def _in_reference_order(candidates: list[Candidate]) -> Iterator[Candidate]:
    """Yield candidates in descending order of score. Equal scores have the order of the reference's binary heap."""
    if len({candidate[0] for candidate in candidates}) == len(candidates):
        yield from sorted(candidates, reverse=True)
        return
    heap: list[Candidate] = []
    for candidate in candidates:
        _heap_insert(heap, candidate)
    while heap:
        yield _heap_remove_first(heap)


def _heap_insert(heap: list[Candidate], candidate: Candidate) -> None:
    """Append a candidate and move it up. Slots count from 0, but slot i has the parent i // 2, as in the reference."""
    heap.append(candidate)
    slot = len(heap) - 1
    while slot > 0 and heap[slot // 2][0] < heap[slot][0]:
        heap[slot // 2], heap[slot] = heap[slot], heap[slot // 2]
        slot //= 2


def _heap_remove_first(heap: list[Candidate]) -> Candidate:
    """Remove the first candidate, put the last one in its slot and move it down (children of slot i: 2i, 2i + 1)."""
    first, last = heap[0], heap.pop()
    if not heap:
        return first
    heap[0] = last
    slot = 0
    while 2 * slot < len(heap):
        child = 2 * slot
        if child + 1 < len(heap) and heap[child][0] < heap[child + 1][0]:
            child += 1
        if heap[slot][0] >= heap[child][0]:
            break
        heap[slot], heap[child] = heap[child], heap[slot]
        slot = child
    return first


def _is_near(point: PointYX, others: list[PointYX], squared_radius: float) -> bool:
    y, x = point
    return any((y - other_y) ** 2 + (x - other_x) ** 2 <= squared_radius for other_y, other_x in others)


def _finish_pose(
    points: list[PointYX], scores: list[float], claimed: list[list[PointYX]], squared_radius: float
) -> DecodedPose:
    unclaimed = [
        score
        for point, score, claims in zip(points, scores, claimed, strict=True)
        if not _is_near(point, claims, squared_radius)
    ]
    return DecodedPose(
        xy=np.array(points, dtype=np.float64)[:, ::-1],
        scores=np.array(scores, dtype=np.float64),
        score=sum(unclaimed) / KEYPOINT_COUNT,
    )


class _PoseGrower:
    """Grows a skeleton from a root part.

    It works on scalars in double precision: a picture needs a few hundred look-ups, and array arithmetic would be
    slower.
    """

    def __init__(self, maps: Maps) -> None:
        self._stride = maps.output_stride
        self._last_row, self._last_column = (side - 1 for side in maps.heatmaps.shape[:2])
        # ndarray.item(row, column, channel) returns a Python float and creates no array scalar.
        self._score = maps.heatmaps.item
        self._offset = maps.offsets.item
        self._forward = maps.displacement_fwd.item
        self._backward = maps.displacement_bwd.item

    def position(self, row: int, column: int, part: int) -> PointYX:
        """The position of a part at a cell, in input pixels: the cell plus its short offset."""
        return (
            row * self._stride + self._offset(row, column, part),
            column * self._stride + self._offset(row, column, KEYPOINT_COUNT + part),
        )

    def grow(self, root: PointYX, root_part: int, root_score: float) -> tuple[list[PointYX], list[float]]:
        """Positions and scores of all 17 parts.

        Backward displacements lead to the root of the part tree. Then forward displacements lead to the other parts.
        """
        points: list[PointYX | None] = [None] * KEYPOINT_COUNT
        scores = [0.0] * KEYPOINT_COUNT
        points[root_part], scores[root_part] = root, root_score
        inwards = [(edge, child, parent, self._backward) for edge, (parent, child) in enumerate(PART_TREE)]
        outwards = [(edge, parent, child, self._forward) for edge, (parent, child) in enumerate(PART_TREE)]
        for edge, source, target, displacement in inwards[::-1] + outwards:
            start = points[source]
            if start is not None and points[target] is None:
                points[target], scores[target] = self._step(start, edge, target, displacement)
        return [point for point in points if point is not None], scores

    def _step(self, start: PointYX, edge: int, target: int, displacement: Item) -> tuple[PointYX, float]:
        """Follow an edge of the part tree: position and score of the part at its other end."""
        row, column = self._nearest_cell(start)
        point = (
            start[0] + displacement(row, column, edge),
            start[1] + displacement(row, column, EDGE_COUNT + edge),
        )
        for _ in range(OFFSET_REFINEMENT_STEPS):
            point = self.position(*self._nearest_cell(point), target)
        return point, self._score(*self._nearest_cell(point), target)

    def _nearest_cell(self, point: PointYX) -> tuple[int, int]:
        """Row and column of the nearest cell. Halves are rounded up, and the cell is clamped to the map. Positions are
        never clamped."""
        row = floor(point[0] / self._stride + 0.5)
        column = floor(point[1] / self._stride + 0.5)
        return min(max(row, 0), self._last_row), min(max(column, 0), self._last_column)
