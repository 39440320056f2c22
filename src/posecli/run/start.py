"""A run from its plan to its exit status: checks the options, loads the model, runs the work."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from functools import partial

from posecli.errors import PosecliError
from posecli.files.memory import memory_per_process
from posecli.files.terminal import encodable, print_line, printable
from posecli.inference.estimator import available_cores
from posecli.inputs.arguments import Inputs
from posecli.inputs.clip_decoder import FrameCounter
from posecli.inputs.clips import may_hold_frames
from posecli.inputs.watch import Watch
from posecli.model.hints import runtime_hint
from posecli.model.locate import ModelFile, load_model_file
from posecli.model.runtime_choice import choose_runtime
from posecli.records.identity import RunIdentity
from posecli.run import batch, shards
from posecli.run.engines import EngineOptions, get_engine, get_piece_engine
from posecli.run.pipeline import Work
from posecli.run.plan import EngineName, RunPlan, Verbosity
from posecli.run.report import EXIT_OK, EXIT_USAGE, Report
from posecli.run.total import CountedInBackground, Total
from posecli.run.worker import Job, JobModel
from posecli.types import ImageInput, Record


def dry_run(plan: RunPlan) -> int:
    """List the inputs and their outputs; return the exit status. Problems are printed at the end, with status 2."""
    problems: list[PosecliError] = []
    inputs = plan.inputs()
    images: Iterable[ImageInput] = inputs
    try:
        inputs, images = plan.checked_inputs()
    except PosecliError as error:
        problems.append(error)
    for image in batch.at_least_one(images, inputs.passed_over):
        _print_row(image.name, *plan.destinations.paths_for(image))
    if (everything := plan.destinations.all_records()) is not None:
        _print_row("all records", everything)
    for problem in problems:
        print_line(f"posecli: {problem}", sys.stderr)
    return EXIT_USAGE if problems else EXIT_OK


def _print_row(*cells: str) -> None:
    """Print cells separated by tabs. Control characters are escaped, so that a row is one line."""
    print(encodable("\t".join(map(printable, cells)), sys.stdout))


def start(plan: RunPlan) -> int:
    """Run a plan; return the exit status. Raises UsageError, FatalError."""
    with plan.destinations.locked():
        return _start(plan)


def _start(plan: RunPlan) -> int:
    runtime = choose_runtime()
    inputs, listed = plan.checked_inputs()
    watch = inputs.watch
    images = listed if watch is not None else batch.at_least_one(listed, inputs.passed_over)
    shown = plan.verbosity is not Verbosity.QUIET
    model = load_model_file(plan.model, offline=plan.offline, progress=shown)
    zoom_model = None
    if plan.zoom_model is not None:
        zoom_model = load_model_file(plan.zoom_model, offline=plan.offline, progress=shown)
        plan = replace(plan, settings=replace(plan.settings, zoom_model=zoom_model.sha256))
    counted = inputs.can_be_listed_again()
    total = Total(counted=counted) if _shows_progress(plan) else None
    report = _report(plan, total, inputs)
    if shown and (hint := runtime_hint(model, runtime)):
        report.say(hint)
    if shown and watch is not None:
        watch.tell = report.say
        report.say(f"watching {watch.folder}; Ctrl-C ends the run")
    work, identity = _work(plan), RunIdentity(model.sha256, plan.settings)
    job = _job(work, model, zoom_model)
    with _counted(plan, work, total) if total is not None and counted else nullcontext():
        if plan.destinations.shards:
            status = _in_shards(plan, images, report, work=work, job=job, identity=identity)
        else:
            status = batch.run(
                images,
                partial(_estimate, plan, job, inputs),
                work,
                report,
                policy=plan.policy,
                identity=identity,
                fail_fast=plan.fail_fast,
                grows=watch is not None,
            )
    return status


def _report(plan: RunPlan, total: Total | None, inputs: Inputs) -> Report:
    return Report(
        quiet=plan.verbosity is Verbosity.QUIET,
        total=total,
        expectations=plan.expectations,
        tracks=plan.settings.track,
        passed_over=inputs.passed_over if plan.verbosity is Verbosity.VERBOSE else None,
        waits=inputs.watch is not None,
    )


def _shows_progress(plan: RunPlan) -> bool:
    """Whether there is a progress bar. A single still has none."""
    shown = sys.stderr.isatty() if plan.progress is None else plan.progress
    if not shown or plan.verbosity is Verbosity.QUIET:
        return False
    return plan.names.as_clip or not plan.inputs().is_one_file() or may_hold_frames(plan.names.arguments[0])


def _counted(plan: RunPlan, work: Work, total: Total) -> CountedInBackground:
    """Count the inputs and their frames during the run."""
    return CountedInBackground(plan, FrameCounter(work.read_limits), total)


def _work(plan: RunPlan) -> Work:
    return Work(plan.settings, plan.clip_options, plan.destinations, plan.concurrency.timeout, _max_memory(plan))


def _max_memory(plan: RunPlan) -> int | None:
    """Memory limit of each process, bytes: --max-memory, or an equal share for the workers and the clip decoder.

    None with Ray unless --max-memory is given: the memory of the cluster's machines is not known here.
    """
    if plan.concurrency.max_memory is not None or plan.engine is EngineName.RAY:
        return plan.concurrency.max_memory
    return memory_per_process(_options_for(plan, EngineName.PROCESSES).workers + 1)


def _job(work: Work, model: ModelFile, zoom_model: ModelFile | None) -> Job:
    """The job of the workers. They do not write files that depend on steps over time."""
    pictures, files = work.destinations.pictures, None if work.has_steps else work.destinations.image_files
    second = None if zoom_model is None else JobModel.of(zoom_model)
    return Job(work.settings, JobModel.of(model), pictures, files, work.max_memory, second)


def _estimate(plan: RunPlan, job: Job, inputs: Inputs, images: Iterable[ImageInput]) -> Iterator[Record]:
    """Choose the engine and run it: serial for a single picture, with all CPU cores; processes for several pictures and
    for streams. inputs: the source of the images."""
    engine = plan.engine
    streamed = inputs.is_stream() and engine is not EngineName.RAY  # Ray collects inputs in chunks
    if engine is EngineName.AUTO and streamed:
        engine = EngineName.PROCESSES
    elif engine is EngineName.AUTO:
        images = iter(images)
        first = list(itertools.islice(images, 2))
        engine = EngineName.SERIAL if len(first) < 2 else EngineName.PROCESSES
        images = itertools.chain(first, images)
    records = get_engine(engine.value)(images, job, _options_for(plan, engine)._replace(streamed=streamed))
    return records if inputs.watch is None else _with_failures_told(records, inputs.watch)


def _with_failures_told(records: Iterable[Record], watch: Watch) -> Iterator[Record]:
    """Pass records on, and tell the watch which files could not be read. A clip that breaks off is not such a file."""
    last_ok: str | None = None
    for record in records:
        if not record.ok and record.image != last_ok:
            watch.failed(record.image)
        last_ok = record.image if record.ok else None
        yield record


def _options_for(plan: RunPlan, engine: EngineName) -> EngineOptions:
    """Numbers of workers and threads: one thread for each of several workers, all CPU cores for a single worker."""
    wanted, processors = plan.concurrency, available_cores()
    workers = wanted.workers or (1 if engine is EngineName.SERIAL else processors)
    threads = wanted.threads or (1 if workers > 1 else processors)
    return EngineOptions(workers, threads, timeout=wanted.timeout, ray_address=wanted.ray_address)


def _in_shards(
    plan: RunPlan, images: Iterable[ImageInput], report: Report, *, work: Work, job: Job, identity: RunIdentity
) -> int:
    """Run the shards. Their records stay where they are computed; only summaries come back."""
    engine = EngineName.PROCESSES if plan.engine is EngineName.AUTO else plan.engine
    do = shards.ShardWork(work, plan.expectations).do
    run_pieces, options = get_piece_engine(engine.value), _options_for(plan, engine)
    return shards.run(
        images,
        lambda pieces: run_pieces(pieces, do, job, options),
        work,
        report,
        policy=plan.policy,
        identity=identity,
        fail_fast=plan.fail_fast,
    )
