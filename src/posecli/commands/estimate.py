"""`posecli estimate`: turns the options into a plan, and runs it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from posecli.commands.options import (
    Number,
    clip_options,
    clips_of,
    destinations_of,
    limit_options,
    limits_of,
    model_options,
    picture_options,
    policy_of,
    run_data_options,
    settings_of,
    settings_options,
    size_of,
)
from posecli.commands.sections import SectionedCommand
from posecli.errors import UsageError
from posecli.run.engines import ENGINE_NAMES

if TYPE_CHECKING:
    from posecli.run.expectations import Expectations
    from posecli.run.plan import RunPlan

#: More than the cores of any machine. A mistyped number must not start processes until the machine fails.
MOST_WORKERS = 1024
#: Seconds (ten days): the clocks of all systems can wait this long.
LONGEST_TIMEOUT = 864_000
#: First option → title of its section in the help.
_SECTIONS = {
    "files_from": "Input",
    "output": "Output",
    "annotate": "Annotated pictures",
    "model": "Model",
    "preset": "Estimation",
    "track": "Clips",
    "engine": "Execution",
    "require_pose": "Expectations",
    "dry_run": "Other options",
}


@click.command("estimate", cls=SectionedCommand, sections=_SECTIONS, context_settings={"max_content_width": 100})
@click.argument("inputs", nargs=-1, metavar="[INPUT]...")
@click.option("--files-from", metavar="FILE", help="Read more paths from FILE, one per line (-: standard input).")
@click.option("-0", "--null", is_flag=True, help="Paths in --files-from end with NUL, not with a line end.")
@click.option(
    "--watch",
    metavar="FOLDER",
    help="Process pictures and clips in FOLDER as they arrive, until Ctrl-C (status 130) or SIGTERM (143).",
)
@run_data_options
@picture_options
@model_options
@click.option(
    "--zoom-model", metavar="NAME|PATH", help="Add a second pass over each person, with a single-person network."
)
@settings_options
@clip_options
@click.option(
    "--engine",
    type=click.Choice(["auto", *ENGINE_NAMES]),
    default="auto",
    show_default=True,
    help="Where inference runs: in one process, in several, or on a Ray cluster.",
)
@click.option("--ray-address", metavar="ADDRESS", help="Cluster for --engine ray.  [default: start one here]")
@click.option(
    "--workers",
    type=click.IntRange(1, MOST_WORKERS),
    metavar="N",
    help="Worker processes.  [default: the available CPU cores]",
)
@click.option(
    "--threads", type=click.IntRange(1, MOST_WORKERS), metavar="N",
    help="CPU cores per worker.  [default: 1; all if there is one worker]",
)  # fmt: skip
@click.option(
    "--timeout",
    type=Number(0.001, LONGEST_TIMEOUT),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="Time limit per picture or frame.",
)
@click.option(
    "--max-memory",
    metavar="SIZE",
    callback=lambda context, option, text: size_of(text),
    help="Memory limit per process, in MiB or such as 4G.  [default: an equal share]",
)
@click.option("--fail-fast", is_flag=True, help="Stop at the first input that fails.")
@click.option("--require-pose", is_flag=True, help="Exit with 3 unless each picture has at least one person.")
@click.option(
    "--expect-people", type=click.IntRange(0), metavar="N", help="Exit with 3 unless each picture has N people."
)
@click.option(
    "--min-people", type=click.IntRange(0), metavar="N", help="Exit with 3 unless each picture has N people or more."
)
@click.option("--expect", metavar="FILE", help="Exit with 3 if the records differ from those in FILE; see compare.")
@limit_options
@click.option("--dry-run", is_flag=True, help="Only list the inputs and outputs.")
@click.option("--progress/--no-progress", default=None, help="Show a progress bar.  [default: on a terminal]")
@click.option("-q", "--quiet", is_flag=True, help="Print only failures.")
@click.option("-v", "--verbose", count=True, help="Print more, such as files that were passed over.")
def command(**options: Any) -> None:
    """Find people and their keypoints in pictures and clips.

    \b
    Examples:
      posecli estimate photo.jpg
      posecli estimate photo.jpg -o photo.json -a photo.png
      posecli estimate photos/ -o poses.jsonl --resume
      posecli estimate clip.mp4 -o clip.jsonl -a annotated.mp4 --track
      posecli estimate --watch incoming/ -o poses.jsonl --resume
      find . -name '*.jpg' -print0 | posecli estimate --files-from - -0

    INPUT is a picture, a clip, a folder (searched recursively), a quoted glob pattern, or - for a picture on standard
    input. Without -o and -a, one JSON record per picture or frame is written to standard output.
    """
    from posecli.run.start import dry_run, start

    plan = plan_of(options)
    sys.exit(dry_run(plan) if options["dry_run"] else start(plan))


def plan_of(options: dict[str, Any]) -> RunPlan:
    """Turn the options into a plan. Raises UsageError."""
    from posecli.run.plan import Concurrency, EngineName, InputNames, RunPlan, Verbosity

    settings, policy = settings_of(options), policy_of(options)
    if options["watch"] is not None:
        _check_watch(options)
    elif not options["inputs"] and options["files_from"] is None:
        raise UsageError("there is no picture to read", "name files, folders, or - for standard input")
    names = InputNames(options["inputs"], options["files_from"], options["null"], options["as_clip"], options["watch"])
    one_input = names.inputs().is_one_file()
    verbosity = Verbosity.QUIET if options["quiet"] else Verbosity.VERBOSE if options["verbose"] else Verbosity.NORMAL
    return RunPlan(
        names=names,
        settings=settings,
        clip_options=clips_of(options),
        destinations=destinations_of(options, one_input=one_input),
        policy=policy,
        engine=EngineName(options["engine"]),
        concurrency=Concurrency(
            options["workers"],
            options["threads"],
            timeout=options["timeout"],
            ray_address=options["ray_address"],
            max_memory=options["max_memory"],
        ),
        expectations=_expectations(options),
        model=options["model"],
        zoom_model=options["zoom_model"],
        offline=options["offline"],
        fail_fast=options["fail_fast"],
        progress=options["progress"],
        verbosity=verbosity,
    )


def _check_watch(options: dict[str, Any]) -> None:
    """Raise UsageError for options that need the complete list of inputs."""
    if options["inputs"] or options["files_from"] is not None:
        raise UsageError("--watch reads its folder only: other inputs cannot be given")
    for name in ("as_clip", "dry_run", "shards", "expect"):
        if options[name]:
            raise UsageError(f"--watch and --{name.replace('_', '-')} cannot be combined")
    if options["engine"] == "ray":
        raise UsageError("--watch does not run on a Ray cluster", "use --engine processes")
    if not os.path.isdir(options["watch"]):
        raise UsageError(f"{options['watch']} is not an existing local folder, which --watch needs")


def _expectations(options: dict[str, Any]) -> Expectations:
    """Read the expectations. Raises UsageError if the file of expected records cannot be read."""
    from posecli.run.expectations import Expectations

    least = max(options["min_people"] or 0, int(options["require_pose"]))
    if options["expect"] is None:
        return Expectations(least=least, exactly=options["expect_people"])
    if options["shards"]:
        raise UsageError(
            "--expect cannot be combined with --shards, which writes records in several places",
            "use `posecli compare` after the run",
        )
    if options["resume"]:
        raise UsageError(
            "--expect cannot be combined with --resume, which does not compute all records",
            "use `posecli compare` after the run",
        )
    from posecli.checks.compare import Expectation
    from posecli.records.journal import read_records

    expected = Expectation(read_records(options["expect"]), limits_of(options))
    return Expectations(least=least, exactly=options["expect_people"], expected=expected)
