"""The sections of a command's help, and which options of `posecli estimate` are in which."""

from __future__ import annotations

import re

import click
import pytest

from posecli.commands.estimate import command
from posecli.commands.sections import SectionedCommand

#: Section → some of its options.
SECTIONS = {
    "Input": ("--files-from", "--null"),
    "Output": ("--output", "--format", "--overwrite", "--resume", "--shards"),
    "Annotated pictures": ("--annotate", "--draw", "--background", "--blur-faces", "--pixelate-faces"),
    "Model": ("--model", "--zoom-model", "--offline"),
    "Estimation": ("--preset", "--zoom", "--max-poses", "--person", "--region", "--max-pixels"),
    "Clips": ("--track", "--smooth", "--every", "--fps", "--as-clip", "--from", "--to"),
    "Execution": ("--engine", "--workers", "--timeout", "--max-memory", "--fail-fast"),
    "Expectations": ("--require-pose", "--expect-people", "--expect", "--max-distance"),
    "Other options": ("--dry-run", "--progress", "--quiet", "--verbose", "--help"),
}


def help_of(command: click.Command, width: int = 100) -> str:
    settings = {**command.context_settings, "terminal_width": width, "help_option_names": ["-h", "--help"]}
    return command.get_help(click.Context(command, info_name="posecli", **settings))


def sections_of(text: str) -> dict[str, str]:
    """Title → text of the section."""
    parts = re.split(r"^(\S.*):$", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_options_are_in_their_sections() -> None:
    found = sections_of(help_of(command))
    assert list(found) == list(SECTIONS)
    for title, options in SECTIONS.items():
        for option in options:
            assert re.search(rf"{option}\b(?!-)", found[title]), (title, option)


def test_every_section_begins_with_an_existing_option() -> None:
    assert len({parameter.name for parameter in command.params} & set(command.sections)) == len(SECTIONS)


def test_every_option_has_a_short_text() -> None:
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help, option.name
            text = option.help.split("  [")[0]
            assert len(text) <= 100, (option.name, text)
            assert text[0].isupper() or text[0].isdigit(), (option.name, text)


@pytest.mark.parametrize("width", [60, 100])
def test_texts_of_all_sections_are_aligned(width: int) -> None:
    rows = re.findall(r"^(  (?:-\w, )?--\S+(?: \S+)*  +)\S", help_of(command, width), flags=re.MULTILINE)
    assert len(rows) > 30
    assert len({len(row) for row in rows}) == 1


def test_options_before_the_first_section_are_titled_options() -> None:
    options = [click.Option(["--one"]), click.Option(["--secret"], hidden=True), click.Option(["--two"])]
    found = sections_of(help_of(SectionedCommand("name", params=options, sections={"two": "More"})))
    assert {title: re.findall("--[a-z]+", text) for title, text in found.items()} == {
        "Options": ["--one"],
        "More": ["--two", "--help"],
    }
