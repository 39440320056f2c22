#!/usr/bin/env python3
"""Measures the identities and the jitter of tracked people on drawn clips of people whose paths cross.

    python benchmarks/tracking.py [--seeds 41 42 43 44 45 46] [--frames 250] [--rates] [-- options of posecli estimate]

Each seed gives another clip: three to five people of random height, speed and shirt. Prints IDF1, MOTA and identity
switches (motmetrics; a person counts as found if the mean distance of the keypoints is below a quarter of the height),
jitter (mean second difference of keypoints, pixels) and error with and without --smooth. --rates also prints frames per
second with and without tracking, compared with the same frames as JPEGs. Needs motmetrics and the extra video.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import av
import motmetrics
import numpy as np
from PIL import Image

from posecli.skeleton import KEYPOINT_NAMES

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "samples"))
import draw_samples

SIZE, FPS = (640, 480), 25
#: Share of the width at which people turn back, so that each meets the others several times.
BORDER = 0.1


class Walker(NamedTuple):
    """A drawn person. start: share of the width. speed: heights per second, to the right. height: pixels. look, shirt:
    of the figure."""

    start: float
    speed: float
    height: int
    look: int
    shirt: tuple[int, int, int]


def walkers_of(seed: int) -> list[Walker]:
    rng = random.Random(seed)
    return [
        Walker(
            rng.uniform(0.12, 0.88), rng.choice((-1, 1)) * rng.uniform(0.35, 0.95), rng.randint(215, 280),
            rng.randint(0, 3), (rng.randint(30, 220), rng.randint(30, 220), rng.randint(30, 220)),
        )
        for _ in range(rng.randint(3, 5))
    ]  # fmt: skip


def figure(walker: Walker, seconds: float) -> draw_samples.Figure:
    """The figure of a walker at a time. Arms and legs swing."""
    height, look = walker.height, walker.look
    room = 1 - 2 * BORDER
    distance = (walker.start - BORDER + walker.speed * seconds * height / SIZE[0]) % (2 * room)
    x = BORDER + (distance if distance < room else 2 * room - distance)
    swing = math.sin(2 * math.pi * seconds * 0.8 + look)
    return draw_samples.Figure(
        (x * SIZE[0], 0.56 * SIZE[1]), height, look=look, shirt=walker.shirt,
        left_arm=(14 + 14 * swing, 8 + 16 * swing), right_arm=(-14 + 14 * swing, -8 + 16 * swing),
        left_leg=(7 + 12 * swing, 4 + 12 * swing), right_leg=(-7 - 12 * swing, -4 - 12 * swing),
    )  # fmt: skip


def draw_clip(walkers: Sequence[Walker], path: Path, stills: Path, frames: int) -> list[list[np.ndarray]]:
    """Write the clip, and its frames as JPEGs. Return the true keypoints [17, 2] of each walker in each frame."""
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


def hidden(walkers: Sequence[Walker], people: list[np.ndarray]) -> set[int]:
    """Walkers more than half covered by a taller, nearer one. They do not count as misses."""
    boxes = [(person.min(axis=0), person.max(axis=0)) for person in people]
    found = set()
    for number, (low, high) in enumerate(boxes):
        nearer = [box for other, box in enumerate(boxes) if walkers[other].height > walkers[number].height]
        covered = [max(min(high[0], right[0]) - max(low[0], left[0]), 0) / (high[0] - low[0]) for left, right in nearer]
        if max(covered, default=0) > 0.5:
            found.add(number)
    return found


def estimate(source: Path, options: list[str]) -> tuple[list[dict], float]:
    """The records of a run, and the frames per second of the whole process."""
    start = perf_counter()
    output = subprocess.run(
        [sys.executable, "-m", "posecli", "estimate", str(source), "-q", *options],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    records = [json.loads(line) for line in output.splitlines()]
    return records, len(records) / (perf_counter() - start)


def keypoints(pose: dict) -> np.ndarray:
    return np.array([(point["x"], point["y"]) for point in pose["keypoints"]])


def identities(walkers: Sequence[Walker], records: list[dict], truth: list[list[np.ndarray]]) -> dict[str, float]:
    """IDF1, MOTA, identity switches, and the number of tracks. People without a number do not count."""
    accumulator = motmetrics.MOTAccumulator(auto_id=True)
    for record, people in zip(records, truth, strict=True):
        ignored = hidden(walkers, people)
        poses = [pose for pose in record["poses"] if pose.get("id") is not None]
        distances = np.array(
            [[np.linalg.norm(keypoints(pose) - person, axis=1).mean() for pose in poses] for person in people]
        ).reshape(len(people), -1)
        distances /= np.array([np.ptp(person[:, 1]) for person in people])[:, None]
        nearest = distances.argmin(axis=0)
        visible = [number for number in range(len(people)) if number not in ignored]
        counted = [index for index in range(distances.shape[1]) if nearest[index] not in ignored]
        distances[distances > 0.25] = np.nan
        ids = [poses[index]["id"] for index in counted]
        accumulator.update(visible, ids, distances[np.ix_(visible, counted)])
    metrics = ["idf1", "mota", "num_switches", "num_misses", "num_false_positives"]
    row = motmetrics.metrics.create().compute(accumulator, metrics=metrics, name="clip").iloc[0]
    tracks = {pose["id"] for record in records for pose in record["poses"] if pose.get("id") is not None}
    return {name: float(row[name]) for name in metrics} | {"tracks": len(tracks), "walkers": len(walkers)}


def steadiness(records: list[dict], truth: list[list[np.ndarray]]) -> tuple[float, float]:
    """Jitter, over people found in three consecutive frames, and mean error; pixels."""
    paths: dict[int, dict[int, np.ndarray]] = {}
    errors = []
    for number, (record, people) in enumerate(zip(records, truth, strict=True)):
        for pose in record["poses"]:
            if pose.get("id") is not None:
                found = keypoints(pose)
                paths.setdefault(pose["id"], {})[number] = found
                errors.append(min(np.linalg.norm(found - person, axis=1).mean() for person in people))
    jitter = [
        np.linalg.norm(path[n - 1] - 2 * path[n] + path[n + 1], axis=1).mean()
        for path in paths.values() for n in path if n - 1 in path and n + 1 in path
    ]  # fmt: skip
    return float(np.mean(jitter)), float(np.mean(errors))


def rates(clip: Path, stills: Path, options: list[str]) -> str:
    """Frames per second of whole processes, medians of three runs."""
    found = [
        (estimate(clip, ["--track", *options])[1], estimate(clip, options)[1], estimate(stills, options)[1])
        for _ in range(3)
    ]
    of_tracked, of_clip, of_stills = np.median(found, axis=0)
    return (
        f"tracked {of_tracked:.1f} frames/s, not tracked {of_clip:.1f} frames/s, stills {of_stills:.1f} frames/s; "
        f"ratio to stills: {of_tracked / of_stills:.2f} tracked, {of_clip / of_stills:.2f} not tracked"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[41, 42, 43, 44, 45, 46])
    parser.add_argument("--frames", type=int, default=250)
    parser.add_argument("--rates", action="store_true")
    parser.add_argument("options", nargs="*")
    arguments = parser.parse_args()
    found = []
    for seed in arguments.seeds:
        walkers = walkers_of(seed)
        with tempfile.TemporaryDirectory() as name:
            clip, stills = Path(name) / "walkers.mp4", Path(name) / "stills"
            stills.mkdir()
            truth = draw_clip(walkers, clip, stills, arguments.frames)
            tracked, _ = estimate(clip, ["--track", *arguments.options])
            smoothed, _ = estimate(clip, ["--smooth", *arguments.options])
            row = identities(walkers, tracked, truth)
            for title, records in (("", tracked), (" smoothed", smoothed)):
                row["jitter" + title], row["error" + title] = steadiness(records, truth)
            found.append(row)
            print(f"clip {seed}:", ", ".join(f"{title} {value:.3g}" for title, value in row.items()), flush=True)
            if arguments.rates:
                print(rates(clip, stills, arguments.options), flush=True)
    print("mean:", ", ".join(f"{title} {np.mean([row[title] for row in found]):.3g}" for title in found[0]))


if __name__ == "__main__":
    main()
