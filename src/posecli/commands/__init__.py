"""The command line: one module per command, imported on first use, so that `--help` is fast."""

from __future__ import annotations

import importlib
import os
import sys
import warnings

import click

from posecli._version import __version__
from posecli.commands.suggestions import check_command
from posecli.errors import FatalError, UnexpectedError, show_tracebacks

#: Command → one line of help. The module of the same name in this folder defines the command.
_COMMANDS = {
    "estimate": "Find people and their keypoints in pictures and clips.",
    "convert": "Convert saved records to another format, or draw them.",
    "report": "Make an HTML page that shows pictures with their skeletons.",
    "compare": "List the differences between two files of records.",
    "measure": "Measure joint angles in saved records.",
    "evaluate": "Measure precision and recall against COCO annotations.",
    "benchmark": "Measure the speed on this machine.",
    "model": "Download, check and describe model files.",
    "doctor": "Test this installation.",
    "schema": "Print the JSON Schema of a record.",
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
        """Report EOFError and BrokenPipeError as unforeseen: click takes them for Ctrl-C and for a closed output."""
        try:
            return super().invoke(ctx)
        except (EOFError, BrokenPipeError) as error:
            raise UnexpectedError.from_exception(error) from error

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Like click's, with suggestions for a word that is not a command, here or in a subgroup."""
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
    epilog="`posecli COMMAND --help` shows the options of a command and examples. Exit status: 0 success, 1 some "
    "inputs failed, 2 wrong usage, 3 an expectation was not met, 4 the command could not run.",
)
@click.version_option(__version__, prog_name="posecli", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an unexpected error (also POSECLI_DEBUG).")
def cli(debug: bool) -> None:
    """Find people in pictures and clips: 17 keypoints per person, as JSON, as tables, or drawn over the picture.

    \b
    Examples:
      posecli estimate photo.jpg
      posecli estimate photos/ -o poses.jsonl -a annotated/
    """
    show_tracebacks(debug)
    if not debug and not sys.warnoptions:
        warnings.simplefilter("ignore")  # warnings of libraries are for developers
    _check_working_folder()


def _check_working_folder() -> None:
    """Raise FatalError if there is no working folder: relative names and child processes need it."""
    try:
        os.getcwd()
    except OSError as error:
        raise FatalError(
            f"the working folder cannot be used: {error.strerror or error}",
            "it may have been deleted: change to another folder",
        ) from error
