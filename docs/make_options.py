"""Writes docs/options.md, all options of all commands, from the command line itself.

python docs/make_options.py
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click

from posecli.commands import cli
from posecli.commands.sections import SectionedCommand

PAGE = Path(__file__).with_name("options.md")
_INTRODUCTION = """# Options

All commands and their options, as `posecli COMMAND --help` shows them. This page is made by `docs/make_options.py`.

Each option can also be set by an environment variable: `POSECLI_ESTIMATE_MAX_POSES=1` is `--max-poses 1` of
`posecli estimate`.

## Exit status

| status | meaning |
| --- | --- |
| 0 | every input was read and processed |
| 1 | the run finished, but some inputs failed |
| 2 | wrong usage: a bad option, no inputs, an output that exists |
| 3 | an expectation does not hold (`--require-pose`, `--expect…`, `compare`, `doctor`) |
| 4 | nothing could run: no usable model, output not writable, disk full |
| 130, 143 | ended by Ctrl-C or SIGTERM; finished records are kept. This is the normal end of `--watch` |
| 141 | the reader of standard output has closed it |

A bug in posecli gives a short message and status 4. `posecli --debug COMMAND` shows the details for a report.
"""


def page() -> str:
    """The page as Markdown."""
    context = click.Context(cli, info_name="posecli", **cli.context_settings)
    return "\n".join([_INTRODUCTION, *_commands(cli, context)])


def _commands(group: click.Group, context: click.Context) -> Iterator[str]:
    """The sections of all commands of a group, and of its groups."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        inner = click.Context(command, info_name=name, parent=context)
        yield _section(command, inner)
        if isinstance(command, click.Group):
            yield from _commands(command, inner)


def _section(command: click.Command, context: click.Context) -> str:
    usage = " ".join(piece for piece in command.collect_usage_pieces(context) if piece != "[OPTIONS]")
    lines = [f"## {context.command_path}", "", f"`{context.command_path} {usage}`".replace(" `", "`"), ""]
    lines += [_first_sentence(command), ""]
    for title, rows in _rows(command, context).items():
        lines += [f"**{title}**", ""] if title else []
        lines += ["| option | meaning |", "| --- | --- |", *rows, ""]
    return "\n".join(lines)


def _first_sentence(command: click.Command) -> str:
    return " ".join((command.help or "").split("\n\n")[0].split())


def _rows(command: click.Command, context: click.Context) -> dict[str, list[str]]:
    """Rows of the table by the title of their section in the help; without sections the title is empty."""
    sections = command.sections if isinstance(command, SectionedCommand) else {}
    rows: dict[str, list[str]] = {}
    title = "Options" if sections else ""
    for parameter in command.get_params(context):
        title = sections.get(parameter.name or "", title)
        if isinstance(parameter, click.Option) and (row := parameter.get_help_record(context)):
            names, text = (part.replace("|", "\\|") for part in row)
            rows.setdefault(title, []).append(f"| `{names}` | {_one_line(text)} |")
    return rows


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("*", "\\*")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
