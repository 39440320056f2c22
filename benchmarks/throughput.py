#!/usr/bin/env python3
"""Pictures per second of `posecli estimate`, with start-up, compared with the bare network and a plain loop.

    python benchmarks/throughput.py PICTURES [--count 2000] [--rounds 3] [--int8 MODEL] [--openvino]
                                    [-- further options of posecli estimate]

--int8 also measures `posecli estimate` with that model. --openvino (package openvino) also measures a simple OpenVINO
program: one thread per CPU core, each with its own request, in f32, and in bf16 if the CPU supports it.
All alternate in each round, so that changes of the machine's speed affect all. Ratios are medians over the rounds.
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
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing.synchronize import Barrier
from pathlib import Path
from time import perf_counter

import numpy as np
from PIL import Image

from posecli.inference.estimator import available_cores
from posecli.inputs.arguments import Inputs
from posecli.model.locate import locate_model
from posecli.model.runtime import find_runtime

RAW_SECONDS = 4.0
LOOP_PICTURES = 150


def bare_worker(model: str, start: Barrier, done: multiprocessing.Queue) -> None:
    """Call only invoke(), for some seconds."""
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
    """The loop of published samples: open, decode, resize, invoke with all CPU cores, best cell."""
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


def openvino_rate(model: str, files: list[str], processors: int, precision: str) -> float:
    """Open, decode, resize, infer, best cell, with one thread per CPU core."""
    import openvino

    core = openvino.Core()
    settings = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": processors}
    compiled = core.compile_model(core.read_model(model), "CPU", settings)
    _, height, width, _ = compiled.input(0).shape
    local = threading.local()

    def estimate(file: str) -> None:
        if not hasattr(local, "request"):
            local.request = compiled.create_infer_request()
        with Image.open(file) as picture:
            small = picture.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
        local.request.infer([(np.asarray(small, np.float32) / 127.5 - 1)[None]])
        local.request.get_output_tensor(0).data[0].reshape(-1, 17).argmax(0)

    with ThreadPoolExecutor(processors) as pool:
        list(pool.map(estimate, files[:processors]))
        start = perf_counter()
        list(pool.map(estimate, files))
    return len(files) / (perf_counter() - start)


def openvino_precisions() -> list[str]:
    """f32, and bf16 if the CPU supports it."""
    import openvino

    capabilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return ["f32", *(["bf16"] if "BF16" in capabilities else [])]


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
    parser.add_argument("--int8", metavar="MODEL", help="also measure posecli with this model")
    parser.add_argument("--openvino", action="store_true", help="also measure OpenVINO")
    parser.add_argument("options", nargs="*")
    args = parser.parse_args()
    model, processors = str(locate_model()), available_cores()
    sources = [os.path.abspath(image.name) for image in Inputs([args.pictures])]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, source in zip(range(args.count), itertools.cycle(sources), strict=False):
            (folder / f"{number:06d}{Path(source).suffix}").symlink_to(source)
        files = (sources * (LOOP_PICTURES // len(sources) + 1))[:LOOP_PICTURES]
        rates = {
            "bare network": partial(bare_rate, model, processors),
            "plain loop": partial(loop_rate, model, files, processors),
            "posecli": partial(posecli_rate, folder, args.count, args.options),
        }
        if args.int8:
            rates["bare int8"] = partial(bare_rate, args.int8, processors)
            rates["posecli int8"] = partial(posecli_rate, folder, args.count, ["--model", args.int8, *args.options])
        for precision in openvino_precisions() if args.openvino else ():
            rates[f"OpenVINO {precision}"] = partial(openvino_rate, model, files, processors, precision)
        rounds = [{what: rate() for what, rate in rates.items()} for _ in range(args.rounds)]
    print(f"runtime {find_runtime()[0]}, {processors} CPU cores, {args.count} pictures, {args.rounds} rounds")
    for what in rates:
        shares = (statistics.median(row[what] / row[base] for row in rounds) for base in ("bare network", "posecli"))
        rate = statistics.median(row[what] for row in rounds)
        print("{:14} {:7.1f}/s   {:.2f} of the bare network, {:.2f} of posecli".format(what, rate, *shares))


if __name__ == "__main__":
    main()
