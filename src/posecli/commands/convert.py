"""`posecli convert`: saved records → other formats and pictures, without the model."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from posecli.commands.options import data_options, outputs_of, picture_options
from posecli.errors import InputError, UsageError

if TYPE_CHECKING:
    from posecli.inputs.clips import FrameReader
    from posecli.run.destinations import Outputs
    from posecli.run.pipeline import Sequence
    from posecli.run.report import Report
    from posecli.types import ImageInput, Record


@click.command("convert", context_settings={"max_content_width": 100})
@click.argument("records")
@data_options
@picture_options
@click.option("--image-root", metavar="DIR", help="Where the pictures are, for -a, if not where the records say.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing unless something fails.")
def command(records: str, image_root: str | None, quiet: bool, **options: Any) -> None:
    """Write saved records in another format, or draw them, without running the model again.

    RECORDS is what `posecli estimate` wrote: JSON Lines, JSON, Parquet, or a folder of parts. - is standard input.

    \b
    Examples:
      posecli convert poses.jsonl -o poses.csv
      posecli convert poses.jsonl -a annotated/ --draw scores
    """
    from posecli.records.journal import read_records
    from posecli.run.destinations import OVERWRITE, REFUSE
    from posecli.run.report import Report

    if options["output"] is None and options["format_name"] is None and options["annotate"] is None:
        raise UsageError("say what to write", "-o FILE, -f FORMAT or -a FOLDER")
    outputs = outputs_of(options, one_input=True)
    policy = OVERWRITE if options["overwrite"] else REFUSE
    outputs.check(policy)
    if outputs.run is not None and policy == OVERWRITE:
        outputs.run.discard()
    report = Report(quiet=quiet)
    written = _write_images(read_records(records), outputs, report, image_root=image_root, policy=policy)
    if outputs.run is not None:
        outputs.run.write(written)
    else:
        for _ in written:
            pass
    report.close()
    sys.exit(report.exit_status())


def _write_images(
    records: Iterable[Record], outputs: Outputs, report: Report, *, image_root: str | None, policy: str
) -> Iterator[Record]:
    """Write the files of each image; records go on to the file of the run. A picture that cannot be read counts as
    failed, and its record goes on all the same."""
    from posecli.inputs.arguments import output_name
    from posecli.inputs.clips import FrameReader, frame_output
    from posecli.run.pipeline import Sequence
    from posecli.types import ImageInput

    sequence, frames = Sequence(clips=outputs.clips), FrameReader()

    def written() -> Iterator[Record]:
        for record in records:
            image = ImageInput(record.image, output_name(record.image))
            if record.frame is not None:
                image = image._replace(output=frame_output(image.output, record.frame), frame=record.frame)
            outputs.check_files([image], policy)
            if outputs.data is not None:
                outputs.data.write(record, image)
            if record.frame is None:
                failure = _draw(record, image, outputs, image_root)
            else:
                failure = _hand_over(record, image, sequence, frames, image_root=image_root, outputs=outputs)
            report.count(failure if failure is not None else record)
            yield record

    yield from sequence.follow(written())


def _hand_over(
    record: Record,
    image: ImageInput,
    sequence: Sequence,
    frames: FrameReader,
    *,
    image_root: str | None,
    outputs: Outputs,
) -> Record | None:
    """Have a frame drawn in its clip, where one is wanted; the record of what went wrong, or None."""
    from posecli.inputs.arguments import picture_path
    from posecli.types import Record

    if outputs.clips is None or not record.ok or record.frame is None:
        return None
    try:
        pixels = frames.read(picture_path(record, image_root), record.frame)
    except InputError as error:
        return Record.failed(record.image, error.code, str(error))
    sequence.expect(image._replace(time=record.time, pixels=pixels))
    return None


def _draw(record: Record, image: ImageInput, outputs: Outputs, image_root: str | None) -> Record | None:
    """Draw the annotated picture where one is wanted; the record of what went wrong, or None."""
    from posecli.inputs.arguments import picture_path
    from posecli.inputs.pictures import lift_pillow_limit, read_frame
    from posecli.types import Record, Settings

    if outputs.pictures is None or not record.ok:
        return None
    lift_pillow_limit()
    try:
        frame = read_frame(picture_path(record, image_root), max_pixels=Settings.max_pixels)
    except InputError as error:
        return Record.failed(record.image, error.code, str(error))
    outputs.pictures.write(frame.image, record, image)
    return None
