"""`posecli schema`"""

from __future__ import annotations

import click


@click.command("schema")
def command() -> None:
    """Print the JSON Schema of the record, one of which is written for every input.

    \b
    Examples:
      posecli schema > record.schema.json
      posecli schema | jq .properties.poses
    """
    from posecli.records.schema import schema_text

    click.echo(schema_text(), nl=False)
