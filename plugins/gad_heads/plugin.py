"""The three heads the paper compares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from gad_core.plugin import Head, LabelSpace, Layout, Scoring, Slot, Stage, hookimpl

if TYPE_CHECKING:
    from gad_core.nn import HeadModule

WRITTEN = (Slot.CUE, Slot.ANSWER, Slot.AUXILIARY, Slot.EOS)


class Generative(Head):
    """Writes the label with the language model and decodes it at prediction."""

    name: ClassVar[str] = "generative"
    decoding: Literal["free", "trie", "score-all"] = Field(
        "trie",
        description="free: greedy text, then the nearest label by edit distance (the paper's); trie: greedy among the "
        "labels; score-all: exact likelihood of every label, the only one that ranks all of them",
    )

    def layout(self, stage: Stage) -> Layout:
        return (WRITTEN,) if stage is Stage.TRAIN else ((Slot.CUE,),)

    def build(self, hidden_size: int, targets: Mapping[str, LabelSpace]) -> HeadModule:
        from gad_heads.modules import GenerativeModule

        return GenerativeModule(self.decoding)

    @property
    def scoring(self) -> Scoring:
        by_decoding: dict[str, Scoring] = {"free": "distances", "trie": "log-probabilities", "score-all": "logits"}
        return by_decoding[self.decoding]


class Discriminative(Head):
    """One linear layer on one hidden state; the language model's output projection is never used."""

    name: ClassVar[str] = "discriminative"
    readout: Literal["cls", "last-frame"] = Field(
        "cls", description="cls: a learnt [CLS] vector behind the frames; last-frame: the last frame token itself"
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="on the state that is read")

    def layout(self, stage: Stage) -> Layout:
        return ((Slot.CLS,),) if self.readout == "cls" else ()

    def build(self, hidden_size: int, targets: Mapping[str, LabelSpace]) -> HeadModule:
        from gad_heads.modules import ClassifierModule

        return ClassifierModule(hidden_size, targets, dropout=self.dropout)


class Gad(Head):
    """Discriminative, with text generation as an auxiliary task in training: L = L_cls + λ·L_gen."""

    name: ClassVar[str] = "gad"
    generation_weight: float = Field(1.0, gt=0, description="λ, the weight of the generation loss")
    order: Literal["discriminative-first", "generation-first", "parallel"] = Field(
        "discriminative-first",
        description="discriminative-first: the text follows [CLS] and sees it; generation-first: [CLS] follows the "
        "text (prediction writes it first); parallel: neither sees the other",
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="on the state that is read")

    def layout(self, stage: Stage) -> Layout:
        if self.order == "generation-first":
            return ((*WRITTEN, Slot.CLS),) if stage is Stage.TRAIN else ((Slot.CUE,),)
        if stage is Stage.PREDICT:
            return ((Slot.CLS,),)
        if self.order == "parallel":
            return ((Slot.CLS,), WRITTEN)
        return ((Slot.CLS, *WRITTEN),)

    def build(self, hidden_size: int, targets: Mapping[str, LabelSpace]) -> HeadModule:
        from gad_heads.modules import GadModule

        return GadModule(
            hidden_size,
            targets,
            generation_weight=self.generation_weight,
            dropout=self.dropout,
            writes_first=self.order == "generation-first",
        )


@hookimpl
def gad_heads() -> list[type[Head]]:
    return [Generative, Discriminative, Gad]
