"""The command line: one verb, one file, one idea. Commands are imported when they are called."""

from __future__ import annotations

import sys
from importlib import import_module

import click

from gad_core import __version__
from gad_core.cli.ending import CommandGroup

COMMANDS = (
    *("run", "check", "show", "plugins", "new", "schema"),
    *("features", "evaluate", "predict", "stream", "score", "bench"),
)
"""Each is a command of the same name in a module of the same name."""


class Verbs(CommandGroup):
    """Imports a command only when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        return getattr(import_module(f"gad_core.cli.{cmd_name}"), cmd_name)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="gad")
def main() -> None:
    """Closed-set action understanding with language models: compose, train, compare."""


if __name__ == "__main__":
    sys.exit(main())
