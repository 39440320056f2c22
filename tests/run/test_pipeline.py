"""The pipeline: which inputs of a resumed run are sent to an engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest

from posecli.inputs.clips import ClipOptions
from posecli.run.destinations import Destinations
from posecli.run.engines import in_groups
from posecli.run.pipeline import Pipeline, Work, _Expected
from posecli.run.progress import InputState, NothingFinished
from posecli.types import ImageInput, Record, Settings

from ..poses.test_tracking import frame


@pytest.mark.parametrize("recorded", [0, 1, 3, 5])
def test_the_frame_before_the_first_unfinished_frame_is_sent_to_the_engine(
    recorded: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its people are searched for in the next frame. Without them, a resumed run would have other results."""
    work = Work(Settings(), ClipOptions(), Destinations(), timeout=60)
    pipeline = Pipeline(work, NothingFinished(work.destinations), skipped=lambda name, count=1, *, whole=False: None)
    sent: list[int | None] = []

    def unfinished(images: Iterable[ImageInput]) -> Iterator[ImageInput]:
        for number in range(5):
            record = frame(number, []) if number < recorded else None
            image = ImageInput("c.mp4", "c.mp4", frame=number, group=0, recorded=record)
            pipeline._expected.append(_Expected(image, InputState(record)))
            yield image

    def estimate(images: Iterable[ImageInput]) -> Iterator[Record]:
        for image in images:
            sent.append(image.frame)
            yield image.recorded or replace(frame(0, []), frame=image.frame)

    monkeypatch.setattr(pipeline, "_unfinished", unfinished)
    found = [done.record.frame for done in pipeline.records([], estimate)]
    assert found == list(range(5))
    assert sent == ([] if recorded == 5 else list(range(max(recorded - 1, 0), 5)))


def test_the_records_of_a_clip_do_not_wait_for_the_next_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps over time release their records, and a group is sent to a worker, before the next input arrives."""
    work = Work(Settings(track=True), ClipOptions(), Destinations(), timeout=60)
    pipeline = Pipeline(work, NothingFinished(work.destinations), skipped=lambda name, count=1, *, whole=False: None)

    def unfinished(images: Iterable[ImageInput]) -> Iterator[ImageInput]:
        for number in range(5):
            image = ImageInput("c.mp4", "c.mp4", frame=number, group=number // 3, ends_clip=number == 4)
            pipeline._expected.append(_Expected(image, InputState()))
            yield image
        pytest.fail("the next input is asked for")

    def estimate(images: Iterable[ImageInput]) -> Iterator[Record]:
        for group in in_groups(images):
            yield from (replace(frame(0, []), frame=image.frame, time=0.1 * (image.frame or 0)) for image in group)

    monkeypatch.setattr(pipeline, "_unfinished", unfinished)
    records = pipeline.records([], estimate)
    assert [next(records).record.frame for _ in range(5)] == list(range(5))


def test_a_replayed_picture_does_not_wait_for_the_next_input(monkeypatch: pytest.MonkeyPatch) -> None:
    work = Work(Settings(), ClipOptions(), Destinations(), timeout=60)
    pipeline = Pipeline(work, NothingFinished(work.destinations), skipped=lambda name, count=1, *, whole=False: None)

    def unfinished(images: Iterable[ImageInput]) -> Iterator[ImageInput]:
        record = frame(0, [])
        pipeline._expected.append(_Expected(ImageInput("c.mp4", "c.mp4"), InputState(record)))
        yield ImageInput("c.mp4", "c.mp4", recorded=record)
        pytest.fail("the next input is asked for")

    monkeypatch.setattr(pipeline, "_unfinished", unfinished)
    assert next(pipeline.records([], lambda images: iter(()))).replayed
