"""What commands print beside tables."""

from __future__ import annotations

import sys

import click

from gad_core.errors import visible


def say(text: str, *, err: bool = False) -> None:
    """Prints a line for a person: what others wrote steers no terminal."""
    click.echo(visible(text), err=err)


def emit(text: str) -> None:
    """Prints a line of data: byte for byte into a file or a pipe, and as `say` on a terminal."""
    stream = sys.stdout
    click.echo(visible(text) if stream is not None and stream.isatty() else text)
