"""`posecli convert`: converts saved records to other formats and annotated pictures, without the model."""

from __future__ import annotations

import sys
from typing import Any

import click

from posecli.commands.options import data_options, destinations_of, picture_options, policy_of
from posecli.errors import UsageError


@click.command("convert", context_settings={"max_content_width": 100})
@click.argument("records")
@data_options
@picture_options
@click.option(
    "--image-root", metavar="DIR", help="Folder of the pictures for -a.  [default: their paths in the records]"
)
@click.option("-q", "--quiet", is_flag=True, help="Print only failures.")
def command(records: str, image_root: str | None, quiet: bool, **options: Any) -> None:
    """Convert saved records to another format, or draw them, without running the model again.

    \b
    Examples:
      posecli convert poses.jsonl -o poses.csv
      posecli convert poses.jsonl -a annotated/ --draw scores
      posecli convert poses.jsonl -f coco-annotations -o labels.json
      posecli convert corrected.json -o corrected.jsonl

    RECORDS is output of `posecli estimate` (JSON Lines, JSON, Parquet, or a folder of parts), or COCO annotations from
    an annotation tool. - is standard input.
    """
    from posecli.run.conversion import Conversion, convert

    if options["output"] is None and options["format_name"] is None and options["annotate"] is None:
        raise UsageError("no output is given", "add -o FILE, -f FORMAT or -a FOLDER")
    conversion = Conversion(records, destinations_of(options, one_input=True), policy_of(options), image_root)
    sys.exit(convert(conversion, quiet=quiet))
