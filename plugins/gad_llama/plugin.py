"""Llama-family language models: any checkpoint, and a tiny random one for tests and demos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, PositiveInt, ValidationInfo, model_validator

from gad_core.plugin import Backbone, Lora, TextTokenizer, WrittenPath, hookimpl

if TYPE_CHECKING:
    from gad_core.nn import Transformer

Attention = Literal["sdpa", "eager"]
BYTES_AND_SPECIALS = 258
"""What a byte-level vocabulary holds before the first merge."""


def _folder_or_id(checkpoint: str, info: ValidationInfo) -> str:
    """A relative folder is taken from the registry file's when it is there; anything else may be a hub id."""
    root = (info.context or {}).get("root")
    folder = Path(checkpoint).expanduser()
    beside = folder if root is None or folder.is_absolute() else Path(root) / folder
    return str(beside) if beside.is_dir() or checkpoint.startswith((".", "~", "/")) else checkpoint


class Llama(Backbone):
    """A pretrained causal language model of the Llama or Qwen2 family, adapted with LoRA or trained in full."""

    name: ClassVar[str] = "llama"
    checkpoint: Annotated[str, Field(min_length=1), AfterValidator(_folder_or_id), WrittenPath] = Field(
        description="a folder with config.json, *.safetensors and tokenizer.json, or a hub id such as "
        "meta-llama/Llama-3.2-1B-Instruct"
    )
    dtype: Literal["bf16", "fp32"] = Field("bf16", description="of the base weights; adapters are always fp32")
    attention: Attention = Field("sdpa", description="torch's fused attention, or written out")
    lora: Lora | None = Field(default_factory=Lora, description="low-rank adapters; null trains all weights")
    layers: PositiveInt | None = Field(None, description="keep only the first so many blocks")
    gradient_checkpointing: bool = Field(False, description="less memory in training for about a third more time")

    def files(self) -> Mapping[Path, str]:
        folder = Path(self.checkpoint)
        return {folder: "config.json, *.safetensors and tokenizer.json"} if folder.is_dir() else {}

    def text(self, texts: Sequence[str]) -> TextTokenizer:
        from gad_core.nn import load_text

        return load_text(self.checkpoint)

    def build(self, text: TextTokenizer, seed: int) -> Transformer:
        from gad_core.nn import load_causal

        return load_causal(
            self.checkpoint,
            dtype=self.dtype,
            lora=self.lora,
            layers=self.layers,
            attention=self.attention,
            gradient_checkpointing=self.gradient_checkpointing,
        )


class LlamaTiny(Backbone):
    """A small Llama with random weights and a byte-level vocabulary made from the run's own texts. It knows nothing:
    for tests, demos and architecture checks."""

    name: ClassVar[str] = "llama-tiny"
    hidden: PositiveInt = Field(64, description="width of the hidden states")
    layers: PositiveInt = Field(2, description="blocks")
    heads: PositiveInt = Field(4, description="attention heads")
    kv_heads: PositiveInt = Field(2, description="heads of keys and values, shared by the attention heads")
    mlp: PositiveInt = Field(128, description="width inside the MLP")
    vocabulary: int = Field(512, ge=BYTES_AND_SPECIALS, description="most tokens; fewer when the texts need no more")
    dtype: Literal["bf16", "fp32"] = Field("fp32", description="of the weights; adapters are always fp32")
    attention: Attention = Field("sdpa", description="torch's fused attention, or written out")
    lora: Lora | None = Field(None, description="low-rank adapters; null trains all weights")
    gradient_checkpointing: bool = Field(False, description="less memory in training for about a third more time")

    @model_validator(mode="after")
    def _divisible(self) -> LlamaTiny:
        if self.hidden % (2 * self.heads):
            raise ValueError(f"hidden {self.hidden} is not an even multiple of heads {self.heads}")
        if self.heads % self.kv_heads:
            raise ValueError(f"heads {self.heads} is not a multiple of kv_heads {self.kv_heads}")
        return self

    def text(self, texts: Sequence[str]) -> TextTokenizer:
        from gad_llama.tiny import train_text

        return train_text(texts, self.vocabulary)

    def build(self, text: TextTokenizer, seed: int) -> Transformer:
        from gad_llama.tiny import random_llama

        return random_llama(self, text, seed)


@hookimpl
def gad_backbones() -> list[type[Backbone]]:
    return [Llama, LlamaTiny]
