#!/usr/bin/env python3
"""Draws a clip of three walkers who cross, and measures how well they are told apart and how steady they are.

    python benchmarks/tracking.py [--frames 300] [--clip 0] [--keep CLIP.mp4] [-- options of posecli estimate]

Prints IDF1, MOTA and identity switches (motmetrics; a person is found where the mean distance of his keypoints is below
a quarter of his height), jitter (mean second difference of keypoints, pixels) and error with and without --smooth, and
frames a second against the same frames as JPEGs, tracked and not. Needs motmetrics and the extra video.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import av
import motmetrics
import numpy as np
from PIL import Image

from posecli.skeleton import KEYPOINT_NAMES

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "samples"))
import draw_samples

SIZE, FPS = (640, 480), 25
#: Where each walker is at first (share of the width), how fast (heights a second, to the right), height, looks, shirt.
#: All turn round at the borders, so that each meets the others several times. The first clip is the
#: one of the figures; the others show whether those hold for more than one.
CLIPS = (
    ((0.12, 0.62, 250, 0, (200, 60, 50)), (0.88, -0.70, 270, 2, (60, 122, 92)), (0.5, 0.45, 230, 3, (64, 90, 176))),
    ((0.2, 0.5, 240, 1, (220, 200, 60)), (0.8, -0.8, 255, 2, (90, 40, 120)), (0.45, -0.6, 265, 0, (30, 130, 160))),
    ((0.1, 0.9, 260, 3, (200, 200, 205)), (0.6, -0.5, 235, 1, (40, 40, 44)), (0.9, -0.65, 250, 2, (180, 60, 90))),
    ((0.3, 0.7, 245, 0, (60, 122, 92)), (0.5, 0.55, 275, 2, (64, 90, 176)), (0.7, -0.75, 225, 1, (200, 120, 50))),
)
BORDER = 0.1


def figure(walker: tuple, seconds: float) -> draw_samples.Figure:
    """A walker at a time: arms and legs swing."""
    start, speed, height, look, shirt = walker
    room = 1 - 2 * BORDER
    way = (start - BORDER + speed * seconds * height / SIZE[0]) % (2 * room)
    place = BORDER + (way if way < room else 2 * room - way)
    swing = math.sin(2 * math.pi * seconds * 0.8 + look)
    return draw_samples.Figure(
        (place * SIZE[0], 0.56 * SIZE[1]), height, look=look, shirt=shirt,
        left_arm=(14 + 14 * swing, 8 + 16 * swing), right_arm=(-14 + 14 * swing, -8 + 16 * swing),
        left_leg=(7 + 12 * swing, 4 + 12 * swing), right_leg=(-7 - 12 * swing, -4 - 12 * swing),
    )  # fmt: skip


def draw_clip(walkers: Sequence[tuple], path: Path, stills: Path, frames: int) -> list[list[np.ndarray]]:
    """Write the clip and its frames as JPEGs; the true keypoints [17, 2] of each walker in each frame."""
    background = draw_samples.hall(SIZE, 0.7)
    truth = []
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for number in range(frames):
            canvas = background.copy()
            people = [figure(walker, number / FPS) for walker in walkers]
            for person in sorted(people, key=lambda person: person.height):
                draw_samples.Painter(canvas).figure(person)
            picture = canvas.resize(SIZE, Image.Resampling.BOX)
            picture.save(stills / f"{number:06d}.jpg", quality=92)
            container.mux(stream.encode(av.VideoFrame.from_image(picture)))
            truth.append([np.array([person.joints[name] for name in KEYPOINT_NAMES]) for person in people])
        container.mux(stream.encode(None))
    return truth


def hidden(walkers: Sequence[tuple], people: list[np.ndarray]) -> set[int]:
    """Walkers whom a taller one, who is nearer, covers by more than half: nobody is asked to find them."""
    boxes = [(person.min(axis=0), person.max(axis=0)) for person in people]
    found = set()
    for number, (low, high) in enumerate(boxes):
        nearer = [box for other, box in enumerate(boxes) if walkers[other][2] > walkers[number][2]]
        covered = [max(min(high[0], right[0]) - max(low[0], left[0]), 0) / (high[0] - low[0]) for left, right in nearer]
        if max(covered, default=0) > 0.5:
            found.add(number)
    return found


def estimate(source: Path, options: list[str]) -> tuple[list[dict], float]:
    """Records of a run, and frames a second of the whole process."""
    start = perf_counter()
    output = subprocess.run(
        [sys.executable, "-m", "posecli", "estimate", str(source), "-q", *options],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    records = [json.loads(line) for line in output.splitlines()]
    return records, len(records) / (perf_counter() - start)


def keypoints(pose: dict) -> np.ndarray:
    return np.array([(point["x"], point["y"]) for point in pose["keypoints"]])


def identities(walkers: Sequence[tuple], records: list[dict], truth: list[list[np.ndarray]]) -> str:
    """IDF1, MOTA and switches."""
    accumulator = motmetrics.MOTAccumulator(auto_id=True)
    for record, people in zip(records, truth, strict=True):
        away = hidden(walkers, people)
        distances = np.array(
            [[np.linalg.norm(keypoints(pose) - person, axis=1).mean() for pose in record["poses"]] for person in people]
        ).reshape(len(people), -1)
        distances /= np.array([np.ptp(person[:, 1]) for person in people])[:, None]
        nearest = distances.argmin(axis=0)
        asked = [number for number in range(len(people)) if number not in away]
        counted = [place for place in range(distances.shape[1]) if nearest[place] not in away]
        distances[distances > 0.25] = np.nan
        ids = [record["poses"][place]["id"] for place in counted]
        accumulator.update(asked, ids, distances[np.ix_(asked, counted)])
    metrics = ["idf1", "mota", "num_switches", "num_misses", "num_false_positives"]
    row = motmetrics.metrics.create().compute(accumulator, metrics=metrics, name="clip").iloc[0]
    return ", ".join(f"{name} {row[name]:.3g}" for name in metrics)


def steadiness(records: list[dict], truth: list[list[np.ndarray]]) -> str:
    """Jitter and error over the keypoints of everybody who is found in three frames running."""
    paths: dict[int, dict[int, np.ndarray]] = {}
    errors = []
    for number, (record, people) in enumerate(zip(records, truth, strict=True)):
        for pose in record["poses"]:
            found = keypoints(pose)
            paths.setdefault(pose["id"], {})[number] = found
            errors.append(min(np.linalg.norm(found - person, axis=1).mean() for person in people))
    jitter = [
        np.linalg.norm(path[n - 1] - 2 * path[n] + path[n + 1], axis=1).mean()
        for path in paths.values() for n in path if n - 1 in path and n + 1 in path
    ]  # fmt: skip
    return f"jitter {np.mean(jitter):.2f}, mean error {np.mean(errors):.2f} pixels"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--clip", type=int, choices=range(len(CLIPS)), default=0)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("options", nargs="*")
    arguments = parser.parse_args()
    walkers, options = CLIPS[arguments.clip], arguments.options
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip, stills = arguments.keep or folder / "walkers.mp4", folder / "stills"
        stills.mkdir()
        truth = draw_clip(walkers, clip, stills, arguments.frames)
        smoothed, _ = estimate(clip, ["--smooth", *options])
        rates = []
        for _ in range(3):
            tracked, of_tracked = estimate(clip, ["--track", *options])
            rates.append((of_tracked, estimate(clip, options)[1], estimate(stills, options)[1]))
    print(identities(walkers, tracked, truth))
    print(f"tracked:  {steadiness(tracked, truth)}")
    print(f"smoothed: {steadiness(smoothed, truth)}")
    of_tracked, of_clip, of_stills = np.median(rates, axis=0)
    print(
        f"tracked {of_tracked:.1f} frames/s, not tracked {of_clip:.1f}/s, stills {of_stills:.1f}/s: "
        f"{of_tracked / of_stills:.2f} and {of_clip / of_stills:.2f} of the stills"
    )


if __name__ == "__main__":
    main()
