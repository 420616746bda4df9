"""The kit for tests of components: subclass the contract of a kind, set `component`, and inherit its properties.

    from gad_core.testing import HeadContract
    from my_plugin.plugin import MyHead


    class TestMyHead(HeadContract):
        component = MyHead()

Besides the contracts there are strategies, a tiny backbone, a dataset in memory, features made on the fly, and
`compose`, which makes the model of an `Experiment`. Names are imported when they are used: the kit needs pytest and
Hypothesis (`pip install "gad-framework[testing]"`).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gad_core.model.composition import compose as compose
    from gad_core.registry.experiment import Experiment as Experiment
    from gad_core.testing.auxiliary_task import AuxiliaryTaskContract as AuxiliaryTaskContract
    from gad_core.testing.backbone import BackboneContract as BackboneContract
    from gad_core.testing.contract import ComponentContract as ComponentContract
    from gad_core.testing.corpus import Memory as Memory
    from gad_core.testing.dataset import DatasetContract as DatasetContract
    from gad_core.testing.features import GeneratedFeatures as GeneratedFeatures
    from gad_core.testing.features import write_store as write_store
    from gad_core.testing.head import HeadContract as HeadContract
    from gad_core.testing.label_tokenizer import LabelTokenizerContract as LabelTokenizerContract
    from gad_core.testing.strategies import codebooks as codebooks
    from gad_core.testing.strategies import experiments as experiments
    from gad_core.testing.strategies import label_spaces as label_spaces
    from gad_core.testing.strategies import layouts as layouts
    from gad_core.testing.strategies import registries as registries
    from gad_core.testing.strategies import samples as samples
    from gad_core.testing.tiny import Tiny as Tiny
    from gad_core.testing.tiny import WordTokenizer as WordTokenizer

HOMES = {
    "AuxiliaryTaskContract": ".auxiliary_task",
    "BackboneContract": ".backbone",
    "ComponentContract": ".contract",
    "DatasetContract": ".dataset",
    "Experiment": "gad_core.registry.experiment",
    "GeneratedFeatures": ".features",
    "HeadContract": ".head",
    "LabelTokenizerContract": ".label_tokenizer",
    "Memory": ".corpus",
    "Tiny": ".tiny",
    "WordTokenizer": ".tiny",
    "compose": "gad_core.model.composition",
    "write_store": ".features",
    **dict.fromkeys(("codebooks", "experiments", "label_spaces", "layouts", "registries", "samples"), ".strategies"),
}
"""The module of each public name."""


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(HOMES[name], __name__), name)
