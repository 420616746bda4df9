"""The authors' unmodified code and ours give the same sequences, states, logits and losses."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from gad_auxiliary.plugin import Goal, Past
from gad_heads.plugin import Discriminative, Gad, Generative
from gad_kitchen.plugin import Kitchen
from gad_labels.plugin import Text
from gad_llama.plugin import Llama
from safetensors.torch import load_file

from gad_core.contracts.values import Clip, LabelRef, LabelSpace, Prompt, Query, Sample, Slot, Stage
from gad_core.data.features import ArrayFeatures
from gad_core.model.action_model import ActionModel
from gad_core.model.composition import compose
from gad_core.model.language import LanguageModel
from gad_core.registry.experiment import Experiment

QUESTION = "What is the action in the last frame?\n"
OAD = Prompt(before=QUESTION, close_background=False)
HEADS = {"discriminative": Discriminative(), "gad": Gad(), "generative": Generative(decoding="free")}
TOLERANCE = {"rtol": 1e-4, "atol": 1e-4}


@pytest.fixture
def models(shared: Path) -> Path:
    folder = shared / "golden" / "models"
    if not folder.is_dir():
        pytest.skip("no golden model vectors beside the project")
    return folder


def make_model(models: Path, variant: str, *, spaces: dict[str, LabelSpace], prompts: dict[str, Prompt]) -> ActionModel:
    """Our model of a variant with the authors' weights."""
    setting, head = variant.split("_")
    written = {"oad": Past(k=1), "offline": Goal()}[setting]
    experiment = Experiment(
        name=variant,
        dataset=Kitchen(),
        backbone=Llama(checkpoint=str(models / "tiny_llm"), dtype="fp32", lora=None),
        head=HEADS[head],
        labels=Text() if HEADS[head].speaks else None,
        auxiliary=(written,) if head == "gad" else (),
    )
    state = load_file(models / variant / "state_dict.safetensors")
    model = compose(experiment, spaces=spaces, prompts=prompts, width=state["connector.0.weight"].shape[1], seed=0)
    layers = dict(getattr(model.head, "layers", {}))
    ours = {
        "connector.0": model.connector.inward,
        "connector.2": model.connector.outward,
        "cls_head": layers.get("action"),
        "class_head": layers.get("step"),
        "task_head": layers.get("task"),
    }
    with torch.no_grad():
        for name, layer in ours.items():
            if f"{name}.weight" in state and layer is not None:
                layer.weight.copy_(state[f"{name}.weight"])
                layer.bias.copy_(state[f"{name}.bias"])
        if model.cls is not None:
            model.cls.copy_(state["cls_emb.weight"][0])
        for name, value in state.items():
            if name.startswith(("model.", "lm_head.")):
                model.transformer.causal.get_parameter(name).copy_(value)
    return model.eval()


def compare_rows(model: ActionModel, batch, golden: dict[str, torch.Tensor], labels: str) -> None:
    """Tokens, hidden states and supervised places agree, the authors' left padding and shifted labels undone."""
    states = model.states(batch)
    width = batch.tokens.shape[1]
    for row in range(len(batch.tokens)):
        real = int((batch.slots[row] != Slot.PAD).sum())
        theirs = golden["attention_mask"][row].bool()
        kept = theirs.nonzero()[:, 0]
        if golden["input_ids"].shape[1] - int(kept[0]) == real - 1:  # the class vector is appended inside the model
            real -= 1
        tokens = torch.where(batch.slots[row, :real] == Slot.FRAMES, -1, batch.tokens[row, :real])
        tokens = torch.where(batch.slots[row, :real] == Slot.CLS, -1, tokens)
        expected = golden["input_ids"][row][kept]
        assert tokens.tolist() == torch.where(expected >= 384, -1, expected).tolist()
        hidden = golden["out.hidden_states"]
        hidden = hidden[row][-real:] if hidden.shape[1] == golden["input_ids"].shape[1] else hidden[row][-real - 1 : -1]
        torch.testing.assert_close(states[row, :real], hidden, **TOLERANCE)
        if labels in golden and "out.lm_logits" in golden:
            mine = {
                int(place) - row * width: int(token)
                for place, token in zip(batch.source, batch.target, strict=True)
                if row * width <= place < (row + 1) * width
            }
            supervised = golden[labels][row][kept]
            assert mine == {place: int(token) for place, token in enumerate(supervised) if token >= 0}


@pytest.mark.parametrize("name", ["single", "equal", "mixed"])
@pytest.mark.parametrize("variant", ["oad_discriminative", "oad_generative", "oad_gad"])
def test_online_action_detection(models: Path, variant: str, name: str) -> None:
    golden = load_file(models / variant / f"batch_{name}.safetensors")
    record = json.loads((models / variant / f"batch_{name}.json").read_text())
    config = json.loads((models / variant / "config.json").read_text())
    texts = [re.sub(r".*<v>(<cls>)?", "", text, flags=re.S) for text in record["text"]]
    answers = [text.removeprefix("\nAssistant: ").removesuffix("<|eot_id|>").split(", ") for text in texts]
    indices = record["label"]
    labels = [f"class {index}" for index in range(config.get("num_class", 106))]
    labels[0] = "background"
    if variant != "oad_discriminative":
        known = {answer[0]: index for answer, index in zip(answers, indices, strict=True) if isinstance(index, int)}
        known["background"] = 0
        free = (index for index in range(1, 106) if index not in known.values())
        for text in sorted({label for answer in answers for label in answer} - set(known)):
            known[text] = next(free)
        for text, index in known.items():
            labels[index] = text
        indices = [known[answer[0]] for answer in answers]
    space = LabelSpace("action", tuple(labels), background=0)
    model = make_model(models, variant, spaces={"current": space, "past": space}, prompts={"current": OAD})
    frames = record["num_frames"]
    features = ArrayFeatures(
        {f"r{row}": golden["rgb_frames"][row, : frames[row]].numpy() for row in range(len(frames))}, fps=1.0
    )
    samples = []
    for row, index in enumerate(indices):
        past = tuple(LabelRef("action", labels.index(text)) for text in answers[row][1:])
        relations = {"current": (LabelRef("action", index),), **({"past": past} if past else {})}
        weight = record["stream_loss_weight"] if index == 0 else 1.0
        samples.append(
            Sample(f"s{row}", Clip(f"r{row}", range(frames[row])), "current", (Query(frames[row], relations, weight),))
        )
    batch = model.assembler(samples, features, Stage.TRAIN)
    compare_rows(model, batch, golden, "gen_labels" if variant == "oad_gad" else "labels")
    losses = {loss: float(value.detach()) for loss, value in model(batch).items()}
    assert sum(losses.values()) == pytest.approx(record["loss"], rel=1e-4)
    if "out.cls_logits" in golden:
        scores = model.predict(model.assembler(samples, features, Stage.PREDICT))
        torch.testing.assert_close(scores, golden["out.cls_logits"][:, 0], **TOLERANCE)
        assert scores.argmax(dim=1).tolist() == golden["out.pred_class"].tolist()
        assert losses["classification"] == pytest.approx(record.get("cls_loss", record["loss"]), rel=1e-4)


ASKS = {"step": "current", "next": "next", "task": "goal"}
SYSTEM = (
    "A multimodal AI assistant is helping users with some activities. Below is their conversation, interleaved with "
    "the list of video frames received by the assistant.\n\n"
    "User: {} Format your answer concisely. No extra text output.\n["
)
QUESTIONS = {
    "current": "What is the action in the video?",
    "next": "What is the next action for the video?",
    "goal": "What is the overall activity in the video?",
}


@pytest.mark.parametrize("task", ["step", "next", "task"])
@pytest.mark.parametrize("variant", ["offline_discriminative", "offline_generative", "offline_gad"])
def test_coin(models: Path, variant: str, task: str) -> None:
    golden = load_file(models / variant / f"batch_std_{task}_0.safetensors")
    record = json.loads((models / variant / f"batch_std_{task}_0.json").read_text())
    answer = re.sub(r".*\nAssistant: ", "", record["text"], flags=re.S).removesuffix("<|eot_id|>")
    sentences = re.findall(r"[^.]+\.", answer) if "Assistant" in record["text"] else []
    index = record["class_label"][0] if record["class_label"] else 1
    asked = ASKS[task]
    steps, tasks = [f"step {number}" for number in range(749)], [f"task {number}" for number in range(180)]
    own = steps if task != "task" else tasks
    if sentences:
        own[index] = sentences[0].removesuffix(".").strip().lower()
    if len(sentences) > 1:
        tasks[0] = sentences[1].removesuffix(".").strip().lower()

    def space(name: str, labels: list[str]) -> LabelSpace:
        return LabelSpace(name, tuple(labels), tuple(label.capitalize() + "." for label in labels))

    spaces = {"current": space("step", steps), "next": space("step", steps), "goal": space("task", tasks)}
    prompts = {
        relation: Prompt(SYSTEM.format(question), separator=",", after="]\n", joiner="", supervise_frames=True)
        for relation, question in QUESTIONS.items()
    }
    model = make_model(models, variant, spaces=spaces, prompts=prompts)
    first, last = record["load_range"]
    features = ArrayFeatures({"r": golden["frames"].reshape(last - first, 10, 32).numpy()}, fps=2.0)
    own_space = "task" if task == "task" else "step"
    relations = {asked: (LabelRef(own_space, index),), "goal": (LabelRef("task", 0 if task != "task" else index),)}
    sample = Sample("s", Clip("r", range(last - first)), asked, (Query(last - first, relations),))
    batch = model.assembler([sample], features, Stage.TRAIN)
    compare_rows(model, batch, golden, "gen_labels" if variant == "offline_gad" else "labels")
    losses = {loss: float(value.detach()) for loss, value in model(batch).items()}
    assert sum(losses.values()) == pytest.approx(record["loss"], rel=1e-4)
    if "out.cls_logits" in golden:
        scores = model.predict(model.assembler([sample], features, Stage.PREDICT))
        torch.testing.assert_close(scores, golden["out.cls_logits"][:, 0], **TOLERANCE)
        assert int(scores.argmax()) == record["pred_class"]
    else:
        logits = LanguageModel(model, batch).logits(model.states(batch).flatten(0, 1))
        torch.testing.assert_close(logits, golden["out.lm_logits"][0], **TOLERANCE)


def test_the_vectors_are_not_trivial(models: Path) -> None:
    golden = load_file(models / "oad_gad" / "batch_mixed.safetensors")
    assert np.ptp(golden["out.cls_logits"].numpy()) > 1
