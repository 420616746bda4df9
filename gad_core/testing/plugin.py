"""The kit's own components, offered like anybody's, so that a failing composition can be run from a registry file."""

from __future__ import annotations

from gad_core.contracts.components import Backbone, Dataset
from gad_core.contracts.hooks import hookimpl
from gad_core.testing.corpus import Memory
from gad_core.testing.tiny import Tiny


@hookimpl
def gad_backbones() -> list[type[Backbone]]:
    return [Tiny]


@hookimpl
def gad_datasets() -> list[type[Dataset]]:
    return [Memory]
