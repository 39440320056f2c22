#!/usr/bin/env python3
"""Time of a process for one picture, compared with a process that only loads the model and runs it once.

python benchmarks/startup.py PICTURE [--runs 10]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from time import perf_counter

from posecli.inference.estimator import available_cores
from posecli.model.locate import locate_model
from posecli.model.runtime import find_runtime

BARE = """
import sys, numpy
from {module} import Interpreter
interpreter = Interpreter(sys.argv[1], num_threads=int(sys.argv[2]))
interpreter.allocate_tensors()
given = interpreter.get_input_details()[0]
interpreter.set_tensor(given["index"], numpy.zeros(given["shape"], given["dtype"]))
interpreter.invoke()
"""


def seconds(command: list[str]) -> float:
    start = perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture")
    parser.add_argument("--runs", type=int, default=10)
    args = parser.parse_args()
    bare = BARE.format(module=find_runtime()[1].__module__)
    commands = {
        "bare interpreter": [sys.executable, "-c", bare, str(locate_model()), str(available_cores())],
        "posecli estimate": [sys.executable, "-m", "posecli", "estimate", args.picture, "-q"],
        "posecli --version": [sys.executable, "-m", "posecli", "--version"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(args.runs):
        for name, command in commands.items():
            times[name].append(seconds(command))
    for name, values in times.items():
        print(f"{name}: median {statistics.median(values):.3f} s of {args.runs}")


if __name__ == "__main__":
    main()
