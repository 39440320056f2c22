"""Calibrate an int8 model on the user's pictures, and compare it with the float32 model on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from posecli.errors import InputError, UsageError
from posecli.inference.passes import PoseFinder
from posecli.inputs.arguments import Inputs
from posecli.inputs.pictures import Frame, read_frame
from posecli.model.graph import Graph, read_graph
from posecli.model.locate import load_model_file
from posecli.model.quantize import check_quantizable, quantize
from posecli.model.runtime import ObservingRuntime, Runtime, find_runtime
from posecli.model.runtime_choice import choose_runtime
from posecli.poses.similarity import CERTAIN_SCORE, SAME_PERSON, match_greedily, similarities
from posecli.types import DecodedPose, Settings

#: Timed passes over one input; their median is reported.
TIMED_PASSES = 15


class Comparison(NamedTuple):
    """An int8 model compared with its float32 source.

    size: bytes. milliseconds: per pass on one CPU core. moved_median, moved_90: median and 90th percentile of keypoint
    distances, picture pixels.
    """

    size: int
    float_size: int
    milliseconds: float
    float_milliseconds: float
    runtime: str
    pictures: int
    people: int
    people_found_again: int
    moved_median: float
    moved_90: float

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return self._asdict()

    def __str__(self) -> str:
        return (
            f"{self.size:,} instead of {self.float_size:,} bytes; a pass takes {self.milliseconds:.1f} ms instead of "
            f"{self.float_milliseconds:.1f} ms with {self.runtime}; on {self.pictures} pictures "
            f"{self.people_found_again} of {self.people} people were found again, and their keypoints moved by "
            f"{self.moved_median:.1f} pixels (median; 90% by less than {self.moved_90:.1f})"
        )


def make_int8(
    model: str | None, folder: str, settings: Sequence[Settings], *, recipe: str, count: int
) -> tuple[bytes, Comparison]:
    """Quantise a float32 model. Return the int8 model and a comparison of both.

    folder: of pictures; at most `count` are used, evenly spread. settings: the passes to calibrate; the last settings
    are compared. Raises UsageError if there is no picture, and the errors of `quantize`.
    """
    choose_runtime()  # an unusable runtime is reported before a download
    file = load_model_file(model, progress=True)
    graph = read_graph(file.data, trusted=file.known)
    check_quantizable(graph)
    frames = _frames(folder, count)
    ranges = _observe(graph, frames, settings)
    source = {
        "source": {"name": file.name, "sha256": file.sha256},
        "calibration": {"pictures": len(frames), "settings": [one.to_dict() for one in settings]},
    }
    data = quantize(graph, ranges, recipe=recipe, source=source)
    return data, _compare(graph, read_graph(data), frames, settings[-1])


def _frames(folder: str, count: int) -> list[Frame]:
    images = list(Inputs([folder]))
    chosen = images[:: max(len(images) // count, 1)][:count]
    frames: list[Frame] = []
    for image in chosen:
        with suppress(InputError):  # unreadable pictures are skipped
            frames.append(read_frame(image.name, max_pixels=Settings.max_pixels))
    if not frames:
        raise UsageError(f"there is no picture in {folder}", "name a folder of pictures like those the model is for")
    return frames


def _observe(graph: Graph, frames: Sequence[Frame], settings: Sequence[Settings]) -> dict[str, tuple[float, float]]:
    """The range of every tensor over all pictures and all settings."""
    ranges: dict[str, tuple[float, float]] = {}
    with tqdm(total=len(settings) * len(frames), desc="calibrating", unit=" pictures", disable=None) as bar:
        for one in settings:
            finder = PoseFinder(graph, one, threads=1, runtime_class=ObservingRuntime)
            for frame in frames:
                finder.find(frame, {})
                bar.update()
            for runtime in finder.runtimes:
                assert isinstance(runtime, ObservingRuntime)
                for name, (low, high) in runtime.ranges.items():
                    known = ranges.get(name, (low, high))
                    ranges[name] = min(low, known[0]), max(high, known[1])
    return ranges


def _compare(graph: Graph, quantised: Graph, frames: Sequence[Frame], settings: Settings) -> Comparison:
    before, after = (PoseFinder(one, settings, threads=1) for one in (graph, quantised))
    people = found = 0
    moved: list[float] = []
    for frame in tqdm(frames, desc="comparing", unit=" pictures", disable=None):
        truth, others = before.find(frame, {}), after.find(frame, {})
        people += len(truth)
        for distances in _pairs(truth, others):
            found += 1
            moved += distances
    milliseconds, float_milliseconds = (_time_of_a_pass(one) for one in (quantised, graph))
    return Comparison(
        size=len(quantised.data),
        float_size=len(graph.data),
        milliseconds=milliseconds,
        float_milliseconds=float_milliseconds,
        runtime=find_runtime()[0],
        pictures=len(frames),
        people=people,
        people_found_again=found,
        moved_median=float(np.median(moved)) if moved else 0.0,
        moved_90=float(np.percentile(moved, 90)) if moved else 0.0,
    )


def _pairs(truth: Sequence[DecodedPose], others: Sequence[DecodedPose]) -> Iterator[list[float]]:
    """For each person that both models found, the distances of the keypoints that are certain in both."""
    for index, other_index in match_greedily(similarities(truth, others), least=SAME_PERSON).items():
        pose, other = truth[index], others[other_index]
        both = (pose.scores >= CERTAIN_SCORE) & (other.scores >= CERTAIN_SCORE)
        yield np.linalg.norm(pose.xy - other.xy, axis=1)[both].tolist()


def _time_of_a_pass(graph: Graph) -> float:
    runtime = Runtime(graph, threads=1)
    picture = np.zeros((*runtime.native_size_hw, 3), np.uint8)
    times = []
    for _ in range(TIMED_PASSES):
        start = perf_counter()
        runtime.run(picture)
        times.append(1000 * (perf_counter() - start))
    return median(times)
