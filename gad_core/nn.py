"""The torch door: everything a plugin imports to compute. Importing it loads torch and transformers.

Import it inside `build()`, or at the top of a module that `build()` imports: listing plugins and checking registry
files must not load torch. What needs no torch is behind the light door, `gad_core.plugin`.

What is promised is said there, and holds here: the names in `__all__`, their signatures and their public fields stay
as long as `PLUGIN_API` is the same number. `tests/plugin_api_1.txt` lists them.
"""

from __future__ import annotations

from gad_core.contracts.batch import TRUNK, Batch
from gad_core.contracts.modules import HeadModule, Ring, Transformer
from gad_core.huggingface.causal_lm import DTYPES, CausalTransformer
from gad_core.huggingface.pretrained import load_causal, load_text, quiet
from gad_core.huggingface.subwords import SubwordText
from gad_core.model.decoding import cls_behind_text, label_scores
from gad_core.model.language import Decoding, LanguageModel

__all__ = [  # noqa: RUF022 - in the order in which they meet
    # Contracts that are torch modules: the trainable part of a head, and a language model with its cache for streams.
    "HeadModule",
    "Ring",
    "Transformer",
    # What a head's module is given: the batch, and the service of the language model.
    "TRUNK",
    "Batch",
    "LanguageModel",
    # Decoding: scores of every label, and the state at a [CLS] behind the text that was written.
    "Decoding",
    "cls_behind_text",
    "label_scores",
    # Language models of transformers, with LoRA: wrap a model you made, or load a checkpoint.
    "CausalTransformer",
    "DTYPES",
    "SubwordText",
    "load_causal",
    "load_text",
    "quiet",
]
