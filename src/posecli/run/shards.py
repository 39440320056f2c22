"""Runs of any size: inputs are split into shards. An engine places each shard, and each shard has its own part file.

Only shards are sent out and only summaries come back. The load of this process therefore does not depend on the content
of the pictures. A finished shard is recognized by its file. If inputs of a shard failed, only those are computed again.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import NamedTuple

from posecli.errors import UsageError
from posecli.files.atomic import output_errors
from posecli.records.identity import RunIdentity, digest
from posecli.records.parts import Part, best_parts, list_parts, read_part, remove_part, write_part
from posecli.run.destinations import Destinations, Policy, Shards
from posecli.run.engines import Estimate
from posecli.run.expectations import Expectations
from posecli.run.pipeline import Pipeline, Work
from posecli.run.progress import NothingFinished, Progress, RecordsByKey
from posecli.run.report import Report, Tally
from posecli.types import ImageInput, Record


class Shard(NamedTuple):
    """Some inputs and their part. earlier: the part of an earlier run with the same number."""

    images: tuple[ImageInput, ...]
    part: Part
    earlier: Part | None = None


class ShardDone(NamedTuple):
    """A finished shard: its part, its counts and messages, and the earlier part that it replaces."""

    part: Part
    tally: Tally
    earlier: Part | None = None


class ShardWork(NamedTuple):
    """All that a process needs to know to compute a shard."""

    work: Work
    expectations: Expectations

    @property
    def folder(self) -> str:
        """The folder of the parts."""
        shards = self.work.destinations.shards
        assert shards is not None
        return shards.folder

    def do(self, shard: Shard, estimate: Estimate) -> ShardDone:
        """Compute a shard and write its part. Raises FatalError."""
        tally = Tally()

        def records() -> Iterator[Record]:
            pipeline = Pipeline(self.work, self._progress(shard), skipped=_nothing_is_skipped)
            skipped = set()
            for done in pipeline.records(shard.images, estimate):
                if done.failure is not None:
                    tally.count(done.failure, self.expectations)
                elif done.replayed:
                    skipped.add(done.record.image)
                else:
                    tally.count(done.record, self.expectations)
                yield done.record
            tally.skipped = len(skipped)
            tally.clips.update(skipped)

        return ShardDone(write_part(self.folder, shard.part, records()), tally, shard.earlier)

    def _progress(self, shard: Shard) -> Progress:
        """The finished inputs of an earlier part with the same inputs."""
        destinations = self.work.destinations
        if shard.earlier is None or shard.earlier.holds != shard.part.holds:
            return NothingFinished(destinations)
        recorded = RecordsByKey(read_part(os.path.join(self.folder, shard.earlier.name)))
        return Progress(
            recorded, destinations, steps=self.work.has_steps, passes_all=True, steps_choose=self.work.steps_choose
        )


def _names(images: Iterable[ImageInput]) -> Iterator[str]:
    for image in images:
        yield image.name
        yield from (member.name for member in image.members)


def _nothing_is_skipped(name: str, count: int = 1, *, whole: bool = False) -> None:
    """Does nothing: every record of a part is written again, so none is skipped."""


def shards_of(inputs: Iterable[ImageInput], *, size: int, made_with: str, kind: str) -> Iterator[Shard]:
    """Split inputs into shards, numbered from 0. size: inputs per shard."""
    iterator = iter(inputs)
    for number in itertools.count():
        images = tuple(itertools.islice(iterator, size))
        if not images:
            return
        yield Shard(images, Part(number, made_with, digest(_names(images)), kind))


def _earlier_parts(output: Shards, made_with: str, policy: Policy) -> dict[int, Part]:
    """The parts of an earlier run, by number; empty unless the policy is to resume.

    Raises UsageError if they were made with another model or other settings, OutputError if the folder cannot be
    listed.
    """
    if policy is not Policy.RESUME:
        return {}
    parts = _parts_in(output)
    earlier = best_parts(output.folder)
    for part in parts:
        if (part.made_with, part.kind) != (made_with, output.kind):
            raise UsageError(
                f"cannot resume {output.folder}: {part.name} was made with another model, other settings, another "
                "--shard-size or another format",
                "--overwrite starts again",
            )
        if part != earlier[part.number]:  # the run was killed after it wrote one and before it deleted the other
            remove_part(output.folder, part)
    return earlier


def _parts_in(output: Shards) -> list[Part]:
    """All existing parts. Raises OutputError if the folder cannot be listed."""
    with output_errors(output.folder):
        return list(list_parts(output.folder))


class _Replaced:
    """Parts of an earlier run that this run replaces.

    All of them stay until a new part has an input that is ok. Then the parts of another model or other settings are
    deleted. Each new part also replaces the earlier parts with its number.
    """

    def __init__(self, output: Shards, made_with: str, parts: Iterable[Part]) -> None:
        self._folder = output.folder
        self._new: set[Part] = set()
        self._foreign: list[Part] = []
        self._alike: dict[int, list[Part]] = {}
        for part in parts:
            alike = (part.made_with, part.kind) == (made_with, output.kind)
            (self._alike.setdefault(part.number, []) if alike else self._foreign).append(part)

    def replace(self, done: ShardDone) -> None:
        """Delete the parts that a new part replaces. Raises OutputError."""
        self._new.add(done.part)
        if done.earlier is not None:
            self._remove([done.earlier])
        if done.tally.ok:
            self._remove(self._foreign)
            self._foreign = []
            self._remove(self._alike.pop(done.part.number, []))

    def finish(self, earlier: Iterable[Part]) -> None:
        """Delete the remaining parts of the earlier run, such as those beyond the last input. Raises OutputError."""
        for parts in (earlier, self._foreign, *self._alike.values()):
            self._remove(parts)

    def _remove(self, parts: Iterable[Part]) -> None:
        for part in parts:
            if part not in self._new:
                remove_part(self._folder, part)


def run(
    inputs: Iterable[ImageInput],
    do: Callable[[Iterable[Shard]], Generator[ShardDone, None, None]],
    work: Work,
    report: Report,
    *,
    policy: Policy,
    identity: RunIdentity,
    fail_fast: bool = False,
) -> int:
    """Compute all unfinished shards; return the exit status.

    do: an engine with its work. policy: what happens to existing parts.
    """
    output = work.destinations.shards
    assert output is not None
    work.destinations.remove_dead_temporaries()
    made_with = identity.digest(str(output.size), repr(tuple(work.clip_options)))
    earlier = _earlier_parts(output, made_with, policy)
    replaced = _Replaced(output, made_with, _parts_in(output) if policy is Policy.OVERWRITE else ())
    shards = shards_of(inputs, size=output.size, made_with=made_with, kind=output.kind)
    results = do(_unfinished(shards, earlier, report, work.destinations))
    interrupted = True
    try:
        for done in results:
            replaced.replace(done)
            report.add(done.tally)
            if fail_fast and done.tally.failed:
                report.say("stopped at the first failure (--fail-fast)")
                break
        else:
            replaced.finish(earlier.values())
        interrupted = False
    finally:
        results.close()  # ends the workers, even if other references to them exist
        if interrupted or report.failed:
            work.destinations.remove_dead_temporaries()  # killed workers may have left temporary files
        if not interrupted or report.found:
            report.close(interrupted=interrupted)
        if interrupted and report.found:
            report.say(f"finished shards are kept in {output.folder}; --resume continues the run")
    return report.exit_status()


def _unfinished(
    shards: Iterable[Shard], earlier: dict[int, Part], report: Report, destinations: Destinations
) -> Iterator[Shard]:
    for shard in shards:
        part = earlier.pop(shard.part.number, None)
        is_finished = part is not None and part.holds == shard.part.holds and not part.failed
        if is_finished and _is_drawn(shard, destinations):
            for image in shard.images:
                report.skip(image.name, whole=True)
        else:
            yield shard._replace(earlier=part)


def _is_drawn(shard: Shard, destinations: Destinations) -> bool:
    """Whether all annotated pictures and clips of a shard exist and may be kept."""
    if destinations.pictures is None and destinations.clips is None:
        return True
    return all(destinations.is_drawn(image) for image in shard.images)
