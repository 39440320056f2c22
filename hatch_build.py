"""Makes the man pages of the source distribution from the command line itself."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ManPages(BuildHookInterface):
    """Runs click-man. It is configured for source distributions only, so installing posecli needs no click-man."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write man/posecli.1 and a page for each command, and include them."""
        sys.path.insert(0, str(Path(self.root) / "src"))
        import click
        from click_man.core import write_man_pages

        from posecli._version import __version__
        from posecli.commands import cli

        folder = Path(self.directory) / "man"
        folder.mkdir(parents=True, exist_ok=True)
        context = click.Context(cli)  # commands are imported on use; click-man sees only those that are there
        cli.commands |= {name: cli.get_command(context, name) for name in cli.list_commands(context)}
        write_man_pages("posecli", cli, version=__version__, target_dir=str(folder))
        build_data["force_include"][str(folder)] = "man"
