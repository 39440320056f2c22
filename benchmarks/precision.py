#!/usr/bin/env python3
"""Average precision and time of every variant that was considered for the presets, with their Pareto front.

usage: precision.py PICTURES [--only WORD] [--plot FILE.png] [--threads N] [--sizes FACTOR...]

PICTURES contains JPEGs and person_keypoints.json (their COCO annotations). They are measured at several sizes, because
the precision at one size varies by up to 0.05, the mean over sizes by less than 0.01. Needs the extra `eval`; the plot
needs matplotlib. All variants run in this process, one after the other, so that their times can be compared.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from time import perf_counter
from types import MappingProxyType
from typing import Any, NamedTuple
from unittest import mock

from PIL import Image

from posecli.checks.evaluate import evaluate_records
from posecli.inference.estimator import PoseEstimator, available_cores
from posecli.inference.presets import PRESETS

#: COCO annotations, in the folder of the pictures.
TRUTH = "person_keypoints.json"
#: Factors on the pictures' sizes.
SIZES = (0.8, 0.9, 1.0, 1.1, 1.2, 1.35)
#: Low thresholds, so that the whole precision-recall curve is evaluated.
MEASURED = {"min_pose_score": 0.05, "score_threshold": 0.3}


class Variant(NamedTuple):
    """A row of the table. settings: of PoseEstimator. patches: names of posecli that are replaced → replacement."""

    name: str
    settings: dict[str, Any]
    patches: Mapping[str, Any] = MappingProxyType({})


class Row(NamedTuple):
    """The results of a variant, means over all sizes. seconds: per picture, with preparation and decoding."""

    name: str
    ap: float
    least_ap: float
    most_ap: float
    ap50: float
    ar: float
    seconds: float


def one_cell(maps: Any, pose: Any) -> Any:
    """Stand-in for `refine`: the positions of the reference decoder."""
    return pose


def part_mean(pose: Any) -> float:
    """Stand-in for `certainty`: the score of the reference decoder."""
    return float(pose.score)


def variants() -> Iterator[Variant]:
    """All variants, in the order of the table."""
    plain = {"posecli.inference.networks.refine": one_cell, "posecli.inference.networks.certainty": part_mean}
    yield Variant("257/32 pad, one cell per keypoint: sample apps", {"fit": "pad"}, plain)
    yield Variant("257/32: fast", PRESETS["fast"])
    yield Variant("257/16", {"stride": 16})
    for sizes in ((385,), (513,), (769,), (513, 769), (385, 513, 769)):
        yield Variant(f"{' and '.join(map(str, sizes))}/16", {"input_size": sizes, "stride": 16})
    yield Variant(
        "385 and 513 and 769/16, equal weights",
        {"input_size": (385, 513, 769), "stride": 16},
        {"posecli.poses.consensus.LEAST_VISIBILITY": 1.0},
    )
    second = {"zoom": True, "zoom_size": 257, "stride": 16}
    yield Variant("513/16, zoom 257", {**second, "input_size": 513})
    yield Variant("513/32, zoom 193", {"input_size": 513, "zoom": True, "zoom_size": 193})
    yield Variant("balanced", PRESETS["balanced"])
    accurate = PRESETS["accurate"]
    yield Variant("accurate, not turned, not mirrored", {**accurate, "turns": "off", "mirror": False})
    yield Variant("accurate, not turned", {**accurate, "turns": "off"})
    yield Variant("accurate", accurate)
    yield Variant("best", PRESETS["best"])


def measure(variant: Variant, folders: list[Path], threads: int) -> Row:
    """Measure a variant on the pictures at all sizes."""
    aps, means, seconds = [], [], []
    for folder in folders:
        pictures = sorted(folder.glob("*.jpg"))
        with patched(variant.patches):
            estimator = PoseEstimator(**{**MEASURED, **variant.settings}, threads=threads)
            estimator.estimate(pictures[0])  # the first call is slower
            start = perf_counter()
            records = [estimator.estimate(path, name=path.name) for path in pictures]
            seconds.append((perf_counter() - start) / len(pictures))
        figures = evaluate_records(str(folder / TRUTH), records).groups["all"].figures
        aps.append(figures["AP"] or 0.0)
        means.append([figures[name] or 0.0 for name in ("AP50", "AR")])
    ap50, ar = (fmean(column) for column in zip(*means, strict=True))
    return Row(variant.name, fmean(aps), min(aps), max(aps), ap50, ar, fmean(seconds))


def resized(pictures: Path, folder: Path, factor: float) -> Path:
    """Write the pictures and their annotations at another size to a folder."""
    folder.mkdir()
    for path in sorted(pictures.glob("*.jpg")):
        picture = Image.open(path).convert("RGB")
        size = round(picture.width * factor), round(picture.height * factor)
        picture.resize(size, Image.Resampling.LANCZOS).save(folder / path.name, quality=95)
    truth = json.loads((pictures / TRUTH).read_text())
    for person in truth["annotations"]:
        points = person["keypoints"]
        person["keypoints"] = [value if index % 3 == 2 else value * factor for index, value in enumerate(points)]
        person["bbox"] = [value * factor for value in person["bbox"]]
        person["area"] *= factor**2
    for picture in truth["images"]:
        picture |= {side: round(picture[side] * factor) for side in ("width", "height")}
    (folder / TRUTH).write_text(json.dumps(truth))
    return folder


@contextmanager
def patched(patches: Mapping[str, Any]) -> Iterator[None]:
    """Replace names of posecli inside the block."""
    active = [mock.patch(name, value) for name, value in patches.items()]
    for patch in active:
        patch.start()
    try:
        yield
    finally:
        mock.patch.stopall()


def plot(rows: list[Row], path: Path) -> None:
    """Plot precision against time, with the Pareto front and the presets."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import FuncFormatter, NullFormatter

    figure, axes = plt.subplots(figsize=(7.5, 4.5))
    front = [row for row in rows if not any(other.seconds < row.seconds and other.ap > row.ap for other in rows)]
    presets = [row for row in rows if row.name.split()[-1] in PRESETS]
    scatter = [[row.ap - row.least_ap for row in rows], [row.most_ap - row.ap for row in rows]]
    seconds, precision = [row.seconds for row in rows], [row.ap for row in rows]
    axes.errorbar(seconds, precision, scatter, fmt="o", color="0.7", markersize=5, linewidth=1)
    front.sort(key=lambda row: row.seconds)
    axes.plot([row.seconds for row in front], [row.ap for row in front], "-", color="0.6", linewidth=1)
    for row in presets:
        axes.plot(row.seconds, row.ap, "o", color="C0", markersize=9)
        axes.annotate(row.name.split()[-1], (row.seconds, row.ap), (-4, -16), textcoords="offset points", color="C0")
    axes.annotate(rows[0].name, (rows[0].seconds, rows[0].ap), (8, -10), textcoords="offset points", color="0.4")
    axes.set_xscale("log")
    axes.set_xticks(
        [value for value in (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2) if value < 1.2 * max(row.seconds for row in rows)]
    )
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("seconds per picture")
    axes.set_ylabel("COCO keypoint AP, mean and range over sizes")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--only", default="", help="only variants with this text in their name")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--sizes", type=float, nargs="+", default=SIZES)
    arguments = parser.parse_args()
    rows = []
    print("| variant | AP (lowest to highest) | AP50 | AR | s per picture |\n| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        folders = [resized(arguments.pictures, Path(name) / str(factor), factor) for factor in arguments.sizes]
        for variant in variants():
            if arguments.only in variant.name:
                rows.append(row := measure(variant, folders, arguments.threads))
                ap = f"{row.ap:.3f} ({row.least_ap:.3f} to {row.most_ap:.3f})"
                print(f"| {row.name} | {ap} | {row.ap50:.3f} | {row.ar:.3f} | {row.seconds:.3f} |", flush=True)
    if arguments.plot:
        plot(rows, arguments.plot)


if __name__ == "__main__":
    main()
