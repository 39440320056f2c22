"""Runs of any size: inputs in shards, each done where an engine sees fit, each with a part file of its own.

Only shards go out and only summaries come back, so what a run costs this process does not depend on what is in the
pictures. Finished shards are known by their files; of one in which inputs failed only those are done again.
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
from posecli.run.progress import NothingKnown, Progress, RecordsByKey
from posecli.run.report import Report, Tally
from posecli.types import ImageInput, Record


class Shard(NamedTuple):
    """Some inputs and the part that they come to; `earlier` is what an earlier run left under that number."""

    images: tuple[ImageInput, ...]
    part: Part
    earlier: Part | None = None


class ShardDone(NamedTuple):
    """What a shard came to: its part, what there is to report, and the part that it takes the place of."""

    part: Part
    tally: Tally
    earlier: Part | None = None


class ShardWork(NamedTuple):
    """All that must be known to do a shard, wherever that is."""

    work: Work
    expectations: Expectations

    @property
    def folder(self) -> str:
        """Where parts go."""
        shards = self.work.destinations.shards
        assert shards is not None
        return shards.folder

    def do(self, shard: Shard, estimate: Estimate) -> ShardDone:
        """Make the part of a shard. Raises FatalError."""
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
        """What an earlier part of the same inputs holds."""
        destinations = self.work.destinations
        if shard.earlier is None or shard.earlier.holds != shard.part.holds:
            return NothingKnown(destinations)
        recorded = RecordsByKey(read_part(os.path.join(self.folder, shard.earlier.name)))
        return Progress(
            recorded, destinations, steps=self.work.has_steps, passes_all=True, steps_choose=self.work.steps_choose
        )


def _names(images: Iterable[ImageInput]) -> Iterator[str]:
    for image in images:
        yield image.name
        yield from (member.name for member in image.members)


def _nothing_is_skipped(name: str, count: int = 1, *, whole: bool = False) -> None:
    """Every record of a part passes."""


def shards_of(inputs: Iterable[ImageInput], *, size: int, made_with: str, kind: str) -> Iterator[Shard]:
    """Inputs in shards of a size, numbered from 0."""
    iterator = iter(inputs)
    for number in itertools.count():
        images = tuple(itertools.islice(iterator, size))
        if not images:
            return
        yield Shard(images, Part(number, made_with, digest(_names(images)), kind))


def take_up(output: Shards, made_with: str, policy: Policy) -> dict[int, Part]:
    """What an earlier run has left, by number; nothing unless resuming. Raises UsageError where it differed,
    OutputError where the folder cannot be listed."""
    if policy is not Policy.RESUME:
        return {}
    parts = _parts_in(output)
    earlier = best_parts(output.folder)
    for part in parts:
        if (part.made_with, part.kind) != (made_with, output.kind):
            raise UsageError(
                f"cannot resume {output.folder}: {part.name} was made with another model, other settings, another "
                "--shard-size or in another format",
                "--overwrite begins anew",
            )
        if part != earlier[part.number]:  # killed between writing the one and deleting the other
            remove_part(output.folder, part)
    return earlier


def _parts_in(output: Shards) -> list[Part]:
    """All parts that are there. Raises OutputError where the folder cannot be listed."""
    with output_errors(output.folder):
        return list(list_parts(output.folder))


class _Replaced:
    """Parts of an earlier run that this one replaces. All stay until a part with an input that is ok is there: then
    those go that another model or other settings made, and of each number those that its new part replaces."""

    def __init__(self, output: Shards, made_with: str, parts: Iterable[Part]) -> None:
        self._folder = output.folder
        self._new: set[Part] = set()
        self._foreign: list[Part] = []
        self._alike: dict[int, list[Part]] = {}
        for part in parts:
            alike = (part.made_with, part.kind) == (made_with, output.kind)
            (self._alike.setdefault(part.number, []) if alike else self._foreign).append(part)

    def replace(self, done: ShardDone) -> None:
        """Delete what a new part replaces. Raises OutputError."""
        self._new.add(done.part)
        if done.earlier is not None:
            self._remove([done.earlier])
        if done.tally.ok:
            self._remove(self._foreign)
            self._foreign = []
            self._remove(self._alike.pop(done.part.number, []))

    def finish(self, earlier: Iterable[Part]) -> None:
        """Delete all that is left of the earlier run, and parts of it beyond the last input. Raises OutputError."""
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
    """Have all shards done that are not yet; return the exit status.

    do: an engine with its work. policy: what becomes of parts that are there.
    """
    output = work.destinations.shards
    assert output is not None
    work.destinations.remove_dead_temporaries()
    made_with = identity.digest(str(output.size), repr(tuple(work.clip_options)))
    earlier = take_up(output, made_with, policy)
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
        results.close()  # ends the workers, whatever still refers to them
        if interrupted or report.failed:
            work.destinations.remove_dead_temporaries()  # of workers that were ended in the midst of a file
        if not interrupted or report.found:
            report.close(interrupted=interrupted)
        if interrupted and report.found:
            report.say(f"finished shards are kept in {output.folder}; --resume carries on from there")
    return report.exit_status()


def _unfinished(
    shards: Iterable[Shard], earlier: dict[int, Part], report: Report, destinations: Destinations
) -> Iterator[Shard]:
    for shard in shards:
        part = earlier.pop(shard.part.number, None)
        whole = part is not None and part.holds == shard.part.holds and not part.failed
        if whole and _is_all_drawn(shard, destinations):
            for image in shard.images:
                report.skip(image.name, whole=True)
        else:
            yield shard._replace(earlier=part)


def _is_all_drawn(shard: Shard, destinations: Destinations) -> bool:
    """Whether the annotated pictures and clips of a shard are there."""
    if destinations.pictures is None and destinations.clips is None:
        return True
    return all(destinations.is_drawn(image) for image in shard.images)
