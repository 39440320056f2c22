#!/usr/bin/env python3
"""Pictures a second of `posecli estimate`, start-up included, against the bare network and a plain loop.

    python benchmarks/throughput.py PICTURES [--count 2000] [--rounds 3] [-- further options of posecli estimate]

The three alternate, so that a drifting machine moves all alike; ratios are medians over the rounds.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
from multiprocessing.synchronize import Barrier
from pathlib import Path
from time import perf_counter

import numpy as np
from PIL import Image

from posecli.estimate import available_processors
from posecli.inputs import Inputs
from posecli.model.catalog import locate_model
from posecli.model.runtime import find_runtime

RAW_SECONDS = 4.0
LOOP_PICTURES = 150


def bare_worker(model: str, start: Barrier, done: multiprocessing.Queue) -> None:
    """Nothing but invoke(), for some seconds."""
    interpreter = find_runtime()[1](model_path=model, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.invoke()
    start.wait()
    count, end = 0, perf_counter() + RAW_SECONDS
    while perf_counter() < end:
        interpreter.invoke()
        count += 1
    done.put(count)


def bare_rate(model: str, processors: int) -> float:
    context = multiprocessing.get_context("spawn")
    start, done = context.Barrier(processors), context.Queue()
    workers = [context.Process(target=bare_worker, args=(model, start, done)) for _ in range(processors)]
    for worker in workers:
        worker.start()
    total = sum(done.get() for _ in workers)
    for worker in workers:
        worker.join()
    return total / RAW_SECONDS


def loop_rate(model: str, files: list[str], processors: int) -> float:
    """What published samples do: open, decode, resize, invoke with every processor, best cell."""
    interpreter = find_runtime()[1](model_path=model, num_threads=processors)
    interpreter.allocate_tensors()
    given, heatmaps = interpreter.get_input_details()[0], interpreter.get_output_details()[0]["index"]
    _, height, width, _ = given["shape"]
    start = perf_counter()
    for file in files:
        with Image.open(file) as picture:
            small = picture.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
        interpreter.set_tensor(given["index"], (np.asarray(small, np.float32) / 127.5 - 1)[None])
        interpreter.invoke()
        interpreter.get_tensor(heatmaps)[0].reshape(-1, 17).argmax(0)
    return len(files) / (perf_counter() - start)


def posecli_rate(folder: Path, count: int, options: list[str]) -> float:
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "posecli", "estimate", str(folder), "-o", f"{out}/x.jsonl", "-q", *options]
        start = perf_counter()
        subprocess.run(command, check=True)
        seconds = perf_counter() - start
        records = sum(1 for line in open(f"{out}/x.jsonl") if json.loads(line)["status"] == "ok")  # noqa: SIM115
    assert records == count, f"{records} records for {count} pictures"
    return count / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("options", nargs="*")
    args = parser.parse_args()
    model, processors = str(locate_model()), available_processors()
    sources = [os.path.abspath(image.name) for image in Inputs([args.pictures])]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, source in zip(range(args.count), itertools.cycle(sources), strict=False):
            (folder / f"{number:06d}{Path(source).suffix}").symlink_to(source)
        files = (sources * (LOOP_PICTURES // len(sources) + 1))[:LOOP_PICTURES]
        rows = [
            (
                bare_rate(model, processors),
                loop_rate(model, files, processors),
                posecli_rate(folder, args.count, args.options),
            )
            for _ in range(args.rounds)
        ]
    bare, loop, ours = (statistics.median(column) for column in zip(*rows, strict=True))
    to_bare, to_loop = (statistics.median(row[2] / row[k] for row in rows) for k in (0, 1))
    print(f"runtime {find_runtime()[0]}, {processors} processors, {args.count} pictures, {args.rounds} rounds")
    print(f"bare network {bare:.1f}/s, plain loop {loop:.1f}/s, posecli {ours:.1f}/s")
    print(f"posecli / bare network {to_bare:.2f}, posecli / plain loop {to_loop:.2f}")


if __name__ == "__main__":
    main()
