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
    """Imports a command only when it is asked for, and looks at plugins only for a command that is not ours."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS:
            return getattr(import_module(f"gad_core.cli.{cmd_name}"), cmd_name)
        if ctx.resilient_parsing:  # a shell completes a word
            return None
        from gad_core.cli.guests import load_command

        return load_command(cmd_name, COMMANDS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from gad_core.cli.guests import listed

        super().format_commands(ctx, formatter)
        rows = listed(COMMANDS)
        if rows:
            with formatter.section("Commands of plugins"):
                formatter.write_dl(rows)


def _leave_out(ctx: click.Context, param: click.Parameter, names: tuple[str, ...]) -> None:
    if names:
        from gad_core.discovery.plugins import leaving_out

        ctx.with_resource(leaving_out(names))


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--without",
    metavar="NAME",
    multiple=True,
    is_eager=True,  # before --help, which lists the commands of plugins
    expose_value=False,
    callback=_leave_out,
    help="Leave this plugin out: the name of a distribution or of its entry point. So does GAD_WITHOUT=a,b.",
)
@click.version_option(__version__, prog_name="gad")
def main() -> None:
    """Closed-set action understanding with language models: compose, train, compare."""


if __name__ == "__main__":
    sys.exit(main())
