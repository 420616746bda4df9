"""Any decoder of the Llama shape from transformers, behind the `Transformer` contract."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel

from gad_core.lora_options import Lora
from gad_core.modules import Transformer

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
"""What weights can be held in, by its name in a registry file."""


class CausalTransformer(Transformer):
    """A causal language model: `causal.model` is its decoder, `causal.lm_head` its output projection.

    The output projection is never called but by `logits`. With `lora` the base weights stay frozen and the adapters are
    trained in fp32 whatever the base is in; without it the weights themselves are trained.
    """

    def __init__(self, causal: PreTrainedModel, *, lora: Lora | None, gradient_checkpointing: bool = False) -> None:
        super().__init__()
        self.causal: Any = causal
        self.lora = lora
        self.hidden_size = self.causal.config.hidden_size
        self.vocabulary = cast(nn.Embedding, causal.get_input_embeddings()).num_embeddings
        if gradient_checkpointing:  # reentrant checkpoints lose the gradient where the input of a block needs none
            self.causal.activation_checkpointing_enable({"use_reentrant": False})
            self.causal.disable_input_require_grads()  # only reentrant ones need embeddings that pretend to be trained

    @property
    def dtype(self) -> torch.dtype:
        """What the base weights are in."""
        return self.causal.get_input_embeddings().weight.dtype

    def embed(self, ids: Tensor) -> Tensor:
        return self.causal.get_input_embeddings()(ids)

    def forward(self, embeddings: Tensor, mask: Tensor | None, positions: Tensor, cache: Any = None) -> Tensor:
        return self.causal.model(
            inputs_embeds=embeddings.to(self.dtype),
            attention_mask=self._attention_mask(embeddings, mask, cache),
            position_ids=positions,
            past_key_values=cache,
            use_cache=cache is not None,
        ).last_hidden_state

    def _attention_mask(self, embeddings: Tensor, mask: Tensor | None, cache: Any) -> Tensor:
        """The mask as transformers takes it unmodified.

        Without one, a row of ones says "nothing is padded": sdpa then runs its causal kernel, and position ids that
        repeat are not taken for several sequences packed into one, as they are where no mask is given at all.
        """
        if mask is None:
            past = cache.get_seq_length() if cache is not None else 0
            return torch.ones(
                embeddings.shape[0], past + embeddings.shape[1], dtype=torch.int64, device=embeddings.device
            )
        if self.causal.config._attn_implementation == "sdpa":
            return mask
        barred = torch.finfo(self.dtype).min  # eager attention adds its mask to the scores
        return torch.zeros(mask.shape, dtype=self.dtype, device=mask.device).masked_fill(~mask, barred)

    def logits(self, states: Tensor) -> Tensor:
        return self.causal.lm_head(states.to(self.dtype))

    def make_cache(self) -> DynamicCache:
        return DynamicCache()

    def adapt(self, *, lm_head: bool) -> None:
        self.causal.requires_grad_(self.lora is None)
        if self.lora is not None:
            self._attach(self.lora, lm_head=lm_head)
        elif not lm_head and self.causal.lm_head.weight is not self.causal.get_input_embeddings().weight:
            self.causal.lm_head.requires_grad_(False)

    def _attach(self, lora: Lora, *, lm_head: bool) -> None:
        endings = tuple(f"{target}_proj" for target in lora.targets)
        targets = [name for name, _ in self.causal.named_modules() if name.endswith(endings)]
        options = LoraConfig(
            r=lora.rank,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            target_modules=targets + ["lm_head"] * lm_head,
        )
        with warnings.catch_warnings():
            # It warns of merging the adapter into weights that the embeddings share: `merged` leaves lm_head out.
            warnings.filterwarnings("ignore", message=r".*tie_word_embeddings.*")
            inject_adapter_in_model(options, self.causal)
        for parameter in self.causal.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()

    @contextmanager
    def merged(self) -> Iterator[None]:
        """Folds the projections' adapters into their weights for a while; bit-equal to before afterwards.

        Never the output projection's: where it is tied, that would change the embeddings as well.
        """
        layers: list[Any] = [module for module in self.causal.model.modules() if isinstance(module, LoraLayer)]
        weights = [layer.get_base_layer().weight for layer in layers]
        kept = [weight.detach().clone() for weight in weights]
        try:
            for layer in layers:
                layer.merge()
            yield
        finally:
            for layer, weight, before in zip(layers, weights, kept, strict=True):
                layer.unmerge()
                weight.data.copy_(before)
