#!/usr/bin/env python3
"""Time per picture in the parent process, without the network, by number of pictures.

    python benchmarks/driver.py [--counts 1000 10000 100000]

It lists a folder, writes records to a file and counts them: the loop of `posecli estimate` with an engine that returns
two people for each picture immediately.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from time import perf_counter

from posecli.inputs.arguments import Inputs
from posecli.inputs.clips import ClipOptions
from posecli.records.formats import get_format
from posecli.records.identity import RunIdentity
from posecli.run import batch
from posecli.run.destinations import Destinations, Policy, RunFile
from posecli.run.pipeline import Work
from posecli.run.report import Report
from posecli.skeleton import KEYPOINT_NAMES
from posecli.types import ImageInput, Keypoint, ModelInfo, Pose, Record, Settings

PEOPLE = 2


def answer_at_once(images: Iterable[ImageInput]) -> Iterator[Record]:
    points = [Keypoint(i, name, 10.25 * i, 7.5 * i, 0.5) for i, name in enumerate(KEYPOINT_NAMES)]
    poses = (Pose.from_keypoints(0.5, points),) * PEOPLE
    model, settings = ModelInfo("none", "0" * 64, (257, 257), 32), Settings().to_dict()
    for image in images:
        yield Record(image.name, "ok", width=640, height=480, model=model, settings=settings, poses=poses)


def run(count: int) -> float:
    """Seconds for a folder of `count` empty files."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "in"
        folder.mkdir()
        for number in range(count):
            (folder / f"{number:07d}.jpg").touch()
        destinations = Destinations(RunFile(get_format("jsonl"), f"{name}/x.jsonl"))
        start = perf_counter()
        batch.run(
            Inputs([str(folder)]),
            answer_at_once,
            Work(Settings(), ClipOptions(), destinations, timeout=60),
            Report(quiet=True),
            policy=Policy.REFUSE,
            identity=RunIdentity("0" * 64, Settings()),
        )
        return perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[1000, 10000, 100000])
    for count in parser.parse_args().counts:
        seconds = run(count)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{count:>7} pictures: {1000 * seconds / count:.3f} ms each, peak {memory:.0f} MiB", flush=True)


if __name__ == "__main__":
    main()
