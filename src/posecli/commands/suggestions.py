"""Suggestions for a word that is not a command."""

from __future__ import annotations

import difflib
import os
import shlex
from collections.abc import Iterable

import click

from posecli.errors import UsageError

#: Group → its command that is suggested for a path.
_PATH_COMMANDS = {"posecli": "estimate", "posecli model": "info"}
_PATH_CHARACTERS = frozenset("./\\*?[")
_MAX_SUGGESTIONS = 3


def check_command(group: click.Group, ctx: click.Context, name: str, arguments: list[str]) -> None:
    """Raise UsageError, with suggestions, if the first argument is not a command of the group.

    name: the group as it is typed. Options are not checked: click does that.
    """
    word, *rest = arguments
    if (word.startswith("-") and word != "-") or group.get_command(ctx, word) is not None:
        return
    found = [f"`{name} {shlex.join(words)}`" for words in _suggestions(name, word, rest, group.list_commands(ctx))]
    hint = f"did you mean {' or '.join(found)}?" if found else f"`{_help(name)}` lists the commands"
    raise UsageError(f"{word!r} is not a command", hint)


def _suggestions(name: str, word: str, rest: list[str], commands: Iterable[str]) -> list[list[str]]:
    """Suggested argument lists, the most likely first."""
    if word == "help":
        return [["--help"]]
    found = []
    if name in _PATH_COMMANDS and (word == "-" or _PATH_CHARACTERS & set(word) or os.path.lexists(word)):
        found.append([_PATH_COMMANDS[name], word, *rest])
    if word == "-" or _PATH_CHARACTERS & set(word):
        return found
    return found + [[command, *rest] for command in _similar(word.lower(), commands)]


def _similar(word: str, commands: Iterable[str]) -> list[str]:
    completions = [command for command in commands if command.startswith(word)]
    return completions or difflib.get_close_matches(word, commands, n=_MAX_SUGGESTIONS)


def _help(name: str) -> str:
    command, *group = name.split()
    return " ".join([command, "help", *group])
