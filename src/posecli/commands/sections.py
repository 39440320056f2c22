"""Help texts with options in sections."""

from __future__ import annotations

from typing import Any

import click

#: Width of the column of option names, in characters, as in click's own help. The text of a longer name begins on the
#: next line.
_WIDEST_NAMES = 30


class SectionedCommand(click.Command):
    """A command whose help shows its options in sections.

    sections: the title of each section, by the name of its first option.
    """

    def __init__(self, *arguments: Any, sections: dict[str, str], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.sections = sections

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows: dict[str, list[tuple[str, str]]] = {}
        title = "Options"
        for parameter in self.get_params(ctx):
            title = self.sections.get(parameter.name or "", title)
            if isinstance(parameter, click.Option) and (row := parameter.get_help_record(ctx)):
                rows.setdefault(title, []).append(row)
        longest = max(len(names) for section in rows.values() for names, _ in section)
        width = min(longest, _WIDEST_NAMES)  # aligns the texts of all sections
        for title, section in rows.items():
            with formatter.section(title):
                formatter.write_dl([(names.ljust(width), text) for names, text in section], col_max=_WIDEST_NAMES)
