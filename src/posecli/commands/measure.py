"""`posecli measure`: measures joint angles in saved records."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from posecli.commands.options import Number, refuse_existing
from posecli.errors import UsageError
from posecli.poses.angles import CONVENTIONS

if TYPE_CHECKING:
    from posecli.poses.angles import Measurement
    from posecli.poses.curves import FrameTimes, Unsmoothed
    from posecli.records.formats.base import TextSink


@click.command("measure", context_settings={"max_content_width": 100})
@click.argument("records")
@click.option("-o", "--output", metavar="FILE", help="File of the table.  [default: standard output]")
@click.option("-f", "--format", "format_name", type=click.Choice(["csv", "json"]),
              help="Format of the table.  [default: by the extension of -o, or csv]")  # fmt: skip
@click.option("--convention", type=click.Choice(CONVENTIONS), default=CONVENTIONS[0], show_default=True,
              help="included: a straight joint has 180 degrees. flexion: 0, and flexion is positive.")  # fmt: skip
@click.option("--keypoint-threshold", type=Number(0, 1), default=0.3, show_default=True, metavar="X",
              help="Ignore keypoints with lower scores: their angles are empty cells.")  # fmt: skip
@click.option("--person", "persons", type=click.IntRange(0), multiple=True, metavar="N",
              help="Only person N, from 0, of each picture or frame; repeatable.")  # fmt: skip
@click.option("--track", "tracks", type=click.IntRange(1), multiple=True, metavar="ID",
              help="Only the person with this track id; repeatable.")  # fmt: skip
@click.option(
    "--smooth", type=Number(0, 1e6, min_open=True), metavar="SECONDS", help="Smooth the angles of clips over this time."
)
@click.option("--plot", metavar="FILE.png", help="Plot the angles: clips over time, pictures side by side.")
@click.option("--overwrite", is_flag=True, help="Replace existing files.")
def command(
    records: str, *, output: str | None, format_name: str | None, convention: str, keypoint_threshold: float,
    persons: Sequence[int], tracks: Sequence[int], smooth: float | None, plot: str | None, overwrite: bool,
) -> None:  # fmt: skip
    """Measure joint angles in degrees: elbows, shoulders, hips and knees, trunk lean, neck, ankle line.

    \b
    Examples:
      posecli measure poses.jsonl -o angles.csv
      posecli measure clip.jsonl --convention flexion --smooth 0.5 -o angles.csv
      posecli measure clip.jsonl -f json --track 1 --plot angles.png

    RECORDS is output of `posecli estimate`, or COCO annotations; - is standard input. The table has one row per person
    and picture or frame. A straight joint has 180 degrees, or 0 with --convention flexion. Lean and neck are 0 if they
    are straight, and positive to the right of the picture. The quality of an angle is the lowest score of its
    keypoints; it is 0 if the angle changes faster than a body can move. --smooth and --plot need the extra measure.
    """
    from posecli.poses import curves
    from posecli.poses.angles import in_convention, measure
    from posecli.records.journal import read_records

    refuse_existing(output, plot, overwrite=overwrite)
    times = curves.FrameTimes()
    rows = list(measure(times.noted(read_records(records)), threshold=keypoint_threshold))
    rows = curves.flag_jumps(rows, times)
    rows = _smoothed(rows, smooth, times) if smooth is not None else rows
    people = curves.curves_of(rows)
    rows = _chosen(rows, "person", persons, lambda row: row.person)
    rows = _chosen(rows, "track", tracks, lambda row: row.track)
    rows = [in_convention(row, convention) for row in rows]
    if plot is not None:
        from posecli.render.angle_plot import plot_angles

        plot_angles(rows, people, times, plot)
    as_json = format_name == "json" or (format_name is None and (output or "").endswith(".json"))
    _write(rows, output, convention, as_json=as_json)


def _smoothed(rows: Sequence[Measurement], seconds: float, times: FrameTimes) -> list[Measurement]:
    """Apply --smooth, and name the inputs that it does not change on standard error. Raises UsageError if it changes
    none."""
    from posecli.files.terminal import print_line
    from posecli.poses import curves

    unchanged = curves.unsmoothed(rows, seconds, times)
    reasons = [
        _reason(why, [image for image, reason in unchanged.items() if reason is why], seconds, times)
        for why in dict.fromkeys(unchanged.values())
    ]
    if unchanged and len(unchanged) == len({row.image for row in rows}):
        raise UsageError(*reasons[0])
    for message, hint in reasons:
        print_line(f"posecli: {message} ({hint})", sys.stderr)
    return curves.smooth(rows, seconds, times)


def _reason(why: Unsmoothed, images: Sequence[str], seconds: float, times: FrameTimes) -> tuple[str, str]:
    """The message and the hint for inputs that are not smoothed."""
    from posecli.poses.curves import Unsmoothed, least_seconds

    shown = images[0] if len(images) == 1 else f"{images[0]} and {len(images) - 1} more"
    if why is Unsmoothed.STILL:
        return f"--smooth needs clips, and these are pictures: {shown}", "omit --smooth"
    if why is Unsmoothed.UNTRACKED:
        return f"--smooth needs tracks if there are several people: {shown}", "use `posecli estimate --track`"
    slowest = max(step for image in images if (step := times.step(image)) is not None)
    return (
        f"--smooth {seconds:g} is too short for {1 / slowest:.3g} frames per second, and changes nothing: {shown}",
        f"use --smooth {least_seconds(slowest):g} or more",
    )


def _chosen(
    rows: list[Measurement], option: str, wanted: Sequence[int], key: Callable[[Measurement], int | None]
) -> list[Measurement]:
    """The rows of --person or --track; all rows if the option is not given. Raises UsageError if there is no such
    number."""
    existing = sorted({number for row in rows if (number := key(row)) is not None})
    for number in wanted:
        if number not in existing:
            shown = ", ".join(map(str, existing[:20])) + (", …" if len(existing) > 20 else "")
            raise UsageError(f"there is no {option} {number}", f"the records have {shown}" if existing else "")
    return [row for row in rows if not wanted or key(row) in wanted]


def _write(rows: Sequence[Measurement], output: str | None, convention: str, *, as_json: bool) -> None:
    from posecli.files.atomic import atomic_file
    from posecli.poses.angles import names_in
    from posecli.records.formats.base import TextSink

    with contextlib.nullcontext(sys.stdout.buffer) if output is None else atomic_file(output) as raw:
        file = TextSink(raw)
        if as_json:
            json.dump([row.to_dict() for row in rows], file, indent=1)
            file.write("\n")
        else:
            _write_csv(rows, names_in(convention), file)


def _write_csv(rows: Sequence[Measurement], names: Sequence[str], file: TextSink) -> None:
    from posecli.records.formats.csv_table import cell_text, csv_writer

    table = csv_writer(file)
    table.writerow(
        ["image", "frame", "time", "person", "track", "score", *names, *(f"{name} quality" for name in names)]
    )
    for row in rows:
        head = (cell_text(row.image), row.frame, row.time, row.person, row.track, f"{row.score:.4f}")
        angles, qualities = ([values[name] for name in names] for values in (row.angles, row.quality))
        table.writerow([*head, *_cells(angles, ".1f"), *_cells(qualities, ".4f")])


def _cells(values: Sequence[float | None], form: str) -> list[str | None]:
    return [None if value is None else format(value, form) for value in values]
