"""The loop: inputs → engine → records → output and report."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator

from posecli.errors import UsageError
from posecli.inputs.name_set import Seen
from posecli.records.journal import RunIdentity
from posecli.run.destinations import RESUME, Outputs
from posecli.run.pipeline import Sequence
from posecli.run.report import Report
from posecli.types import ImageInput, Record

#: From inputs to their records: an engine with its job and options.
Estimate = Callable[[Iterable[ImageInput]], Iterator[Record]]


def at_least_one(inputs: Iterable[ImageInput]) -> Iterator[ImageInput]:
    """The inputs, once it is known that there is one. Raises UsageError."""
    iterator = iter(inputs)
    first = next(iterator, None)
    if first is None:
        raise UsageError("there is no picture to read", "name files, folders, or - for standard input")
    return itertools.chain((first,), iterator)


def run(
    inputs: Iterable[ImageInput],
    estimate: Estimate,
    outputs: Outputs,
    report: Report,
    *,
    policy: str,
    identity: RunIdentity,
    sequence: Sequence,
    fail_fast: bool = False,
) -> int:
    """Send the records of all inputs to the outputs and the report; return the exit status.

    sequence: what is done to records in the order of the inputs.
    policy: what becomes of files that are there (`outputs.REFUSE`, `OVERWRITE`, `RESUME`).
    """
    done = outputs.run.take_up(policy, identity) if outputs.run is not None else Seen()
    if policy == RESUME:
        inputs = _without_finished(inputs, outputs, done, report=report, identity=identity, sequence=sequence)
    records = report.watch(sequence.follow(estimate(sequence.watch(inputs))), fail_fast=fail_fast)
    interrupted = True
    try:
        if outputs.run is not None:
            outputs.run.write(records)
        else:
            for _ in records:
                pass
        interrupted = False
    finally:
        if not interrupted or report.found:
            report.close(interrupted=interrupted)
        if interrupted and report.found and outputs.run is not None and outputs.run.path is not None:
            report.say(f"finished records are kept in {outputs.run.lines_path}; --resume carries on from there")
    return report.exit_status()


def _without_finished(
    inputs: Iterable[ImageInput],
    outputs: Outputs,
    done: Seen,
    *,
    report: Report,
    identity: RunIdentity,
    sequence: Sequence,
) -> Iterator[ImageInput]:
    for image in inputs:
        finished = image.key in done if outputs.run is not None else outputs.finished(image, identity)
        if finished:
            report.skip()
            sequence.skip(image)
        else:
            yield image
