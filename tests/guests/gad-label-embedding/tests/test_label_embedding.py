"""The head keeps what every head keeps, and names what it has never been shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from gad_label_embedding.plugin import LabelEmbedding

from gad_core.plugin import ArrayFeatures, Clip, LabelRef, LabelSpace, Prompt, Query, Sample, Stage
from gad_core.testing import Experiment, HeadContract, Memory, Tiny, compose

REGISTRY = Path(__file__).parents[1] / "registry.yaml"
VERBS, NOUNS = ("cut", "wash", "take", "peel"), ("tomato", "onion", "knife", "carrot")
ACTIONS = LabelSpace("action", tuple(f"{verb} {noun}" for verb in VERBS for noun in NOUNS))
HELD_OUT = (1, 6, 11, 12)
"""One label of each verb and of each noun."""


class TestLabelEmbedding(HeadContract):
    component = LabelEmbedding()


class TestFrozen(HeadContract):
    component = LabelEmbedding(tuned=False, unseen=("wash tomato",))


def test_experiments_run(gad, tmp_path):
    result = gad("run", REGISTRY, "--runs", tmp_path)
    assert result.exit_code == 0, result.output
    assert all((tmp_path / name / "0" / "results.json").is_file() for name in ("zero-shot", "frozen"))


def test_the_kits_fixtures_fit_together(gad_memory, gad_tiny, gad_words):
    labels = [label for space in gad_memory.open().spaces.values() for label in space.written]
    assert all(gad_words.decode(gad_words.encode(f" {label}")) == f" {label}" for label in labels)
    assert gad_tiny.build(gad_words, 0).vocabulary == gad_words.vocabulary


def clips(labels, features_of, seed):
    """A sample of four noisy frames for each label, and the features."""
    draw = np.random.default_rng(seed)
    arrays = {
        f"{n}": (features_of(label) + 0.2 * draw.normal(size=(4, 16))).astype(np.float32)
        for n, label in enumerate(labels)
    }
    samples = [
        Sample(name, Clip(name, range(4)), "current", (Query(4, {"current": (LabelRef("action", int(label)),)}),))
        for name, label in zip(arrays, labels, strict=True)
    ]
    return samples, ArrayFeatures(arrays, fps=1.0)


def test_labels_never_shown_are_named_by_their_words():
    """Features are verb + noun; four of sixteen combinations are held out of training. Chance is 1 in 16."""
    draw = np.random.default_rng(0)
    verbs, nouns = draw.normal(size=(4, 16)), draw.normal(size=(4, 16))

    def features_of(label):
        return verbs[label // 4] + nouns[label % 4]

    head = LabelEmbedding(unseen=tuple(ACTIONS.labels[label] for label in HELD_OUT))
    experiment = Experiment("zero-shot", Memory(), Tiny(), head)
    model = compose(
        experiment, spaces={"current": ACTIONS}, prompts={"current": Prompt("What is it?\n")}, width=16, seed=0
    )
    shown = [label for label in range(16) if label not in HELD_OUT]
    samples, features = clips(shown * 6, features_of, seed=1)
    batch = model.assembler(samples, features, Stage.TRAIN)
    optimizer = torch.optim.AdamW([model.get_parameter(name) for name in model.trainable], lr=3e-3)
    for _ in range(150):
        optimizer.zero_grad()
        sum(model(batch).values()).backward()
        optimizer.step()
    model.eval()
    asked = list(HELD_OUT) * 10
    samples, features = clips(asked, features_of, seed=2)
    scores = model.predict(model.assembler(samples, features, Stage.PREDICT))
    right = (scores.argmax(dim=1) == torch.tensor(asked)).float().mean()
    assert right > 0.4, f"{right:.0%} of clips with labels never shown are named"
