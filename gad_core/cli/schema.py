"""`gad schema`: what editors know of a registry file."""

from __future__ import annotations

import json

import click

from gad_core.cli.say import emit


@click.command()
def schema() -> None:
    """Print the JSON Schema of registry files, with the components of all installed plugins.

    An editor that reads it completes and checks registry files: put
    `# yaml-language-server: $schema=registry.schema.json` in the first line of a file.

    \b
    Example:
      gad schema > registry.schema.json
    """
    from gad_core.plugins import installed
    from gad_core.registry.json_schema import json_schema

    emit(json.dumps(json_schema(installed()), indent=2, ensure_ascii=False))
