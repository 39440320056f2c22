"""`posecli measure`: joint angles from saved records."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from posecli.commands.options import Number, refuse_existing

if TYPE_CHECKING:
    from posecli.poses.angles import Measurement
    from posecli.records.formats.base import TextSink


@click.command("measure", context_settings={"max_content_width": 100})
@click.argument("records")
@click.option("-o", "--output", metavar="FILE", help="Where the table goes.  [default: standard output]")
@click.option("-f", "--format", "format_name", type=click.Choice(["csv", "json"]), help="[default: by -o, else csv]")
@click.option("--keypoint-threshold", type=Number(0, 1), default=0.3, show_default=True, metavar="X",
              help="Keypoints below it leave empty cells.")  # fmt: skip
@click.option("--smooth", type=Number(0, 1e6, min_open=True), metavar="SECONDS", help="Smooth clips over so long.")
@click.option("--plot", metavar="FILE.png", help="Draw the angles, over time for clips.")
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
def command(
    records: str, *, output: str | None, format_name: str | None, keypoint_threshold: float, smooth: float | None,
    plot: str | None, overwrite: bool,
) -> None:  # fmt: skip
    """Measure joint angles in degrees: elbows, shoulders, hips and knees, trunk lean, neck, ankle line.

    RECORDS is what `posecli estimate` wrote; - is standard input. A row a person and picture or frame. Joints are 180
    where they are stretched out; lean and neck are 0 where they are straight, positive to the right of the picture.
    --smooth and --plot need the extra measure.

    \b
    Examples:
      posecli measure poses.jsonl -o angles.csv
      posecli measure clip.jsonl -f json --smooth 0.3 --plot angles.png
    """
    from posecli.poses.angles import measure
    from posecli.records.journal import read_records

    refuse_existing(output, plot, overwrite=overwrite)
    rows = list(measure(read_records(records), threshold=keypoint_threshold))
    if smooth is not None or plot is not None:
        from posecli.poses import curves

        rows = curves.smooth(rows, smooth) if smooth is not None else rows
        if plot is not None:
            curves.plot(rows, plot)
    as_json = format_name == "json" or (format_name is None and (output or "").endswith(".json"))
    _write(rows, output, as_json=as_json)


def _write(rows: Sequence[Measurement], output: str | None, *, as_json: bool) -> None:
    from posecli.files.atomic import whole_file
    from posecli.records.formats.base import TextSink

    with contextlib.nullcontext(sys.stdout.buffer) if output is None else whole_file(output) as raw:
        file = TextSink(raw)
        if as_json:
            json.dump([row.to_dict() for row in rows], file, indent=1)
            file.write("\n")
        else:
            _write_csv(rows, file)


def _write_csv(rows: Sequence[Measurement], file: TextSink) -> None:
    from posecli.poses.angles import ANGLES
    from posecli.records.formats.csv_table import cell_text, csv_writer

    table = csv_writer(file)
    table.writerow(["image", "frame", "time", "person", "score", *ANGLES])
    for row in rows:
        angles = [None if row.angles[name] is None else f"{row.angles[name]:.1f}" for name in ANGLES]
        table.writerow([cell_text(row.image), row.frame, row.time, row.person, f"{row.score:.4f}", *angles])
