"""`gad plugins`: what is installed."""

from __future__ import annotations

import click


@click.command()
@click.argument("name", required=False)
def plugins(name: str | None) -> None:
    """List installed components and broken plugins; with a NAME, the options of that component.

    \b
    Example:
      gad plugins
      gad plugins gad
    """
    from rich.console import Console
    from rich.table import Table

    from gad_core.errors import PluginError
    from gad_core.plugins import installed
    from gad_core.registry.reference import options

    found, console = installed(), Console()
    if name is None:
        table = Table("kind", "name", "distribution", "version", "state")
        for offer in found.offers:
            table.add_row(offer.kind, offer.name, offer.distribution, offer.version, "ready")
        for broken in found.broken:
            table.add_row("?", broken.entry_point, broken.distribution, broken.version, f"broken: {broken.reason}")
        console.print(table)
        return
    offers = [offer for offer in found.offers if name in (offer.name, f"{offer.distribution}:{offer.name}")]
    if not offers:
        raise PluginError(f"nobody offers {name!r}", hint="`gad plugins` lists what is installed")
    for offer in offers:
        console.rule(f"{offer.kind} {offer.name} ({offer.distribution} {offer.version})")
        console.print((offer.component.__doc__ or "").strip(), markup=False, highlight=False)
        table = Table("option", "type", "default", "meaning")
        for option in options(offer.component):
            table.add_row(*(cell.replace("[", r"\[") for cell in option))
        console.print(table)
