"""How a run trains: the options of the registry's `training` section. No torch here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

Part = Literal["backbone", "connector", "cls", "rows", "head"]
"""What can train: the backbone's adapters (or weights), the connector, the [CLS] vector, new label rows, the head."""

Beta = Annotated[float, Field(ge=0, lt=1)]
"""How much of a running mean stays."""


class Phase(BaseModel):
    """One stage of a multi-stage training: what trains, on which losses, for how long."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    epochs: PositiveInt = Field(description="passes over the training samples")
    losses: tuple[str, ...] | None = Field(None, description="names of the losses to minimise; all unless given")
    train: tuple[Part, ...] | None = Field(
        None, description="the parts that train, the others are frozen; all unless given"
    )


class Training(BaseModel):
    """A training recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    epochs: PositiveInt = Field(5, description="passes over the training samples")
    phases: tuple[Phase, ...] = Field((), description="stages run one after the other instead of `epochs`")
    max_steps: PositiveInt | None = Field(None, description="stop after so many updates")
    batch: PositiveInt = Field(16, description="samples an update, over all processes")
    micro_batch: PositiveInt | None = Field(
        None, description="samples a forward pass in one process; smaller than `batch` accumulates gradients"
    )
    learning_rate: PositiveFloat = Field(1e-4, description="AdamW's, at the peak of the schedule")
    head_learning_rate: PositiveFloat | None = Field(
        None, description="learning rate of all but the backbone; `learning_rate` unless given"
    )
    weight_decay: float = Field(0.0, ge=0, description="AdamW's")
    betas: tuple[Beta, Beta] = Field((0.9, 0.999), description="AdamW's")
    schedule: Literal["cosine", "linear", "constant"] = Field(
        "cosine", description="how the learning rate falls after the warm-up"
    )
    warmup: float = Field(0.1, ge=0, lt=1, description="share of the updates in which the learning rate rises")
    clip: PositiveFloat | None = Field(1.0, description="largest norm of the gradient; null does not clip")
    precision: Literal["auto", "bf16", "fp32"] = Field("auto", description="auto: bf16 on a GPU that has it, else fp32")
    group_by_length: bool = Field(True, description="put samples of similar length into one batch")
    evaluate_every: PositiveInt | None = Field(
        1, description="epochs between evaluations during training; null evaluates at the end only"
    )
    validation: str | None = Field(
        None, description="split evaluated during training; `validation` if the dataset has it, else `test`"
    )
    select: str | None = Field(
        None, description="metric that picks the best checkpoint; the dataset's headline unless given"
    )
    keep: Literal["best", "last"] = Field(
        "last", description="which checkpoint is the result; the best is chosen on the split evaluated during training"
    )
    patience: PositiveInt | None = Field(None, description="stop after so many evaluations without a better one")
    evaluation_batch: PositiveInt | None = Field(
        None, description="samples a forward pass in evaluation; 2 × the training one"
    )
    save_every: PositiveInt | None = Field(None, description="updates between resume points; every epoch always is one")
    log_every: PositiveInt = Field(10, description="updates between two lines of the log")
    compile: bool = Field(
        False, description="torch.compile the language model: a minute or two at first, for long runs on a GPU"
    )
    liger: bool = Field(False, description="take the fused kernels of liger-kernel, if it is installed; GPUs only")
    workers: int = Field(0, ge=0, le=256, description="processes that read and assemble batches")
    resident: bool | Literal["auto"] = Field(
        "auto",
        description="keep all recordings in the device's memory; auto: on a GPU with four times the room",
    )
    trackers: tuple[Literal["tensorboard", "wandb", "trackio"], ...] = Field((), description="where else to log to")

    @model_validator(mode="after")
    def _sound(self) -> Training:
        if self.micro_batch is not None and self.micro_batch > self.batch:
            raise ValueError(f"micro_batch {self.micro_batch} is larger than batch {self.batch}")
        return self

    @staticmethod
    def indifferent() -> tuple[str, ...]:
        """The options that change no weight and no score: a run that is finished or interrupted stands without regard
        to them."""
        return ("save_every", "log_every", "workers", "resident", "trackers")

    def plan(self) -> tuple[Phase, ...]:
        """The phases in order; one phase of everything unless phases are given."""
        return self.phases or (Phase(epochs=self.epochs),)
