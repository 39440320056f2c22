"""From inputs to final records: what goes to an engine when a run is resumed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest

from posecli.inputs.clips import ClipOptions
from posecli.run.destinations import Destinations
from posecli.run.pipeline import Pipeline, Work, _Expected
from posecli.run.progress import Known, NothingKnown
from posecli.types import ImageInput, Record, Settings

from ..poses.test_tracking import frame


@pytest.mark.parametrize("recorded", [0, 1, 3, 5])
def test_the_frame_before_the_first_unfinished_one_goes_to_the_engine(
    recorded: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its people are looked for in the next frame: without them, a resumed run would find others."""
    work = Work(Settings(), ClipOptions(), Destinations(), timeout=60)
    pipeline = Pipeline(work, NothingKnown(work.destinations), skipped=lambda name, count=1, *, whole=False: None)
    sent: list[int | None] = []

    def unfinished(images: Iterable[ImageInput]) -> Iterator[ImageInput]:
        for number in range(5):
            record = frame(number, []) if number < recorded else None
            image = ImageInput("c.mp4", "c.mp4", frame=number, group=0, recorded=record)
            pipeline._expected.append(_Expected(image, Known(record)))
            yield image

    def estimate(images: Iterable[ImageInput]) -> Iterator[Record]:
        for image in images:
            sent.append(image.frame)
            yield image.recorded or replace(frame(0, []), frame=image.frame)

    monkeypatch.setattr(pipeline, "_unfinished", unfinished)
    found = [done.record.frame for done in pipeline.records([], estimate)]
    assert found == list(range(5))
    assert sent == ([] if recorded == 5 else list(range(max(recorded - 1, 0), 5)))
