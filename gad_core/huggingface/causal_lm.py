"""Any decoder of the Llama shape from transformers, behind the `Transformer` contract."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from transformers import DynamicCache, PretrainedConfig, PreTrainedModel
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from gad_core.contracts.modules import Transformer
from gad_core.errors import BackboneError
from gad_core.huggingface.lora_options import Lora

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
"""What weights can be held in, by its name in a registry file."""
FAMILIES = ("llama", "qwen2")
"""The model types whose blocks are known part by part, and whose attention follows masks and position ids as given."""


def slides(config: PretrainedConfig) -> bool:
    """Whether a block of the model sees a sliding window only."""
    return "sliding_attention" in (getattr(config, "layer_types", None) or ())


class RingCache:
    """Keys and values at fixed places, as a decoder of transformers uses a cache."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._layers: list[tuple[Tensor, Tensor]] = []
        self._places = torch.empty(0, dtype=torch.int64)
        self._rows: Tensor | None = None

    def at(self, places: Tensor, rows: Tensor | None = None) -> None:
        """Where the next forward pass writes."""
        self._places, self._rows = places, rows

    def update(self, keys: Tensor, values: Tensor, layer: int, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """Writes the new keys and values of a layer, (B, heads, n, width), and returns all (B, heads, size, width)."""
        if layer == len(self._layers):
            shape = (*keys.shape[:2], self.size, keys.shape[3])
            self._layers.append((keys.new_zeros(shape), values.new_zeros(shape)))
            if keys.is_cuda:  # a CUDA graph may write to what never moves
                for buffer in self._layers[layer]:
                    torch._dynamo.mark_static_address(buffer)
        kept = self._layers[layer]
        for buffer, new in zip(kept, (keys, values), strict=True):
            if self._rows is None:
                buffer.index_copy_(2, self._places, new)
            else:
                buffer[self._rows[:, None], :, self._places] = new.transpose(1, 2)
        return kept if self._rows is None else (kept[0][self._rows], kept[1][self._rows])

    def get_seq_length(self, layer: int = 0) -> int:
        """Tokens before the new ones: the mask and the position ids say all, so none."""
        return 0


class _Known:
    """Keys and values that are there already, where a block asks its cache for them."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        self.keys, self.values = keys, values

    def update(self, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """All keys and values, (B, heads, C + L, width); those handed in are among them."""
        return self.keys, self.values


def _wide(columns: Tensor, like: Tensor) -> Tensor:
    """Columns (B, R) as an index into (B, L, H)."""
    return columns[..., None].expand(-1, -1, like.shape[2])


class CausalTransformer(Transformer):
    """A causal language model: `causal.model` is its decoder, `causal.lm_head` its output projection.

    The output projection is never called but by `logits`. With `lora` the base weights stay frozen and the adapters are
    trained in fp32 whatever the base is in; without it the weights themselves are trained.
    """

    def __init__(self, causal: PreTrainedModel, *, lora: Lora | None, gradient_checkpointing: bool = False) -> None:
        super().__init__()
        self.causal: Any = causal
        self.lora = lora
        self._known = causal.config.model_type in FAMILIES and not slides(causal.config)
        self.hidden_size = self.causal.config.hidden_size
        self.positions = self.causal.config.max_position_embeddings
        self.vocabulary = cast(nn.Embedding, causal.get_input_embeddings()).num_embeddings
        if gradient_checkpointing:  # reentrant checkpoints lose the gradient where the input of a block needs none
            older = not hasattr(causal, "activation_checkpointing_enable")  # its name since transformers 5.23
            enable = "gradient_checkpointing_enable" if older else "activation_checkpointing_enable"
            getattr(self.causal, enable)({"use_reentrant": False})
            self.causal.disable_input_require_grads()  # only reentrant ones need embeddings that pretend to be trained

    @property
    def dtype(self) -> torch.dtype:
        """What the base weights are in."""
        return self.causal.get_input_embeddings().weight.dtype

    def embed(self, ids: Tensor) -> Tensor:
        return self.causal.get_input_embeddings()(ids)

    def forward(
        self,
        embeddings: Tensor,
        mask: Tensor | None,
        positions: Tensor,
        cache: Any = None,
        read: Tensor | None = None,
    ) -> Tensor:
        decoder = self.causal.model
        hidden = embeddings.to(self.dtype)
        seen = self._attention_mask(hidden, mask, cache)
        if read is None or not self._known:
            if seen is None:
                # A row of ones says "nothing is padded": position ids that repeat are then not taken for several
                # sequences packed into one, as they are where no mask is given at all.
                seen = torch.ones(hidden.shape[:2], dtype=torch.int64, device=hidden.device)
            return decoder(
                inputs_embeds=hidden,
                attention_mask=seen,
                position_ids=positions,
                past_key_values=cache,
                use_cache=cache is not None,
            ).last_hidden_state
        turns = decoder.rotary_emb(hidden, positions)
        *blocks, last = decoder.layers
        for block in blocks:
            hidden = block(
                hidden,
                attention_mask=seen,
                position_embeddings=turns,
                past_key_values=cache,
                use_cache=cache is not None,
            )
        states = decoder.norm(self._at(last, hidden, mask, turns, cache, read))
        return states.new_zeros(hidden.shape).scatter(1, _wide(read, hidden), states)

    def _at(
        self,
        block: Any,
        hidden: Tensor,
        mask: Tensor | None,
        turns: tuple[Tensor, Tensor],
        cache: Any,
        read: Tensor,
    ) -> Tensor:
        """What a block makes at some columns, (B, R, H): all tokens give keys and values, those alone ask."""
        attention, normed = block.self_attn, block.input_layernorm(hidden)
        keys, values = (
            project(normed).unflatten(-1, (-1, attention.head_dim)).transpose(1, 2)
            for project in (attention.k_proj, attention.v_proj)
        )
        keys, _ = apply_rotary_pos_emb(keys, keys, *turns)
        if cache is not None:
            keys, values = cache.update(keys, values, attention.layer_idx)
        if mask is None:
            places = torch.arange(keys.shape[2], device=read.device)
            seen = (places <= (keys.shape[2] - hidden.shape[1] + read)[..., None])[:, None]
        else:
            seen = mask.gather(2, read[:, None, :, None].expand(-1, -1, -1, mask.shape[3]))
        cosine, sine = (part.expand(len(hidden), -1, -1).gather(1, _wide(read, part)) for part in turns)
        attended, _ = attention(
            normed.gather(1, _wide(read, normed)),
            attention_mask=self._attention_mask(hidden, seen, None),
            position_embeddings=(cosine, sine),
            past_key_values=_Known(keys, values),
        )
        hidden = hidden.gather(1, _wide(read, hidden)) + attended
        return hidden + block.mlp(block.post_attention_layernorm(hidden))

    def _attention_mask(self, hidden: Tensor, mask: Tensor | None, cache: Any) -> Tensor | None:
        """The mask as the blocks take it; None is their causal kernel, which knows of no earlier tokens."""
        lazy = self.causal.config._attn_implementation == "sdpa"
        past = 0 if cache is None else cache.get_seq_length()
        if mask is None:
            if lazy and not past:
                return None
            size = hidden.shape[1]
            mask = torch.ones(size, past + size, dtype=torch.bool, device=hidden.device).tril(past)[None, None]
        if lazy:
            return mask
        barred = torch.finfo(self.dtype).min  # eager attention adds its mask to the scores
        return torch.zeros(mask.shape, dtype=self.dtype, device=mask.device).masked_fill(~mask, barred)

    def logits(self, states: Tensor) -> Tensor:
        return self.causal.lm_head(states.to(self.dtype))

    def make_cache(self) -> DynamicCache:
        return DynamicCache()

    def make_ring(self, size: int) -> RingCache:
        return RingCache(size)

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

    def use_fused_kernels(self) -> None:
        """Norms and MLPs of this model alone.

        Not the rotary embedding, which Liger replaces for every model of the process, and no loss, for no logits are
        made where its losses would take them.
        """
        try:
            from liger_kernel import transformers as liger
        except ImportError as error:
            raise BackboneError(
                "`liger: true`, and liger-kernel is not installed",
                hint="`pip install liger-kernel`, or remove `liger: true`",
            ) from error
        if not torch.cuda.is_available():
            raise BackboneError("`liger: true`, and there is no GPU for its kernels", hint="remove `liger: true`")
        apply = getattr(liger, f"apply_liger_kernel_to_{self.causal.config.model_type}")
        modeling = vars(sys.modules[type(self.causal).__module__])
        before = dict(modeling)
        apply(rope=False, cross_entropy=False, fused_linear_cross_entropy=False, model=self.causal)
        modeling.update(before)  # it also changed what the next models are made of
