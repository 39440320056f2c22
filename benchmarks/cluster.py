#!/usr/bin/env python3
"""The cost of the Ray engine: compared with the processes engine on real pictures, and in very large runs.

    python benchmarks/cluster.py rate PICTURES [--count 2000] [--rounds 3]
    python benchmarks/cluster.py scale [--inputs 10000 100000 1000000] [--workers 100] [--milliseconds 20]

rate: both engines process the same pictures in shards, in turn. The time is measured from the first finished shard to
the last, without the start of workers and cluster.
scale: the real driver with a list of names and a local Ray cluster that is configured with many CPU cores. Each task
only sleeps for the time that a model would take, so that hundreds of workers fit on a small machine. Prints the
driver's peak memory and CPU time, and the time to the first finished shard. The last two runs use tasks without sleep,
with and without Ray: they show the highest rate of the driver and of Ray.
"""

from __future__ import annotations

import argparse
import itertools
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from posecli.inference.estimator import available_cores
from posecli.inputs.arguments import Inputs
from posecli.inputs.clips import ClipOptions
from posecli.model.locate import load_model_file
from posecli.records.identity import RunIdentity
from posecli.run import shards
from posecli.run.destinations import Destinations, Policy, Shards
from posecli.run.engines import EngineOptions, Estimate, get_piece_engine
from posecli.run.expectations import Expectations
from posecli.run.pipeline import Work
from posecli.run.report import Report, Tally
from posecli.run.worker import Job
from posecli.types import ImageInput, Settings

SHARD = 64


def job() -> Job:
    model = load_model_file()
    return Job(Settings(), str(model.path.resolve()), model.sha256)


def rate(engine: str, names: list[str], processors: int) -> float:
    """Pictures per second from the first finished shard to the last."""
    with tempfile.TemporaryDirectory() as folder:
        destinations = Destinations(shards=Shards(folder, SHARD))
        work = shards.ShardWork(Work(Settings(), ClipOptions(), destinations, timeout=60), Expectations())
        images = (ImageInput(name, str(number)) for number, name in enumerate(names))
        listed = shards.shards_of(images, size=SHARD, made_with="0" * 8, kind="jsonl")
        options = EngineOptions(workers=processors, threads=1, timeout=60)
        finished = []
        for done in get_piece_engine(engine)(listed, work.do, job(), options):
            assert done.tally.ok > 0
            finished.append((time.perf_counter(), done.tally.ok))
    # Ray's workers finish their first shards at the same time; the measurement starts with the last of these.
    first = processors - 1 if engine == "ray" else 0
    return sum(ok for _, ok in finished[first + 1 :]) / (finished[-1][0] - finished[first][0])


def rates(arguments: argparse.Namespace) -> None:
    sources = [os.path.abspath(image.name) for image in Inputs([arguments.pictures])]
    names = list(itertools.islice(itertools.cycle(sources), arguments.count))
    rows = [
        {engine: rate(engine, names, available_cores()) for engine in ("processes", "ray")}
        for _ in range(arguments.rounds)
    ]
    for engine in ("processes", "ray"):
        print(f"{engine}: {statistics.median(row[engine] for row in rows):.1f} pictures/s")
    print(f"ray/processes: {statistics.median(row['ray'] / row['processes'] for row in rows):.2f}")


def pretend(shard: shards.Shard, estimate: Estimate, *, seconds: float) -> shards.ShardDone:
    """Stand-in for a model: takes a fixed time and finds two people in every picture."""
    count = len(shard.images)
    time.sleep(seconds * count)
    return shards.ShardDone(shard.part, Tally(ok=count, people=2 * count, with_people=count))


def without_engine(pieces: Iterable[shards.Shard], seconds: float) -> Iterator[shards.ShardDone]:
    """Run the shards in this process, to measure the driver's own loop."""
    for piece in pieces:
        yield pretend(piece, lambda inputs: iter(()), seconds=seconds)


def drive(count: int, workers: int, milliseconds: float, with_ray: bool) -> None:
    """Run one driver in this process and print its costs."""
    seconds = milliseconds / 1000
    options = EngineOptions(workers=workers, threads=1, timeout=60)
    first: list[float] = []

    def do(pieces: Iterable[shards.Shard]) -> Iterator[shards.ShardDone]:
        if with_ray:
            results = get_piece_engine("ray")(pieces, partial(pretend, seconds=seconds), job(), options)
        else:
            results = without_engine(pieces, seconds)
        for done in results:
            first.append(time.perf_counter()) if not first else None
            yield done

    with tempfile.TemporaryDirectory() as name:
        listing = Path(name) / "list"
        with listing.open("w") as file:
            file.writelines(f"bucket/{number // 1000:05d}/{number:09d}.jpg\n" for number in range(count))
        start, cpu = time.perf_counter(), time.process_time()
        work = Work(Settings(), ClipOptions(), Destinations(shards=Shards(f"{name}/out", 256)), timeout=60)
        identity = RunIdentity("0" * 64, Settings())
        report = Report(quiet=True)
        shards.run(Inputs([], files_from=str(listing)), do, work, report, policy=Policy.OVERWRITE, identity=identity)
    total = time.perf_counter() - start
    assert report.ok == count
    to_first = first[0] - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"| {count:,} | {workers if with_ray else 'none'} | {milliseconds:g} | {total:.0f} s | {to_first:.1f} s | "
        f"{count / (total - to_first + 1e-9):,.0f}/s | {(time.process_time() - cpu) * 1e6 / count:.0f} s | "
        f"{memory:.0f} MiB |",
        flush=True,
    )


def scale(arguments: argparse.Namespace) -> None:
    print(
        "| inputs | workers | ms per input | whole run | first shard after | rate | driver's CPU time per million "
        "| driver's memory |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
    runs = [(count, arguments.milliseconds, True) for count in arguments.inputs]
    runs += [(max(arguments.inputs), 0.0, True), (max(arguments.inputs), 0.0, False)]
    for count, milliseconds, with_ray in runs:
        # Each run has its own process, so that its peak memory can be measured.
        subprocess.run(
            [sys.executable, __file__, "drive", str(count), str(arguments.workers), str(milliseconds), str(with_ray)],
            check=True,
        )


def main() -> None:
    if sys.argv[1:2] == ["drive"]:
        count, workers, milliseconds, with_ray = sys.argv[2:]
        drive(int(count), int(workers), float(milliseconds), with_ray == "True")
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("rate")
    one.add_argument("pictures")
    one.add_argument("--count", type=int, default=2000)
    one.add_argument("--rounds", type=int, default=3)
    one.set_defaults(run=rates)
    other = commands.add_parser("scale")
    other.add_argument("--inputs", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    other.add_argument("--workers", type=int, default=100)
    other.add_argument("--milliseconds", type=float, default=20)
    other.set_defaults(run=scale)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
