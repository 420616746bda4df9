"""The parts of `llama-tiny`: a byte-level vocabulary made from texts, and weights made from a seed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, LlamaConfig

from gad_core.nn import DTYPES, CausalTransformer, SubwordText
from gad_core.plugin import TextTokenizer
from gad_llama.plugin import LlamaTiny

BOS, EOS = "<|begin_of_text|>", "<|eot_id|>"
WORDS = "|".join(
    (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)",
        r"[^\r\n\p{L}\p{N}]?\p{L}+",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    )
)
"""How Llama 3 cuts text before merging: a word takes the space in front of it, numbers come in threes."""
LONGEST = 1 << 17


def train_text(texts: Sequence[str], vocabulary: int) -> SubwordText:
    """A byte-level BPE tokenizer of at most `vocabulary` tokens, decided by the set of texts alone."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[BOS, EOS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sorted(set(texts)), trainer)
    ids = tokenizer.get_vocab()
    return SubwordText(tokenizer, vocabulary=len(ids), bos=ids[BOS], eos=ids[EOS])


def random_llama(options: LlamaTiny, text: TextTokenizer, seed: int) -> CausalTransformer:
    """Random weights that depend on the options and the seed alone; torch's random numbers are left as they were."""
    config = LlamaConfig(
        vocab_size=text.vocabulary,
        hidden_size=options.hidden,
        intermediate_size=options.mlp,
        num_hidden_layers=options.layers,
        num_attention_heads=options.heads,
        num_key_value_heads=options.kv_heads,
        max_position_embeddings=LONGEST,
        bos_token_id=text.bos,
        eos_token_id=text.eos,
        tie_word_embeddings=False,
    )
    # A stream of its own: the run draws its head and connector from the plain seed.
    stream = int.from_bytes(hashlib.sha256(f"llama-tiny {seed}".encode()).digest()[:6])
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(stream)
        causal = AutoModelForCausalLM.from_config(
            config, dtype=DTYPES[options.dtype], attn_implementation=options.attention
        )
    return CausalTransformer(causal, lora=options.lora, gradient_checkpointing=options.gradient_checkpointing)
