"""`posecli help`: prints the same text as `--help`."""

from __future__ import annotations

import click


@click.command("help")
@click.argument("command_names", nargs=-1, metavar="[COMMAND]...")
@click.pass_context
def command(ctx: click.Context, command_names: tuple[str, ...]) -> None:
    """Show the help of a command, like COMMAND --help.

    \b
    Examples:
      posecli help estimate
      posecli help model download
    """
    root = ctx.find_root()
    root.command.main([*command_names, "--help"], prog_name=root.info_name, standalone_mode=False)
