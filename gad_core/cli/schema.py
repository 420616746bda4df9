"""`gad schema`: what editors know of a registry file."""

from __future__ import annotations

import json
from pathlib import Path

import click

from gad_core.cli.say import emit


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
def schema(file: Path | None) -> None:
    """Print the JSON Schema of registry files, with the components of all installed plugins.

    With a registry FILE, also with those of the plugin files that it names, which are run.

    An editor that reads it completes and checks registry files: put
    `# yaml-language-server: $schema=registry.schema.json` in the first line of a file.

    \b
    Example:
      gad schema > registry.schema.json
    """
    from gad_core.discovery.plugins import installed
    from gad_core.registry import offered
    from gad_core.registry.json_schema import json_schema

    found = installed() if file is None else offered(file)
    emit(json.dumps(json_schema(found), indent=2, ensure_ascii=False))
