"""Tokenizer and weights of a checkpoint in the hub's format: a local folder, or a hub id.

No code of a checkpoint is ever run, and no pickle of it is opened.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PretrainedConfig
from transformers.utils import logging

from gad_core.errors import BackboneError
from gad_core.huggingface.causal_lm import DTYPES, FAMILIES, CausalTransformer, slides
from gad_core.huggingface.lora_options import Lora
from gad_core.huggingface.subwords import SubwordText

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def load_text(checkpoint: str) -> SubwordText:
    """The tokenizer of a checkpoint. Raises `BackboneError` when its files are missing or belong to another model."""
    rows = load_config(checkpoint).vocab_size
    with _refused(checkpoint, "tokenizer"), quiet():
        tokenizer = AutoTokenizer.from_pretrained(checkpoint, trust_remote_code=False, use_fast=True)
        backend = tokenizer.backend_tokenizer
    if tokenizer.eos_token_id is None:
        raise BackboneError(
            f"the tokenizer of '{checkpoint}' names no token that ends a text",
            hint="set `eos_token` in its tokenizer_config.json",
        )
    return SubwordText(backend, vocabulary=rows, bos=tokenizer.bos_token_id, eos=tokenizer.eos_token_id)


def load_causal(
    checkpoint: str,
    *,
    dtype: Literal["bf16", "fp32"],
    lora: Lora | None,
    layers: int | None = None,
    attention: Literal["sdpa", "eager"] = "sdpa",
    gradient_checkpointing: bool = False,
) -> CausalTransformer:
    """The model of a checkpoint on the CPU, its first `layers` blocks only if given.

    Raises `BackboneError` when it is missing, damaged, incomplete, too shallow, or of a family that is not supported.
    """
    config = load_config(checkpoint)
    if layers is not None:
        _truncate(config, layers, checkpoint)
    with _refused(checkpoint, "weights"), quiet(), torch.random.fork_rng(devices=[]):
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            checkpoint,
            config=config,
            dtype=DTYPES[dtype],
            attn_implementation=attention,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    causal, report = loaded
    if report["missing_keys"]:
        raise BackboneError(
            f"checkpoint '{checkpoint}' lacks {len(report['missing_keys'])} weights, "
            f"{min(report['missing_keys'])} among them",
            hint="fetch or convert it again",
        )
    return CausalTransformer(causal, lora=lora, gradient_checkpointing=gradient_checkpointing)


def load_config(checkpoint: str) -> PretrainedConfig:
    """The configuration of a checkpoint, of a family and shape we support."""
    if not Path(checkpoint).is_dir() and not HUB_ID.fullmatch(checkpoint):
        raise BackboneError(
            f"there is no folder '{checkpoint}'",
            hint="give the folder of a checkpoint (config.json, *.safetensors, tokenizer.json), or a hub id owner/name",
        )
    with _refused(checkpoint, "config.json"), quiet():
        config = AutoConfig.from_pretrained(checkpoint, trust_remote_code=False)
    sliding = slides(config)
    if config.model_type not in FAMILIES or sliding:
        raise BackboneError(
            f"checkpoint '{checkpoint}' is a {config.model_type} model{' with a sliding window' if sliding else ''}",
            hint=f"supported are {' and '.join(FAMILIES)} with full attention; others need a backbone plugin",
        )
    return config


def _truncate(config: PretrainedConfig, layers: int, checkpoint: str) -> None:
    if layers > config.num_hidden_layers:
        raise BackboneError(
            f"`layers: {layers}`, but checkpoint '{checkpoint}' has {config.num_hidden_layers}",
            hint=f"take at most {config.num_hidden_layers}, or leave it out to keep all",
        )
    config.num_hidden_layers = layers
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:layers]


@contextmanager
def _refused(checkpoint: str, part: str) -> Iterator[None]:
    """Turns what transformers raises about a checkpoint's files into a `BackboneError`."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        local = Path(checkpoint).is_dir()
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise BackboneError(
            f"the {part} of checkpoint '{checkpoint}' cannot be loaded: {reason}",
            hint="the folder must hold config.json, *.safetensors and tokenizer.json of one model"
            if local
            else "download it on a machine with access (a gated model needs its licence accepted and `hf auth login`) "
            "and give the local folder, or check the id",
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Silences transformers' progress bars and load reports; what matters in them is checked and raised."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
