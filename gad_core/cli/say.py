"""What commands print beside tables."""

from __future__ import annotations

import sys

import click

from gad_core.errors import visible


def say(text: str, *, err: bool = False) -> None:
    """Prints a line, byte for byte into a file or a pipe; a person at a terminal sees it as `visible`."""
    stream = sys.stderr if err else sys.stdout
    click.echo(visible(text) if stream is not None and stream.isatty() else text, err=err)
