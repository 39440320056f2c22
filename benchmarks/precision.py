#!/usr/bin/env python3
"""Average precision and time of every idea that shaped the presets, and the front of what they reach.

usage: precision.py PICTURES [--only WORD] [--plot FILE.png] [--threads N]

PICTURES holds pictures and person_keypoints.json (COCO annotations of them). Needs the extra `eval`; the plot needs
matplotlib. Everything runs in this process, variant after variant, so that times can be compared with one another.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from types import MappingProxyType
from typing import Any, NamedTuple
from unittest import mock

from posecli.checks.evaluate import evaluate_records
from posecli.inference.estimator import PoseEstimator, available_processors
from posecli.inference.presets import PRESETS

#: What a measurement keeps of poses of low scores, so that the whole curve of precision is seen.
MEASURED = {"min_pose_score": 0.05, "score_threshold": 0.3}


class Variant(NamedTuple):
    """A row: settings of PoseEstimator, and names of posecli that are something else for it."""

    name: str
    settings: dict[str, Any]
    patches: Mapping[str, Any] = MappingProxyType({})


class Row(NamedTuple):
    """What a variant reached; seconds a picture, preparation and decoding included."""

    name: str
    ap: float
    ap50: float
    ar: float
    seconds: float


def one_cell(maps: Any, pose: Any) -> Any:
    """Positions as the reference decoder leaves them."""
    return pose


def part_mean(pose: Any) -> float:
    """The reference's score."""
    return float(pose.score)


def variants() -> Iterator[Variant]:
    """All rows, in the order of the table."""
    plain = {"posecli.inference.passes.refine": one_cell, "posecli.inference.passes.certainty": part_mean}
    yield Variant("257/32 pad, one cell a keypoint: what samples do", {"fit": "pad"}, plain)
    yield Variant("257/32 aspect, one cell a keypoint", {}, plain)
    yield Variant("and averaged votes", {}, {"posecli.inference.passes.certainty": part_mean})
    yield Variant("257/32 pad", {"fit": "pad"})
    yield Variant("257/32: fast", PRESETS["fast"])
    for spread in (0.25, 1.0):
        yield Variant(f"257/32, spread of votes {spread}", {}, {"posecli.decode.refine.VOTE_SPREAD": spread})
    yield Variant("257/32 mirrored", {"mirror": True})
    for size, stride in ((257, 16), (385, 16), (513, 32), (513, 16), (513, 8), (641, 16)):
        yield Variant(f"{size}/{stride}", {"input_size": size, "stride": stride})
    yield Variant("513/16 mirrored", {"input_size": 513, "stride": 16, "mirror": True})
    for size in (161, 193, 257):
        yield Variant(f"513/32, zoom {size}", {"input_size": 513, "zoom": True, "zoom_size": size})
    second = {"input_size": 513, "stride": 16, "zoom": True}
    for size in (193, 257, 321):
        yield Variant(f"513/16, zoom {size}", {**second, "zoom_size": size})
    yield Variant("257/16, zoom 257", {"stride": 16, "zoom": True})
    yield Variant("385/16, zoom 257", {**second, "input_size": 385})
    yield Variant(
        "513/16, zoom 257, no small look for large people", second, {"posecli.inference.passes.MUCH_LARGER": 1e9}
    )
    for margin in (1.5, 2.5):
        yield Variant(f"513/16, zoom 257, margin {margin}", second, {"posecli.inference.crops.MARGIN": margin})
    for least in (0.05, 0.15):
        yield Variant(
            f"513/16, zoom 257, box of keypoints from {least}",
            second,
            {"posecli.poses.similarity.CERTAIN_SCORE": least},
        )
    mirrored = {**second, "mirror": True}
    for sizes in ((257,), (257, 289), (225, 321)):
        yield Variant(f"513/16, zoom {sizes}, mirrored", {**mirrored, "zoom_size": sizes})
    accurate = PRESETS["accurate"]
    yield Variant("accurate, all crops mirrored", accurate, {"posecli.inference.passes.LARGEST_MIRRORED": 10000})
    yield Variant("balanced", PRESETS["balanced"])
    yield Variant("accurate", PRESETS["accurate"])


def measure(variant: Variant, folder: Path, threads: int) -> Row:
    """Run a variant over all pictures."""
    pictures = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    with patched(variant.patches):
        estimator = PoseEstimator(**{**MEASURED, **variant.settings}, threads=threads)
        estimator.estimate(pictures[0])  # the first call is start-up
        start = perf_counter()
        records = [estimator.estimate(path, name=path.name) for path in pictures]
        seconds = (perf_counter() - start) / len(pictures)
    figures = evaluate_records(str(folder / "person_keypoints.json"), records).groups["all"].figures
    return Row(variant.name, *(figures[name] or 0.0 for name in ("AP", "AP50", "AR")), seconds)


@contextmanager
def patched(patches: Mapping[str, Any]) -> Iterator[None]:
    """Names of posecli that are something else inside the block."""
    active = [mock.patch(name, value) for name, value in patches.items()]
    for patch in active:
        patch.start()
    try:
        yield
    finally:
        mock.patch.stopall()


def plot(rows: list[Row], path: Path) -> None:
    """Precision against time, the front and the presets marked."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import FuncFormatter, NullFormatter

    figure, axes = plt.subplots(figsize=(7.5, 4.5))
    front = [row for row in rows if not any(other.seconds < row.seconds and other.ap > row.ap for other in rows)]
    presets = [row for row in rows if row.name.split()[-1] in PRESETS]
    axes.plot([row.seconds for row in rows], [row.ap for row in rows], "o", color="0.7", markersize=5)
    front.sort(key=lambda row: row.seconds)
    axes.plot([row.seconds for row in front], [row.ap for row in front], "-", color="0.6", linewidth=1)
    for row in presets:
        axes.plot(row.seconds, row.ap, "o", color="C0", markersize=9)
        axes.annotate(row.name.split()[-1], (row.seconds, row.ap), (-4, -16), textcoords="offset points", color="C0")
    axes.annotate(rows[0].name, (rows[0].seconds, rows[0].ap), (8, -10), textcoords="offset points", color="0.4")
    axes.set_xscale("log")
    axes.set_xticks(
        [value for value in (0.02, 0.05, 0.1, 0.2, 0.5, 1) if value < 1.2 * max(row.seconds for row in rows)]
    )
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("seconds a picture")
    axes.set_ylabel("COCO keypoint AP")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--only", default="", help="only rows with this in their name")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--threads", type=int, default=available_processors())
    arguments = parser.parse_args()
    rows = []
    print("| what | AP | AP50 | AR | s a picture |\n| --- | --- | --- | --- | --- |")
    for variant in variants():
        if arguments.only in variant.name:
            rows.append(row := measure(variant, arguments.pictures, arguments.threads))
            print(f"| {row.name} | {row.ap:.3f} | {row.ap50:.3f} | {row.ar:.3f} | {row.seconds:.3f} |", flush=True)
    if arguments.plot:
        plot(rows, arguments.plot)


if __name__ == "__main__":
    main()
