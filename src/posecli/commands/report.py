"""`posecli report`: a page to look through a run."""

from __future__ import annotations

import click

from posecli.commands.options import refuse_existing


@click.command("report", context_settings={"max_content_width": 100})
@click.argument("records")
@click.option("-o", "--output", required=True, metavar="FILE.html", help="Where the page goes.")
@click.option("--image-root", metavar="DIR", help="Where the pictures are, if not where the records say.")
@click.option("--link", is_flag=True,
              help="Leave pictures outside the page: small, but it must stay beside them. Frames of videos and "
              "animations, and files that browsers do not show, are in it anyway.")  # fmt: skip
@click.option("--size", type=click.IntRange(64, 4096), default=480, show_default=True, metavar="PX",
              help="Longer side of the pictures in the page.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace FILE.html.")
def command(records: str, *, output: str, image_root: str | None, link: bool, size: int, overwrite: bool) -> None:
    """Make one self-contained page: the pictures with skeletons over them, to filter, sort and look through.

    RECORDS is what `posecli estimate` wrote; - is standard input. The page needs no network. Tracked people have the
    colours of annotated clips, and can be looked at one by one. Arrow keys move through the pictures, Enter opens one,
    Escape closes it. Needs the extra report.

    \b
    Examples:
      posecli report poses.jsonl -o report.html
      posecli report poses.jsonl -o report.html --link --image-root photos/
    """
    from posecli.inputs.opening import limit_pillow
    from posecli.records.journal import read_records
    from posecli.render.gallery import write_page
    from posecli.types import Settings

    refuse_existing(output, overwrite=overwrite)
    limit_pillow(Settings.max_pixels)
    write_page(read_records(records), output, image_root=image_root, link=link, size=size)
