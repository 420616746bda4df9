"""The command reference, made from the commands' help: `python -m gad_core.cli.reference` writes docs/commands.md."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from gad_core.cli import main
from gad_core.files.writing import write_text

OPENING = """# Commands

Made from the help texts by `make docs`; a test compares. Every command ends with 0 when all went well, with 2 and a
message that says where, what and what to do when it was given something wrong or the system refused something, with 130
when it was interrupted, with 143 when it was terminated, and with 141 when nobody reads its output any more.
Results go to stdout, progress and warnings to stderr. `gad COMMAND --help` prints the same as this page.

`gad --without NAME COMMAND …` leaves a plugin out, `GAD_WITHOUT=a,b` several. Plugins may add commands, which
`gad --help` lists after these: see [Write a plugin](plugins.md).
"""


def commands(group: click.Group, context: click.Context) -> Iterator[tuple[str, str]]:
    """Every command with its help, those of a group in its place: `("gad run", "Usage: …")`."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, f"{name} is listed"
        inner = click.Context(command, info_name=name, parent=context, max_content_width=100, terminal_width=100)
        if isinstance(command, click.Group):
            yield from commands(command, inner)
        else:
            yield inner.command_path, command.get_help(inner)


def reference() -> str:
    """The whole page."""
    parts = [OPENING]
    for path, text in commands(main, click.Context(main, info_name="gad", help_option_names=["-h", "--help"])):
        parts.append(f"## `{path}`\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


def page() -> Path:
    """Where the page stands in a checkout."""
    return Path(__file__).resolve().parents[2] / "docs" / "commands.md"


if __name__ == "__main__":
    write_text(page(), reference())
