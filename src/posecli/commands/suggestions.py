"""What a user probably meant by a word that is not a command."""

from __future__ import annotations

import difflib
import os
import shlex
from collections.abc import Iterable

import click

from posecli.errors import UsageError

#: The command that takes a path, by the name of its group.
_TAKES_A_PATH = {"posecli": "estimate", "posecli model": "info"}
_OF_A_PATH = frozenset("./\\*?[")
_MOST_SUGGESTIONS = 3


def check_command(group: click.Group, ctx: click.Context, name: str, arguments: list[str]) -> None:
    """Raise UsageError, with suggestions, where the first argument is not a command of a group.

    name: of the group, as it is typed. Options are left to click.
    """
    word, *rest = arguments
    if (word.startswith("-") and word != "-") or group.get_command(ctx, word) is not None:
        return
    meant = [f"`{name} {shlex.join(words)}`" for words in _suggestions(name, word, rest, group.list_commands(ctx))]
    hint = f"did you mean {' or '.join(meant)}?" if meant else f"`{_help(name)}` lists the commands"
    raise UsageError(f"{word!r} is not a command", hint)


def _suggestions(name: str, word: str, rest: list[str], commands: Iterable[str]) -> list[list[str]]:
    """Argument lists that were probably meant, the most likely first."""
    if word == "help":
        return [["--help"]]
    found = []
    if name in _TAKES_A_PATH and (word == "-" or _OF_A_PATH & set(word) or os.path.lexists(word)):
        found.append([_TAKES_A_PATH[name], word, *rest])
    if word == "-" or _OF_A_PATH & set(word):
        return found
    return found + [[command, *rest] for command in _similar(word.lower(), commands)]


def _similar(word: str, commands: Iterable[str]) -> list[str]:
    beginnings = [command for command in commands if command.startswith(word)]
    return beginnings or difflib.get_close_matches(word, commands, n=_MOST_SUGGESTIONS)


def _help(name: str) -> str:
    command, *group = name.split()
    return " ".join([command, "help", *group])
