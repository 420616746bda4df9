"""Plugins of one file, which a registry file names: `plugins: [./my_head.py]`. Loading one runs its code."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType

from gad_core.contracts.components import Component
from gad_core.discovery.plugins import Offer, Plugins, Warned
from gad_core.discovery.visit import visit
from gad_core.errors import PluginError
from gad_core.files.reading import reading

LARGEST = 2**20
"""Bytes of a plugin file: what is larger was meant for something else."""
MEND = "mend the file"


@dataclass(frozen=True)
class PluginFile:
    """A plugin file as it was when it was loaded, with a hash of it, and what it offers under its own name."""

    path: Path
    source: str
    offers: tuple[Offer, ...]
    warnings: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What stands for its distribution."""
        return self.path.name

    def supplies(self, component: type[Component]) -> bool:
        """Whether a component was made of this file."""
        return any(offer.component is component for offer in self.offers)


def plugins_of(files: Sequence[PluginFile]) -> Plugins:
    """Everything that some plugin files offer, and what is said of them."""
    warned = (Warned(file.name, file.name, "", warning) for file in files for warning in file.warnings)
    return Plugins(tuple(offer for file in files for offer in file.offers), warned=tuple(warned))


def beside(written: str, root: Path) -> Path:
    """The path of a plugin file as it is written, a relative one taken from a folder."""
    return Path(os.path.normpath(root / os.path.expanduser(written)))


def load_file(path: Path) -> PluginFile:
    """Runs a plugin file, once for each content in a process, and asks it for its components.

    Raises `PluginError` where it is no file of Python, cannot be imported, or has a fault that a broken plugin would be
    listed with: whoever names a file wants all of it.
    """
    if path.suffix != ".py":
        raise PluginError("is no file of Python", where=str(path), hint="name a file that ends in .py")
    with reading(path, PluginError, "look at the spelling of the path"):
        text = path.read_bytes() if path.stat().st_size <= LARGEST else None
    if text is None:
        raise PluginError(f"has more than {LARGEST:,} bytes", where=str(path), hint="name a file of Python")
    return _loaded(path, text)


@lru_cache(maxsize=256)
def _loaded(path: Path, text: bytes) -> PluginFile:
    found = visit(f"plugin file {path}", _runner(path, text))
    if found.commands:
        found.note("offers commands, which do not depend on a registry file: make a package for them (`gad new`)")
    if found.broken:
        raise PluginError("; ".join(found.broken), where=str(path), hint=MEND)
    if not found.components:
        raise PluginError("offers no component", where=str(path), hint="add a hook, such as gad_heads: docs/plugins.md")
    unique = {(kind, id(component)): (kind, component) for kind, component in found.components}
    offers = (Offer(kind, component.name, path.name, "", component) for kind, component in unique.values())
    return PluginFile(path, hashlib.sha256(text).hexdigest()[:16], tuple(offers), tuple(found.warnings))


def _runner(path: Path, text: bytes) -> Callable[[], ModuleType]:
    """What runs the file as a module of a name that no other file and no earlier content of it has."""
    mark = hashlib.sha256(str(path).encode("utf-8", "surrogateescape") + b"\0" + text).hexdigest()[:12]
    stem = "".join(letter if letter.isalnum() else "_" for letter in path.stem)

    def run() -> ModuleType:
        module = ModuleType(f"gad_file_{stem}_{mark}")
        module.__file__ = str(path)
        sys.modules[module.__name__] = module  # where pydantic looks annotations up
        try:
            exec(compile(text, str(path), "exec", dont_inherit=True), vars(module))
        except BaseException:
            del sys.modules[module.__name__]
            raise
        return module

    return run
