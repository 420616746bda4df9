"""The plugin files that a registry file names, loaded in its order, with every fault at its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gad_core.discovery.plugin_files import PluginFile, beside, load_file, plugins_of
from gad_core.discovery.plugins import Broken, Plugins
from gad_core.errors import PluginError
from gad_core.registry.source import Fault


@dataclass(frozen=True)
class Loaded:
    """The plugin files of a registry file, all that they offer, and the faults of those that cannot be used."""

    files: tuple[PluginFile, ...]
    plugins: Plugins
    faults: tuple[Fault, ...]


def load_files(written: Sequence[str], root: Path) -> Loaded:
    """Loads the plugin files of the entries of `plugins:`."""
    files: dict[str, PluginFile] = {}
    faults: list[Fault] = []
    for number, one in enumerate(written):
        try:
            file = load_file(beside(one, root))
        except PluginError as error:
            faults.append(Fault(("plugins", number), f"{one}: {error.message}", error.hint or ""))
            continue
        if file.name in files:
            message = f"{one}: {files[file.name].path} has the same name, by which `use:` tells them apart"
            faults.append(Fault(("plugins", number), message, "rename one, or name a file once"))
        files.setdefault(file.name, file)
    lost = (written[int(fault.path[1])] for fault in faults)
    broken = Plugins((), broken=tuple(Broken(name, name, "", "cannot be loaded") for name in lost))
    found = tuple(files.values())
    return Loaded(found, plugins_of(found) + broken, tuple(faults))
