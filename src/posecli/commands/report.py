"""`posecli report`: makes an HTML page of pictures with their skeletons."""

from __future__ import annotations

import click

from posecli.commands.options import refuse_existing


@click.command("report", context_settings={"max_content_width": 100})
@click.argument("records")
@click.option("-o", "--output", required=True, metavar="FILE.html", help="File of the page.")
@click.option("--image-root", metavar="DIR", help="Folder of the pictures.  [default: their paths in the records]")
@click.option("--link", is_flag=True,
              help="Link to the pictures instead of embedding them. The page is small, but needs them at their place. "
              "Frames, and files that browsers cannot show, are embedded anyway.")  # fmt: skip
@click.option("--size", type=click.IntRange(64, 4096), default=480, show_default=True, metavar="PX",
              help="Longer side of embedded pictures.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace FILE.html if it exists.")
def command(records: str, *, output: str, image_root: str | None, link: bool, size: int, overwrite: bool) -> None:
    """Make one self-contained HTML page of pictures with their skeletons, which can be filtered and sorted.

    \b
    Examples:
      posecli report poses.jsonl -o report.html
      posecli report poses.jsonl -o report.html --link --image-root photos/

    RECORDS is output of `posecli estimate`; - is standard input. The page needs no network. Tracked people have the
    same colours as in annotated clips, and can be shown one at a time. Arrow keys move through the pictures, Enter
    opens one, Escape closes it. Needs the extra report.
    """
    from posecli.inputs.opening import limit_pillow
    from posecli.records.journal import read_records
    from posecli.render.gallery import write_page
    from posecli.types import Settings

    refuse_existing(output, overwrite=overwrite)
    limit_pillow(Settings.max_pixels)
    write_page(read_records(records), output, image_root=image_root, link=link, size=size)
