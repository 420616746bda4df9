"""The options of a low-rank adaptation. No torch here."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

Projection = Literal["q", "k", "v", "o", "gate", "up", "down"]
"""The linear layers of a decoder block: attention's queries, keys, values and output, and the MLP's three."""


class Lora(BaseModel):
    """Low-rank adapters on the projections of every block (PAPER: backbone and adaptation). A head that writes puts
    one of the same rank on the output projection too."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: PositiveInt = Field(default=128, description="width of the adapters")
    alpha: PositiveInt = Field(default=256, description="the adapters' output is multiplied by alpha / rank")
    dropout: float = Field(default=0.05, ge=0, lt=1, description="on the adapters' input")
    targets: tuple[Projection, ...] = Field(
        default=("q", "k", "v", "o", "gate", "up", "down"), min_length=1, description="the projections that are adapted"
    )
