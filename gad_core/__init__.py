"""gad: closed-set action understanding with language models.

What a notebook needs is here: `load` opens a finished run, `load_registry` reads the experiments of a registry file,
`FeatureStore` and `ArrayFeatures` hold features. Each is imported when it is used, and importing gad loads no torch.
Experiments are composed by a registry file and run by `gad run`. Plugins import from `gad_core.plugin` and
`gad_core.nn`.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from gad_core.data.features import ArrayFeatures as ArrayFeatures
    from gad_core.data.features import FeatureStore as FeatureStore
    from gad_core.errors import GadError as GadError
    from gad_core.registry import Registry
    from gad_core.runs.loading import Loaded

__version__ = "0.1.0"

HOMES = {
    "ArrayFeatures": "gad_core.data.features.memory",
    "FeatureStore": "gad_core.data.features.store",
    "GadError": "gad_core.errors",
}
"""The module of each name that is imported when it is used."""


def load(path: str | Path, *, device: str | torch.device | None = None) -> Loaded:
    """The model of a finished run folder, ready to predict; see `gad_core.runs.loading.load`."""
    from gad_core.runs import loading

    return loading.load(path, device=device)


def load_registry(path: str | Path) -> Registry:
    """The experiments and sweeps of a registry file, resolved and checked; see `gad_core.registry.load`."""
    from gad_core import registry

    return registry.load(path)


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *HOMES})
