"""An experiment: five components and a recipe, resolved and ready to run. No torch here."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import Any

from gad_core.contracts import AuxiliaryTask, Backbone, Component, Dataset, Head, LabelTokenizer
from gad_core.plugins import installed
from gad_core.training_options import Training


def described(component: Component) -> dict[str, Any]:
    """A component as a registry entry: `{"use": name, option: value, …}`."""
    return {"use": installed().use(type(component)), **component.options()}


@dataclass(frozen=True)
class Experiment:
    """What `gad run` runs, once a seed.

    `auxiliary` holds the auxiliary tasks in the order in which they are written. `expected` maps metrics to the
    published numbers to print beside ours.
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

    def resolved(self) -> dict[str, Any]:
        """Every option, defaults included, as plain JSON values."""
        return {
            "dataset": described(self.dataset),
            "backbone": described(self.backbone),
            "head": described(self.head),
            "labels": described(self.labels) if self.labels else None,
            "auxiliary": [described(task) for task in self.auxiliary],
            "training": self.training.model_dump(mode="json"),
        }

    def identity(self) -> str:
        """A short hash of all that decides the outcome but the seed: equal experiments run once."""
        return hashlib.sha256(json.dumps(self.resolved(), sort_keys=True).encode()).hexdigest()[:16]

    def named(self, name: str) -> Experiment:
        """The same experiment under another name."""
        return replace(self, name=name)
