"""`gad new`: a plugin to start from."""

from __future__ import annotations

from pathlib import Path

import click

from gad_core.cli.say import say
from gad_core.contracts.components import KINDS


@click.command()
@click.argument("kind", type=click.Choice(list(KINDS)))
@click.argument("name")
@click.option("--into", type=click.Path(path_type=Path, file_okay=False), default=Path(), help="Folder to make it in.")
def new(kind: str, name: str, into: Path) -> None:
    """Make a pip package with a component that works, for you to change.

    KIND is what it is, NAME what `use:` will say. The folder `gad-NAME` holds the plugin module, a test of all
    that components of the kind must keep, and a registry file that uses it. Nothing is overwritten.

    \b
    Example:
      gad new head cosine
      pip install -e "./gad-cosine[test]" && pytest gad-cosine
    """
    from gad_core.discovery.plugins import installed
    from gad_core.scaffold.package import make_package

    folder = make_package(kind, name, into, installed())
    say(f'made {folder}\n  pip install -e "{folder}[test]"\n  pytest {folder}')
