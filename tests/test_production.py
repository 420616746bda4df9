"""Llama-3.2-1B itself, with random weights in the hub's format: it loads, trains a step and predicts in bf16 on a CPU.

Needs 2.5 GB of disk, about 8 GB of memory and some minutes: run with `GAD_THOROUGH=1 pytest tests/test_production.py`.
"""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest
import torch
from gad_auxiliary.plugin import Goal
from gad_heads.plugin import Discriminative, Gad, Generative
from gad_kitchen.plugin import Kitchen
from gad_labels.plugin import Text
from gad_llama.plugin import Llama, LlamaTiny
from small_datasets import save_tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

from gad_core.contracts.values import Stage
from gad_core.huggingface.lora_options import Lora
from gad_core.registry.experiment import Experiment
from gad_core.registry.training_options import Training
from gad_core.runs.run import make_model

pytestmark = pytest.mark.skipif("GAD_THOROUGH" not in os.environ, reason="minutes and gigabytes: set GAD_THOROUGH=1")

LLAMA_3_2_1B = {
    "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32,
    "num_key_value_heads": 8, "head_dim": 64, "vocab_size": 128256, "tie_word_embeddings": True, "rms_norm_eps": 1e-5,
    "max_position_embeddings": 131072, "bos_token_id": 128000, "eos_token_id": 128009, "rope_theta": 500000.0,
    "rope_scaling": {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                     "original_max_position_embeddings": 8192},
}  # fmt: skip


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1.24 billion random parameters as bf16 safetensors, with a small tokenizer in front of 128,256 rows."""
    path = tmp_path_factory.mktemp("hub") / "Llama-3.2-1B-Instruct"
    torch.manual_seed(0)
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    model = LlamaForCausalLM(LlamaConfig(**LLAMA_3_2_1B))
    torch.set_default_dtype(default)
    assert sum(parameter.numel() for parameter in model.parameters()) == 1_235_814_400
    model.save_pretrained(path)
    save_tokenizer(LlamaTiny(vocabulary=2000).text(["cut tomato", "What is the action in the video?"]), path)
    return path


@pytest.mark.parametrize("head", [Gad(), Discriminative(), Generative()], ids=lambda head: head.name)
def test_one_step_and_one_evaluation(checkpoint: Path, head: Gad | Discriminative | Generative) -> None:
    backbone = Llama(checkpoint=str(checkpoint), dtype="bf16", lora=Lora(rank=128, alpha=256, dropout=0.05))
    experiment = Experiment(
        "production", Kitchen(), backbone, head,
        Text() if head.speaks else None, (Goal(),) if head.name == "gad" else (), Training(),
    )  # fmt: skip
    corpus = experiment.dataset.open()
    model = make_model(experiment, corpus, 0)
    batch = model.assembler(corpus.samples("train")[:4], corpus.features, Stage.TRAIN)
    optimizer = torch.optim.AdamW([model.get_parameter(name) for name in model.trainable], lr=1e-4)
    before = float(sum(model(batch).values()).detach())  # type: ignore[union-attr]
    for _ in range(2):
        optimizer.zero_grad()
        sum(model(batch).values()).backward()  # type: ignore[union-attr]
        optimizer.step()
    model.eval()
    after = float(sum(model(batch).values()).detach())  # type: ignore[union-attr]
    assert after < before
    scores = model.predict(model.assembler(corpus.samples("test")[:2], corpus.features, Stage.PREDICT))
    assert scores.shape == (2, len(corpus.spaces["current"]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{head.name}: loss {before:.3f} -> {after:.3f}, peak {peak:.1f} GiB")
    assert peak < 24
