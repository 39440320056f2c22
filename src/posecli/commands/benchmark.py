"""`posecli benchmark`: measures the speed on this machine."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import click

from posecli.commands.options import model_options
from posecli.types import FITS, STRIDES, Settings

if TYPE_CHECKING:
    from posecli.checks.benchmark import StageTimes, Throughput
    from posecli.types import ImageInput


@click.command("benchmark", context_settings={"max_content_width": 100})
@click.argument("inputs", nargs=-1, metavar="[INPUT]...")
@model_options
@click.option(
    "--stride",
    "strides",
    multiple=True,
    type=click.Choice([str(s) for s in STRIDES]),
    help="Output stride; repeatable.  [default: the model's]",
)
@click.option(
    "--input-size", "sizes", multiple=True, type=int, metavar="N",
    help="Input size, as for estimate; repeatable.  [default: the model's]",
)  # fmt: skip
@click.option(
    "--threads", multiple=True, type=click.IntRange(1), metavar="N",
    help="CPU cores of the network; repeatable.  [default: 1 and all]",
)  # fmt: skip
@click.option(
    "--workers", multiple=True, type=click.IntRange(1), metavar="N",
    help="Worker processes; repeatable.  [default: 1 and all cores]",
)  # fmt: skip
@click.option(
    "--fit", type=click.Choice(FITS), default=Settings.fit, show_default=True,
    help="How pictures are fitted to the input.",
)  # fmt: skip
@click.option(
    "--count", type=click.IntRange(1), default=40, show_default=True, metavar="N", help="Pictures per measurement."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(**options: Any) -> None:
    """Measure milliseconds per stage and pictures per second on this machine.

    \b
    Examples:
      posecli benchmark
      posecli benchmark photos/ --stride 32 --stride 16 --input-size 257 --input-size 513

    INPUT is an input of `posecli estimate`. Without it, a generated picture of 640 x 480 pixels is used.
    """
    from posecli.model.locate import load_model_file
    from posecli.model.runtime_choice import choose_runtime

    choose_runtime()
    images = _images(options["inputs"], options["count"])
    model = load_model_file(options["model"], offline=options["offline"], progress=True)
    stages, rates = _measure(options, model, images)
    if options["as_json"]:
        data = {
            "model": {"name": model.name, "sha256": model.sha256},
            "stages": [{**row._asdict(), "pictures_per_second": row.pictures_per_second} for row in stages],
            "workers": [row._asdict() for row in rates],
        }
        click.echo(json.dumps(data, indent=2))
    else:
        click.echo(_table(stages, rates))


def _images(arguments: tuple[str, ...], count: int) -> list[ImageInput]:
    from posecli.checks.benchmark import example_picture
    from posecli.inputs.arguments import Inputs
    from posecli.run.batch import at_least_one
    from posecli.types import ImageInput

    if not arguments:
        return [ImageInput("example", "example", example_picture())] * count
    inputs = Inputs(arguments)
    found = list(itertools.islice(at_least_one(inputs, inputs.passed_over), count))
    return [found[number % len(found)] for number in range(count)]


def _measure(
    options: dict[str, Any], model: Any, images: list[ImageInput]
) -> tuple[list[StageTimes], list[Throughput]]:
    from posecli.checks.benchmark import measure_stages, measure_throughput
    from posecli.inference.estimator import available_cores
    from posecli.run.worker import Job, JobModel

    both = sorted({1, available_cores()})
    combinations = [
        Settings(stride=int(stride) if stride else None, input_size=size and (size,), fit=options["fit"])
        for size in options["sizes"] or (None,)
        for stride in options["strides"] or (None,)
    ]
    stages = [
        measure_stages(model, settings, images, threads=threads)
        for settings in combinations
        for threads in options["threads"] or both
    ]
    job = Job(combinations[0], JobModel.of(model))
    rates = [
        measure_throughput(job, images, workers=workers, count=len(images) * workers)
        for workers in options["workers"] or both
    ]
    return stages, rates


def _table(stages: list[StageTimes], rates: list[Throughput]) -> str:
    from posecli.checks.benchmark import STAGES

    lines = [
        f"{'input':>11} {'stride':>6} {'threads':>7} "
        + " ".join(f"{stage + ' ms':>10}" for stage in STAGES)
        + f" {'pictures/s':>10}"
    ]
    for row in stages:
        size = f"{row.input[1]} x {row.input[0]}"
        times = " ".join(f"{row.milliseconds[stage]:10.2f}" for stage in STAGES)
        lines.append(f"{size:>11} {row.stride:>6} {row.threads:>7} {times} {row.pictures_per_second:10.1f}")
    lines += ["", f"{'workers':>11} {'pictures/s':>10}"]
    lines += [f"{row.workers:>11} {row.pictures_per_second:10.1f}" for row in rates]
    return "\n".join(lines)
