"""Runs of any size: inputs in shards, each done where an engine sees fit, each with a part file of its own.

Only shards go out and only summaries come back, so what a run costs this process does not depend on what is in the
pictures. Finished shards are known by their files; of one in which inputs failed only those are done again.
"""

from __future__ import annotations

import itertools
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from posecli.errors import UsageError
from posecli.inputs.clip_decoder import expand
from posecli.inputs.clips import ClipOptions
from posecli.poses.tracking import steps_over_time
from posecli.records.journal import RunIdentity
from posecli.records.parts import Part, best_parts, digest, list_parts, read_part, remove_part, write_part
from posecli.run.destinations import OVERWRITE, RESUME, ShardOutput
from posecli.run.engines import Estimate
from posecli.run.expectations import Expectations
from posecli.run.pipeline import ClipOutput, Sequence
from posecli.run.report import Report, Tally
from posecli.types import ImageInput, Record, Settings


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
    """All that must be known to do a shard, wherever that is. folder: where parts go; timeout: seconds a frame."""

    folder: str
    settings: Settings
    clip_options: ClipOptions
    timeout: float
    expectations: Expectations
    clips: ClipOutput | None = None

    def do(self, shard: Shard, estimate: Estimate) -> ShardDone:
        """Make the part of a shard. Raises FatalError."""
        kept = self._kept(shard)
        finished = {record.image for record in kept}
        images = [image for image in shard.images if image.name not in finished]
        tally = Tally(skipped=len(shard.images) - len(images))

        def records() -> Iterator[Record]:
            yield from kept
            for record in self._estimated(images, estimate):
                tally.count(record, self.expectations)
                yield record

        return ShardDone(write_part(self.folder, shard.part, records()), tally, shard.earlier)

    def _kept(self, shard: Shard) -> list[Record]:
        """Records of an earlier part of the same inputs, of those of which none failed."""
        if shard.earlier is None or shard.earlier.holds != shard.part.holds:
            return []
        by_name: defaultdict[str, list[Record]] = defaultdict(list)
        for record in read_part(os.path.join(self.folder, shard.earlier.name)):
            by_name[record.image].append(record)
        return [one for records in by_name.values() if all(record.ok for record in records) for one in records]

    def _estimated(self, images: Iterable[ImageInput], estimate: Estimate) -> Iterator[Record]:
        settings = self.settings
        frames = expand(images, self.clip_options, timeout=self.timeout, grouped=settings.track and settings.zoom)
        sequence = Sequence(steps_over_time(settings), clips=self.clips)
        return sequence.follow(estimate(sequence.watch(frames)))


def shards_of(inputs: Iterable[ImageInput], *, size: int, made_with: str, kind: str) -> Iterator[Shard]:
    """Inputs in shards of a size, numbered from 0."""
    iterator = iter(inputs)
    for number in itertools.count():
        images = tuple(itertools.islice(iterator, size))
        if not images:
            return
        yield Shard(images, Part(number, made_with, digest(image.name for image in images), kind))


def take_up(output: ShardOutput, identity: RunIdentity, policy: str) -> dict[int, Part]:
    """What an earlier run has left, by number; nothing unless resuming. Raises UsageError where it differed."""
    if policy == OVERWRITE:
        for part in list_parts(output.folder):
            remove_part(output.folder, part)
    if policy != RESUME:
        return {}
    earlier = best_parts(output.folder)
    for part in list_parts(output.folder):
        if (part.made_with, part.kind) != (identity.digest(), output.kind):
            raise UsageError(
                f"cannot resume {output.folder}: {part.name} was made with another model, other settings or in another "
                "format",
                "--overwrite begins anew",
            )
        if part != earlier[part.number]:  # killed between writing the one and deleting the other
            remove_part(output.folder, part)
    return earlier


def run(
    inputs: Iterable[ImageInput],
    do: Callable[[Iterable[Shard]], Iterator[ShardDone]],
    output: ShardOutput,
    report: Report,
    *,
    policy: str,
    identity: RunIdentity,
    fail_fast: bool = False,
) -> int:
    """Have all shards done that are not yet; return the exit status.

    do: an engine with its work. policy: what becomes of parts that are there (`outputs.REFUSE`, `OVERWRITE`, `RESUME`).
    """
    earlier = take_up(output, identity, policy)
    shards = shards_of(inputs, size=output.size, made_with=identity.digest(), kind=output.kind)
    interrupted = True
    try:
        for done in do(_unfinished(shards, earlier, report)):
            if done.earlier is not None and done.earlier != done.part:
                remove_part(output.folder, done.earlier)
            report.add(done.tally)
            if fail_fast and done.tally.failed:
                report.say("stopped at the first failure (--fail-fast)")
                break
        else:
            for part in earlier.values():  # of a longer list of inputs
                remove_part(output.folder, part)
        interrupted = False
    finally:
        if not interrupted or report.found:
            report.close(interrupted=interrupted)
        if interrupted and report.found:
            report.say(f"finished shards are kept in {output.folder}; --resume carries on from there")
    return report.exit_status()


def _unfinished(shards: Iterable[Shard], earlier: dict[int, Part], report: Report) -> Iterator[Shard]:
    for shard in shards:
        part = earlier.pop(shard.part.number, None)
        if part is not None and part.holds == shard.part.holds and not part.failed:
            report.skip(len(shard.images))
        else:
            yield shard._replace(earlier=part)
