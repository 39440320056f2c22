"""`posecli schema`: prints the JSON Schema of a record."""

from __future__ import annotations

import click


@click.command("schema")
def command() -> None:
    """Print the JSON Schema of a record. `posecli estimate` writes one record per picture or frame.

    \b
    Examples:
      posecli schema > record.schema.json
      posecli schema | jq .properties.poses
    """
    from posecli.records.schema import schema_text

    click.echo(schema_text(), nl=False)
