"""`posecli estimate`: options → settings, inputs and outputs → one run."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from posecli.commands.options import (
    clip_options,
    clips_of,
    limit_options,
    limits_of,
    model_options,
    outputs_of,
    picture_options,
    policy_of,
    run_data_options,
    settings_of,
    settings_options,
)
from posecli.errors import UsageError
from posecli.run.engines import ENGINE_NAMES

if TYPE_CHECKING:
    from posecli.inputs.arguments import Inputs
    from posecli.records.journal import RunIdentity
    from posecli.run.destinations import Outputs
    from posecli.run.engines import EngineOptions
    from posecli.run.expectations import Expectations
    from posecli.run.pipeline import Sequence, Step
    from posecli.run.report import Report
    from posecli.run.worker import Job
    from posecli.types import ImageInput, Record, Settings


@click.command("estimate", context_settings={"max_content_width": 100})
@click.argument("inputs", nargs=-1, metavar="[INPUT]...")
@click.option("--files-from", metavar="FILE", help="Read more paths from FILE, one a line (-: standard input).")
@click.option("-0", "--null", is_flag=True, help="The list of --files-from is separated by NUL.")
@run_data_options
@picture_options
@model_options
@settings_options
@clip_options
@click.option(
    "--engine",
    type=click.Choice(["auto", *ENGINE_NAMES]),
    default="auto",
    show_default=True,
    help="What runs the work.",
)
@click.option("--ray-address", metavar="ADDRESS", help="Of the cluster of --engine ray.  [default: one of its own]")
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Processes.  [default: the processors at hand]")
@click.option("--threads", type=click.IntRange(1), metavar="N", help="Processors of one interpreter.")
@click.option(
    "--timeout", type=click.FloatRange(0.001), default=60, show_default=True, metavar="SECONDS", help="For one picture."
)
@click.option("--fail-fast", is_flag=True, help="Stop at the first input that fails.")
@click.option("--require-pose", is_flag=True, help="Exit with 3 unless every picture has somebody in it.")
@click.option("--expect-people", type=click.IntRange(0), metavar="N", help="Exit with 3 unless every picture has N.")
@click.option(
    "--min-people", type=click.IntRange(0), metavar="N", help="Exit with 3 unless every picture has N or more."
)
@click.option("--expect", metavar="FILE", help="Exit with 3 unless the records are like those in FILE; see compare.")
@limit_options
@click.option("--dry-run", is_flag=True, help="Only list what would be read and written.")
@click.option("--progress/--no-progress", default=None, help="Progress bar.  [default: on a terminal]")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing unless something fails.")
@click.option("-v", "--verbose", count=True, help="Say more.")
def command(**options: Any) -> None:
    """Find people's poses in pictures.

    INPUT is a picture, a clip, a folder (with all below it), a quoted glob pattern, or - for a picture on standard
    input. One JSON record a picture or frame goes to standard output, unless -o or -a says otherwise.

    \b
    Examples:
      posecli estimate photo.jpg
      posecli estimate photo.jpg -o photo.json -a photo.png
      posecli estimate photos/ -o poses.jsonl --resume
      posecli estimate clip.mp4 -o clip.jsonl -a annotated.mp4 --track
      find . -name '*.jpg' -print0 | posecli estimate --files-from - -0
    """
    settings, policy = settings_of(options), policy_of(options)
    if not options["inputs"] and options["files_from"] is None:
        raise UsageError("there is no picture to read", "name files, folders, or - for standard input")
    outputs = outputs_of(options, one_input=_inputs(options, None).is_one_file())
    inputs = _inputs(options, outputs)
    if options["dry_run"]:
        sys.exit(_dry_run(inputs, outputs, policy))
    outputs.check(policy)
    sys.exit(_run(options, settings, policy, inputs, outputs))


def _inputs(options: dict[str, Any], outputs: Outputs | None) -> Inputs:
    from posecli.inputs.arguments import Inputs

    written = outputs.folders() if outputs is not None else []
    return Inputs(options["inputs"], files_from=options["files_from"], null=options["null"], written=written)


def _dry_run(inputs: Inputs, outputs: Outputs, policy: str) -> int:
    """List input and outputs of each picture; what stands in the way is said at the end, with status 2."""
    from posecli.run import batch

    problems = []
    try:
        outputs.check(policy)
    except UsageError as error:
        problems.append(error)
    taken: set[str] = set()
    for image in batch.at_least_one(inputs):
        paths = outputs.paths_for(image)
        click.echo("\t".join([image.name, *paths]))
        if collisions := taken & set(paths):
            problems.append(UsageError(f"{image.name} would overwrite {', '.join(sorted(collisions))}"))
        taken.update(paths)
        try:
            outputs.check_files([image], policy)
        except UsageError as error:
            problems.append(error)
    if outputs.run is not None and outputs.run.path is not None:
        click.echo(f"all records\t{outputs.run.path}")
    if outputs.shards is not None:
        click.echo(f"all records\t{os.path.join(outputs.shards.folder, f'part-*.{outputs.shards.kind}')}")
    for problem in problems:
        click.echo(f"posecli: {problem}", err=True)
    return 2 if problems else 0


def _run(options: dict[str, Any], settings: Settings, policy: str, inputs: Inputs, outputs: Outputs) -> int:
    from posecli.model.hints import runtime_hint
    from posecli.model.locate import load_model_file
    from posecli.model.runtime_choice import choose_runtime
    from posecli.records.journal import RunIdentity
    from posecli.run import batch
    from posecli.run.destinations import RESUME
    from posecli.run.report import Report
    from posecli.run.worker import Job

    expectations, runtime = _expectations(options), choose_runtime()
    listed: Iterable[ImageInput] = inputs
    if policy != RESUME and outputs.may_have_files():
        listed = inputs if inputs.can_be_listed_again() else list(inputs)
        outputs.check_files(_inputs(options, outputs) if listed is inputs else listed, policy)
    listed = batch.at_least_one(listed)
    model = load_model_file(options["model"], offline=options["offline"], progress=not options["quiet"])
    in_order = settings.track  # what is known of a frame only after those before it is written behind the workers
    job = Job(settings, str(model.path), model.sha256, outputs.pictures, None if in_order else outputs.data)
    show_bar = sys.stderr.isatty() if options["progress"] is None else options["progress"]
    report = Report(
        quiet=options["quiet"],
        progress=show_bar and not options["quiet"] and not inputs.is_one_file(),
        expectations=expectations,
    )
    if not options["quiet"] and (hint := runtime_hint(model, runtime)):
        report.say(hint)
    if inputs.can_be_listed_again():
        report.expect_in_background(_inputs(options, outputs))
    run = _Run(options, listed, job, outputs, expectations, report, policy, RunIdentity(model.sha256, settings))
    status = _whole(run) if outputs.shards is None else _in_shards(run)
    if options["verbose"]:
        report.say(f"{inputs.passed_over} other files were passed over")
    return status


class _Run(NamedTuple):
    """What is to be done, once it is known that it can be."""

    options: dict[str, Any]
    listed: Iterable[ImageInput]
    job: Job
    outputs: Outputs
    expectations: Expectations
    report: Report
    policy: str
    identity: RunIdentity


def _whole(run: _Run) -> int:
    """All records come back here, and are written here."""
    from posecli.inputs.clip_decoder import expand
    from posecli.run import batch

    settings = run.job.settings
    frames = expand(
        run.listed,
        clips_of(run.options),
        timeout=run.options["timeout"],
        grouped=settings.track and settings.zoom,  # who only looks once has nothing to spare
    )
    return batch.run(
        frames,
        partial(_estimate, run.options, run.job),
        run.outputs,
        run.report,
        policy=run.policy,
        identity=run.identity,
        sequence=_sequence(settings, run.outputs, run.policy),
        fail_fast=run.options["fail_fast"],
    )


def _in_shards(run: _Run) -> int:
    """Records stay where they are made; what comes back are summaries."""
    from posecli.run import shards
    from posecli.run.engines import get_piece_engine

    options, output = run.options, run.outputs.shards
    assert output is not None
    work = shards.ShardWork(
        output.folder,
        run.job.settings,
        clips_of(options),
        options["timeout"],
        run.expectations,
        run.outputs.clips,
    )
    engine = "processes" if options["engine"] == "auto" else options["engine"]
    run_pieces, engine_options = get_piece_engine(engine), _engine_options(options, engine)
    return shards.run(
        run.listed,
        lambda pieces: run_pieces(pieces, work.do, run.job, engine_options),
        output,
        run.report,
        policy=run.policy,
        identity=run.identity,
        fail_fast=options["fail_fast"],
    )


def _sequence(settings: Settings, outputs: Outputs, policy: str) -> Sequence:
    """Tracking and smoothing, which carry on where an earlier run stopped, and annotated clips."""
    from posecli.run.destinations import RESUME
    from posecli.run.pipeline import Sequence

    earlier = outputs.run.finished_records() if policy == RESUME and outputs.run is not None else ()
    steps: list[Step] = []
    finished = {}
    if settings.track:
        from posecli.poses.tracking import steps_over_time

        steps = [*steps_over_time(settings, earlier)]
    if outputs.clips is not None:
        finished = {record.key: record.poses for record in earlier if record.frame is not None}
    return Sequence(steps, data=outputs.data if settings.track else None, clips=outputs.clips, finished=finished)


def _expectations(options: dict[str, Any]) -> Expectations:
    """What the records are held against. Raises UsageError where the file of expected records cannot be read."""
    from posecli.run.expectations import Expectations

    least = max(options["min_people"] or 0, int(options["require_pose"]))
    if options["expect"] is None:
        return Expectations(least=least, exactly=options["expect_people"])
    if options["shards"]:
        raise UsageError(
            "--expect needs the records of a run in one place, and --shards spreads them", "posecli compare"
        )
    if options["resume"]:
        raise UsageError("--expect sees only what this run does, and --resume leaves out the rest", "posecli compare")
    from posecli.checks.compare import Expectation
    from posecli.records.journal import read_records

    expected = Expectation(read_records(options["expect"]), limits_of(options))
    return Expectations(least=least, exactly=options["expect_people"], expected=expected)


def _estimate(options: dict[str, Any], job: Job, images: Iterable[ImageInput]) -> Iterator[Record]:
    """Choose the engine: one picture alone is done here, with all processors; more go to workers."""
    from posecli.run.engines import get_engine

    images = iter(images)
    first = list(itertools.islice(images, 2))
    name = options["engine"]
    if name == "auto":
        name = "serial" if len(first) < 2 else "processes"
    return get_engine(name)(itertools.chain(first, images), job, _engine_options(options, name))


def _engine_options(options: dict[str, Any], engine: str) -> EngineOptions:
    from posecli.inference.estimator import available_processors
    from posecli.run.engines import EngineOptions

    processors = available_processors()
    workers = options["workers"] or (1 if engine == "serial" else processors)
    threads = options["threads"] or (1 if workers > 1 else processors)
    return EngineOptions(workers, threads, timeout=options["timeout"], ray_address=options["ray_address"])
