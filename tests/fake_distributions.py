"""Distributions as pip leaves them in a folder on the path: metadata, an entry point, a module."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gad_core.discovery.plugins import WITHOUT, installed

HEAD = '''
from typing import ClassVar
from gad_core.contracts.components import Head
from gad_core.contracts.hooks import hookimpl

class Guest(Head):
    """A head from elsewhere."""
    name: ClassVar[str] = "{name}"
    def layout(self, stage):
        return ()
    def build(self, hidden_size, targets):
        raise AssertionError

@hookimpl
def gad_heads():
    return [Guest]
'''
COMMANDS = """
from gad_core.contracts.hooks import hookimpl

@hookimpl
def gad_commands():
    return {commands}
"""


class Site:
    """A folder on the path where distributions are put."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def module(self, name: str, text: str) -> None:
        """A module that can be imported."""
        (self.folder / f"{name}.py").write_text(text, encoding="utf-8")

    def install(self, distribution: str, text: str, point: str | None = None) -> None:
        """A distribution of version 1.0 with one plugin module of this text."""
        module = f"guest_{distribution.replace('-', '_').lower()}"
        self.module(module, text)
        folder = self.folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(f"[gad]\n{point or distribution} = {module}\n")
        importlib.invalidate_caches()
        installed.cache_clear()

    def commands(self, distribution: str, **commands: str) -> None:
        """A distribution that offers these subcommands."""
        self.install(distribution, COMMANDS.format(commands=repr(commands)))


@contextmanager
def site_at(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A folder on the path, and afterwards everything as before."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delenv(WITHOUT, raising=False)
    installed.cache_clear()
    yield Site(folder)
    installed.cache_clear()
    for module in set(sys.modules) - before:
        if module.startswith("guest_"):
            del sys.modules[module]
