"""`posecli compare`: differences between two sets of records, for CI."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from posecli.commands.options import limit_options, limits_of
from posecli.files.terminal import encodable, printable

if TYPE_CHECKING:
    from posecli.checks.compare import Difference


@click.command("compare", context_settings={"max_content_width": 100})
@click.argument("expected")
@click.argument("actual")
@limit_options
@click.option("--ignore-missing", is_flag=True, help="Ignore pictures that only EXPECTED has.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--github", is_flag=True, help="Also print annotations, which GitHub shows beside the files.")
def command(expected: str, actual: str, *, ignore_missing: bool, as_json: bool, github: bool, **options: Any) -> None:
    """List the differences between two files of records; exit with status 3 if there are any.

    \b
    Examples:
      posecli compare expected.jsonl poses.jsonl
      posecli compare labels.json corrected.json
      posecli estimate samples/ | posecli compare expected.jsonl - --max-distance 8

    Differences are missing or new pictures and people, moved keypoints, and changed scores. Pictures are matched by
    name, people by similarity. EXPECTED and ACTUAL are output of `posecli estimate`, or COCO annotations; - is
    standard input.
    """
    from posecli.checks.compare import compare
    from posecli.records.journal import read_records
    from posecli.run.report import EXIT_EXPECTATION, EXIT_OK

    found = list(
        compare(read_records(expected), read_records(actual), limits_of(options), ignore_missing=ignore_missing)
    )
    if as_json:
        click.echo(json.dumps([difference.to_dict() for difference in found], indent=2))
    else:
        click.echo(_table(found))
    if github:
        for difference in found:
            file, message = _escaped(difference.image, ",:"), _escaped(difference.message)
            click.echo(encodable(f"::error file={file},title=posecli::{message}", sys.stdout))
    sys.exit(EXIT_EXPECTATION if found else EXIT_OK)


def _table(found: list[Difference]) -> str:
    if not found:
        return "no differences"
    rows = [(printable(difference.place), printable(difference.message)) for difference in found]
    width = max(len(place) for place, _ in rows)
    lines = [encodable(f"{place:{width}}  {message}", sys.stdout) for place, message in rows]
    pictures = len({difference.image for difference in found})
    return "\n".join([*lines, f"{len(found)} differences in {pictures} pictures"])


def _escaped(text: str, more: str = "") -> str:
    """Escape a text for GitHub's workflow commands. more: characters to escape besides %, \\r and \\n."""
    return "".join(f"%{ord(character):02X}" if character in "%\r\n" + more else character for character in text)
