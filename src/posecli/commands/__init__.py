"""The command line: one file a command, imported when it is called, so that `--help` is instant."""

from __future__ import annotations

import importlib
import os
import sys
import warnings

import click

from posecli._version import __version__
from posecli.commands.suggestions import check_command
from posecli.errors import FatalError, Unforeseen, show_tracebacks

#: Command → what it does in a line; the module of the same name in this folder holds it.
_COMMANDS = {
    "estimate": "Find people's poses in pictures.",
    "convert": "Write saved records in another format, or draw them.",
    "report": "Make a page of pictures with their skeletons to look through.",
    "compare": "Tell what differs between two runs.",
    "measure": "Measure joint angles.",
    "evaluate": "Measure precision and recall against annotations.",
    "benchmark": "Measure how fast it is on this machine.",
    "model": "Find, download and check the model's file.",
    "doctor": "Test this installation.",
    "schema": "Print the JSON Schema of the record.",
    "help": "Show the help of a command.",
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"posecli.commands.{cmd_name}").command
        return command

    def invoke(self, ctx: click.Context) -> object:
        """As click does, which takes these two for Ctrl-C and for a reader of standard output that has left."""
        try:
            return super().invoke(ctx)
        except (EOFError, BrokenPipeError) as error:
            raise Unforeseen.from_exception(error) from error

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, but a word that is not a command, here or in a group below, gets suggestions."""
        if ctx.resilient_parsing:  # completion in a shell
            return super().resolve_command(ctx, args)
        check_command(self, ctx, "posecli", args)
        name, command, rest = super().resolve_command(ctx, args)
        if isinstance(command, click.Group) and rest:
            check_command(command, ctx, f"posecli {name}", rest)
        return name, command, rest

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "POSECLI"},
    epilog="`posecli COMMAND --help` tells more. Exit status: 0 all well, 1 some inputs failed, 2 wrong usage, "
    "3 an expectation did not hold, 4 nothing could run.",
)
@click.version_option(__version__, prog_name="posecli", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of what nobody foresaw (also POSECLI_DEBUG).")
def cli(debug: bool) -> None:
    """Find people's poses in pictures: 17 keypoints a person, as JSON, tables or drawn over the picture."""
    show_tracebacks(debug)
    if not debug and not sys.warnoptions:
        warnings.simplefilter("ignore")  # what libraries warn of is for those who work on posecli
    _check_working_folder()


def _check_working_folder() -> None:
    """Relative names, and processes that are started, need one. Raises FatalError."""
    try:
        os.getcwd()
    except OSError as error:
        raise FatalError(
            f"the working folder cannot be used: {error.strerror or error}", "it may have been deleted: enter another"
        ) from error
