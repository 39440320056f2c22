#!/usr/bin/env python3
"""The figures of the README and of docs/accuracy.md and docs/speed.md, measured in one run.

usage: figures.py PICTURES [--write]

PICTURES contains JPEGs and person_keypoints.json (their COCO annotations). It takes ten minutes on two cores, on which
nothing else should run. --write puts the tables into the documents, between their markers. Needs the extra `eval`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import fmean, median
from time import perf_counter
from typing import Any, NamedTuple

from memory import peak
from PIL import Image
from precision import MEASURED, SIZES, TRUTH, resized
from startup import seconds

from posecli.checks.evaluate import evaluate_records
from posecli.inference.estimator import PoseEstimator
from posecli.inference.presets import PRESETS
from posecli.model.locate import locate_model

ROOT = Path(__file__).resolve().parents[1]
#: Clockwise quarter turns → how Pillow makes them.
TURNS = {1: Image.Transpose.ROTATE_270, 2: Image.Transpose.ROTATE_180, 3: Image.Transpose.ROTATE_90}
#: Runs of whole processes for a preset, of which the median counts.
RUNS = {"fast": 5, "balanced": 3}
#: What a preset does, for the README.
PASSES = {
    "fast": "`fast` (default) | one pass at 257 pixels",
    "balanced": "`balanced` | passes at 257 and 481, then one over each person",
    "accurate": "`accurate` | passes at 353 and 609, also turned; then two over each person, also mirrored",
    "best": "`best` | passes at 385, 513 and 769, also turned; then three over each person, also mirrored",
}


class Figures(NamedTuple):
    """Of one preset. aps: by size; turned: by turn; seconds: per picture, whole processes, all cores."""

    aps: list[float]
    turned: list[float]
    seconds: float


def precision(preset: str, folder: Path) -> float:
    estimator = PoseEstimator(preset=preset, **MEASURED)
    records = [estimator.estimate(path, name=path.name) for path in sorted(folder.glob("*.jpg"))]
    return evaluate_records(str(folder / TRUTH), records).groups["all"].figures["AP"] or 0.0


def turned(pictures: Path, folder: Path, quarters: int) -> Path:
    """Write the pictures and their annotations, turned clockwise, to a folder."""
    folder.mkdir()
    for path in sorted(pictures.glob("*.jpg")):
        Image.open(path).convert("RGB").transpose(TURNS[quarters]).save(folder / path.name, quality=95)
    truth = json.loads((pictures / TRUTH).read_text())
    sizes = {picture["id"]: (picture["width"], picture["height"]) for picture in truth["images"]}
    for person in truth["annotations"]:
        _turn_person(person, sizes[person["image_id"]], quarters)
    for picture in truth["images"]:
        if quarters != 2:
            picture["width"], picture["height"] = picture["height"], picture["width"]
    (folder / TRUTH).write_text(json.dumps(truth))
    return folder


def _turn_person(person: dict[str, Any], size: tuple[int, int], quarters: int) -> None:
    def place(x: float, y: float) -> tuple[float, float]:
        width, height = size
        return {1: (height - y, x), 2: (width - x, height - y), 3: (y, width - x)}[quarters]

    points = person["keypoints"]
    for start in range(0, len(points), 3):
        if points[start + 2]:
            points[start : start + 2] = place(points[start], points[start + 1])
    left, top, width, height = person["bbox"]
    (x0, y0), (x1, y1) = place(left, top), place(left + width, top + height)
    person["bbox"] = [min(x0, x1), min(y0, y1), abs(x1 - x0), abs(y1 - y0)]


def seconds_per_picture(preset: str, pictures: Path) -> float:
    """Median over runs of `posecli estimate` on all pictures, without the start of the process."""
    paths = sorted(str(path) for path in pictures.glob("*.jpg"))
    command = [sys.executable, "-m", "posecli", "estimate", "-q", "--preset", preset]
    runs = RUNS.get(preset, 1)
    start = median(seconds([*command, paths[0]]) for _ in range(3))
    return (median(seconds([*command, *paths]) for _ in range(runs)) - start) / (len(paths) - 1)


def measure(pictures: Path) -> dict[str, Figures]:
    found = {}
    with tempfile.TemporaryDirectory() as name:
        sizes = [resized(pictures, Path(name) / str(factor), factor) for factor in SIZES]
        turns = [turned(pictures, Path(name) / f"turned-{quarters}", quarters) for quarters in TURNS]
        for preset in PRESETS:
            begin = perf_counter()
            found[preset] = Figures(
                [precision(preset, folder) for folder in sizes],
                [precision(preset, folder) for folder in turns],
                seconds_per_picture(preset, pictures),
            )
            print(f"{preset}: {found[preset]} ({perf_counter() - begin:.0f} s)", file=sys.stderr, flush=True)
    return found


def circumstances() -> str:
    """The machine, the packages, the date and the commit."""
    cpus = [line.split(": ")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    git = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    return (
        f"{os.cpu_count()} cores ({cpus[0] if cpus else 'unknown CPU'}), {platform.system()}, "
        f"Python {platform.python_version()}, LiteRT {version('ai-edge-litert')}, `{locate_model().name}`; "
        f"{date.today()}, commit {commit}."
    )


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def tables(found: dict[str, Figures], pictures: Path) -> dict[str, dict[str, str]]:
    """Document → marker → its text."""
    least = found["fast"].seconds
    rows = {
        preset: (fmean(one.aps), min(one.aps), max(one.aps), fmean(one.turned), one.seconds / least)
        for preset, one in found.items()
    }
    presets = [
        "| preset | what it does | AP | AP, turned pictures | relative time |",
        "| --- | --- | --- | --- | --- |",
    ]
    accuracy = ["| preset | AP | lowest to highest | turned |", "| --- | --- | --- | --- |"]
    speed = ["| preset | ms per picture | pictures per second | relative time |", "| --- | --- | --- | --- |"]
    for preset, (ap, low, high, turned_ap, cost) in rows.items():
        presets.append(f"| {PASSES[preset]} | {ap:.2f} | {turned_ap:.2f} | {cost:.0f} |")
        accuracy.append(f"| `{preset}` | {ap:.3f} | {low:.3f} to {high:.3f} | {turned_ap:.3f} |")
        one = found[preset].seconds
        speed.append(f"| `{preset}` | {1000 * one:.0f} | {1 / one:.1f} | {cost:.1f} |")
    return {
        "README.md": {"presets": "\n".join(presets)},
        "docs/accuracy.md": {"accuracy": "\n".join([*accuracy, "", circumstances()])},
        "docs/speed.md": {"speed": "\n".join([*speed, "", *memory_and_start(pictures), "", circumstances()])},
    }


def memory_and_start(pictures: Path) -> list[str]:
    picture = min(pictures.glob("*.jpg"))
    start = [seconds([sys.executable, "-m", "posecli", "estimate", "-q", str(picture)]) for _ in range(11)]
    few, many = (peak(picture, count) / 1024 for count in (1, 2000))
    return [
        "| quantity | value |",
        "| --- | --- |",
        f"| one picture, whole process | {median(start):.2f} s ({min(start):.2f} to {max(start):.2f}, 11 runs) |",
        f"| memory, one picture | {few:.0f} MiB |",
        f"| memory, 2,000 pictures, one worker for each core | {many:.0f} MiB |",
    ]


def write(document: Path, marker: str, text: str) -> None:
    """Put a table between the markers of a document."""
    pattern = re.compile(f"(<!-- {marker} -->\n).*?(<!-- end of {marker} -->)", re.DOTALL)
    changed, count = pattern.subn(lambda match: f"{match[1]}\n{text}\n\n{match[2]}", document.read_text("utf-8"))
    assert count == 1, f"{document} has no place for {marker}"
    document.write_text(changed, "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    made = tables(measure(arguments.pictures), arguments.pictures)
    for document, texts in made.items():
        for marker, text in texts.items():
            print(f"\n{document}\n\n{text}")
            if arguments.write:
                write(ROOT / document, marker, text)


if __name__ == "__main__":
    main()
