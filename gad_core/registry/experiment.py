"""An experiment: five components and a recipe, resolved and ready to run. No torch here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gad_core.contracts.components import AuxiliaryTask, Backbone, Component, Dataset, Head, LabelTokenizer
from gad_core.discovery.plugin_files import PluginFile, plugins_of
from gad_core.discovery.plugins import Plugins, installed
from gad_core.files.writing import seal_of
from gad_core.registry.training_options import Training


@dataclass(frozen=True)
class Experiment:
    """What `gad run` runs, once a seed.

    `auxiliary` holds the auxiliary tasks in the order in which they are written. `expected` maps metrics to the
    published numbers to print beside ours. `root` is the folder of the registry file, `files` are the
    plugin files that it names.
    """

    name: str
    dataset: Dataset
    backbone: Backbone
    head: Head
    labels: LabelTokenizer | None = None
    auxiliary: tuple[AuxiliaryTask, ...] = ()
    training: Training = field(default_factory=lambda: Training())
    seeds: tuple[int, ...] = (0,)
    description: str = ""
    expected: dict[str, float] = field(default_factory=dict)
    root: Path | None = field(default=None, compare=False)
    files: tuple[PluginFile, ...] = field(default=(), compare=False)

    def slots(self) -> Iterator[tuple[str, Component]]:
        """Every component with the slot it fills."""
        yield from (("dataset", self.dataset), ("backbone", self.backbone), ("head", self.head))
        if self.labels is not None:
            yield "labels", self.labels
        yield from (("auxiliary", task) for task in self.auxiliary)

    def used_files(self) -> tuple[PluginFile, ...]:
        """The plugin files that supply any of its components."""
        parts = [type(part) for _, part in self.slots()]
        return tuple(file for file in self.files if any(map(file.supplies, parts)))

    def offered(self) -> Plugins:
        """Where its components come from: what is installed, and the plugin files that it uses."""
        return installed() + plugins_of(self.used_files())

    def resolved(self, path: Callable[[Path], str] = str) -> dict[str, Any]:
        """Every option, defaults included, as plain JSON values; `path` says how input paths are written, and those of
        the plugin files, which are named under `plugins` where there are any."""
        offered = self.offered()

        def described(component: Component) -> dict[str, Any]:
            return {"use": offered.use(type(component)), **component.options(path)}

        files = [path(file.path) for file in self.used_files()]
        return {
            **({"plugins": files} if files else {}),
            "dataset": described(self.dataset),
            "backbone": described(self.backbone),
            "head": described(self.head),
            "labels": described(self.labels) if self.labels else None,
            "auxiliary": [described(task) for task in self.auxiliary],
            "training": self.training.model_dump(mode="json"),
        }

    def options_key(self) -> str:
        """A short hash of all options: equal experiments run once. What they read and the code of plugins is not in it
        (`gad_core.records.identity`)."""
        return seal_of(self.resolved())[:16]

    def seen(self, path: Path) -> Path:
        """A path as it is seen from the registry file, where it lies beside or below it."""
        return path.relative_to(self.root) if self.root is not None and path.is_relative_to(self.root) else path

    def path_seen_from(self, folder: Path) -> Callable[[Path], str]:
        """How input paths are written in a file in `folder`: relative where both lie below the registry file, so that
        the project can be moved, absolute otherwise."""
        below = self.root is not None and Path(folder).resolve().is_relative_to(self.root)

        def written(path: Path) -> str:
            return os.path.relpath(path, Path(folder).resolve()) if below and self.seen(path) != path else str(path)

        return written

    def named(self, name: str) -> Experiment:
        """The same experiment under another name."""
        return replace(self, name=name)
