#!/usr/bin/env python3
"""Measures the errors of `posecli measure` on a drawn clip with known angles, by frame rate and smoothing.

    python benchmarks/angles.py [--seconds 8] [--keep FOLDER] [-- options of posecli estimate]

A person, drawn from the front, walks from border to border. Elbows, hips and knees bend in the plane of the picture, as
if seen from the side. Prints for each frame rate and each --smooth: mean and 95th percentile of the error; 95th
percentile of the change between frames, measured and true; the share of angles with a quality of 0, and their error.
"""

from __future__ import annotations

import argparse
import io
import math
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pandas
from PIL import Image

from posecli.poses.angles import angles_of
from posecli.skeleton import KEYPOINT_NAMES
from posecli.types import Keypoint, Pose

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "samples"))
import draw_samples

SIZE, HEIGHT = (640, 480), 330
RATES = (10, 25, 50)
SMOOTH = (None, 0.2, 0.3, 0.5)
#: Seconds for two steps, and for one crossing from border to border.
CYCLE, CROSSING = 1.1, 5.0
NAMES = [f"{side} {joint}" for joint in ("elbow", "hip", "knee") for side in ("left", "right")]


def walker(seconds: float) -> draw_samples.Figure:
    """The figure at a time. Legs swing by 25 degrees; knees bend by 5 to 60 degrees, elbows by 20 to 50."""
    across = abs((seconds / CROSSING + 0.5) % 2 - 1)
    limbs = {}
    for side, lag in (("left", 0.0), ("right", math.pi)):
        phase = 2 * math.pi * seconds / CYCLE + lag
        hip, knee = 25 * math.sin(phase), 5 + 55 * max(math.sin(phase + 1.9), 0) ** 2
        shoulder, elbow = -22 * math.sin(phase), 35 - 15 * math.sin(phase)
        limbs |= {f"{side}_leg": (hip, hip - knee), f"{side}_arm": (shoulder, shoulder + elbow)}
    centre = (SIZE[0] * (0.2 + 0.6 * across), 0.5 * SIZE[1])
    return draw_samples.Figure(centre, HEIGHT, look=1, shirt=(60, 120, 150), **limbs)


def draw_clip(path: Path, rate: int, seconds: float) -> pandas.DataFrame:
    """Write the clip. Return the true angles, one row for each frame."""
    background, rows = draw_samples.hall(SIZE, 0.8), []
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for number in range(int(seconds * rate)):
            canvas, person = background.copy(), walker(number / rate)
            draw_samples.Painter(canvas).figure(person)
            picture = canvas.resize(SIZE, Image.Resampling.BOX)
            container.mux(stream.encode(av.VideoFrame.from_image(picture)))
            points = [Keypoint(i, name, *person.joints[name], 1.0) for i, name in enumerate(KEYPOINT_NAMES)]
            rows.append(angles_of(Pose.from_keypoints(1.0, points)))
        container.mux(stream.encode(None))
    return pandas.DataFrame(rows)


def posecli(*words: object) -> bytes:
    command = [sys.executable, "-m", "posecli", *map(str, words)]
    return subprocess.run(command, check=True, capture_output=True).stdout


def measured(records: Path, smooth: float | None) -> pandas.DataFrame:
    """The measured angles of the longest track, one row for each frame."""
    options = () if smooth is None else ("--smooth", smooth)
    table = pandas.read_csv(io.BytesIO(posecli("measure", records, *options)))
    return table[table["track"] == table["track"].mode()[0]].set_index("frame")


def figures(truth: pandas.DataFrame, found: pandas.DataFrame) -> dict[str, float]:
    """The columns of the table for one clip and one smoothing."""
    errors = (found[NAMES] - truth.loc[found.index, NAMES]).abs().to_numpy()
    jumps = (found[[f"{name} quality" for name in NAMES]] == 0).to_numpy()
    consecutive = (found.index.to_series().diff() == 1).to_numpy()
    change, true_change = (table[NAMES].diff().abs().to_numpy() for table in (found, truth.loc[found.index]))
    return {
        "mean error": np.nanmean(errors), "p95 error": np.nanpercentile(errors, 95),
        "p95 change": np.nanpercentile(change[consecutive], 95),
        "p95 true change": np.nanpercentile(true_change[consecutive], 95),
        "jumps": jumps.mean(), "error of jumps": np.nanmean(errors[jumps]) if jumps.any() else math.nan,
    }  # fmt: skip


def rows_for(rate: int, arguments: argparse.Namespace, folder: Path) -> Sequence[dict[str, object]]:
    """The rows of the table for one frame rate, one for each smoothing."""
    clip, records = folder / f"walk{rate}.mp4", folder / f"walk{rate}.jsonl"
    truth = draw_clip(clip, rate, arguments.seconds)
    posecli("estimate", clip, "-o", records, "--track", "-q", "--overwrite", *arguments.options)
    possible = [smooth for smooth in SMOOTH if smooth is None or smooth * rate >= 4]  # measure refuses shorter ones
    return [{"rate": rate, "smooth": smooth or "", **figures(truth, measured(records, smooth))} for smooth in possible]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("options", nargs="*")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = arguments.keep or Path(name)
        folder.mkdir(exist_ok=True)
        rows = [row for rate in RATES for row in rows_for(rate, arguments, folder)]
    print(pandas.DataFrame(rows).to_string(index=False, float_format=lambda value: f"{value:.2f}"))


if __name__ == "__main__":
    main()
