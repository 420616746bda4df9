"""The head `label-embedding`. Nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from gad_core.plugin import Head, LabelSpace, Layout, Slot, Stage, hookimpl

if TYPE_CHECKING:
    from gad_core.nn import HeadModule

PLUGIN_API = 1


class LabelEmbedding(Head):
    """Compares the state of [CLS] with the language model's own encoding of every label, so that a label without a
    training clip gets a score too: zero- and few-shot."""

    name: ClassVar[str] = "label-embedding"
    unseen: tuple[str, ...] = Field((), description="labels no training clip shows: scored, but no part of the loss")
    tuned: bool = Field(True, description="gradients flow through the encodings of the labels too")

    def layout(self, stage: Stage) -> Layout:
        return ((Slot.CLS,),)

    def build(self, hidden_size: int, targets: Mapping[str, LabelSpace]) -> HeadModule:
        from gad_label_embedding.modules import LabelEmbeddingModule

        return LabelEmbeddingModule(hidden_size, targets, unseen=frozenset(self.unseen), tuned=self.tuned)


@hookimpl
def gad_heads() -> list[type[Head]]:
    return [LabelEmbedding]
