"""Trunk and branches: what a sequence holds, who sees whom, and that dense, batched and padded forms change nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from gad_auxiliary.plugin import Goal, Past
from gad_heads.plugin import Discriminative, Gad, Generative
from gad_labels.plugin import Desynchronised, RandomConsistent, Text, UniqueToken
from hypothesis import given, settings
from hypothesis import strategies as st

from gad_core.contracts.batch import TRUNK
from gad_core.contracts.components import Head, LabelTokenizer
from gad_core.contracts.values import Band, Clip, LabelRef, LabelSpace, Prompt, Query, Sample, Slot, Stage
from gad_core.data.features import ArrayFeatures
from gad_core.errors import DataError
from gad_core.model.action_model import ActionModel, Connector
from gad_core.model.composition import make_assembler
from gad_core.model.sequence import Assembler
from gad_core.registry.experiment import Experiment
from gad_core.testing.tiny import Tiny

ACTIONS = LabelSpace("action", ("background", "cut tomato", "cut onion", "wash tomato", "wash", "pour"), background=0)
GOALS = LabelSpace("goal", ("make salad", "make soup"))
SPACES = {"current": ACTIONS, "past": ACTIONS, "goal": GOALS}
PLAIN = {"current": Prompt("What is the action?\n"), "goal": Prompt("What is the goal?\n")}
COIN = {
    asked: Prompt(f"What {asked}?\n[", separator=",", after="]\n", joiner=";", supervise_frames=True)
    for asked in ("current", "goal")
}
FEATURES = ArrayFeatures(
    {f"r{n}": np.random.default_rng(n).normal(size=(12, 2, 5)).astype(np.float32) for n in range(3)}, fps=1.0
)


def make_model(
    head: Head, labels: LabelTokenizer | None = None, *, auxiliary: tuple = (), prompts: dict[str, Prompt] = PLAIN
) -> ActionModel:
    """A tiny model of a composition, in evaluation mode."""
    experiment = Experiment("test", None, Tiny(), head, labels, auxiliary)  # type: ignore[arg-type]
    texts = [text for space in (ACTIONS, GOALS) for text in (" " + label for label in space.labels)]
    texts += [text for prompt in prompts.values() for text in (prompt.before, prompt.after, prompt.cue)]
    text = Tiny().text(texts)
    assembler = make_assembler(experiment, text, spaces=SPACES, prompts=prompts, seed=0)
    transformer = Tiny().build(text, 0)
    transformer.adapt(lm_head=head.speaks)
    torch.manual_seed(0)
    targets = {"action": ACTIONS, "goal": GOALS} if head.classifies else {}
    return ActionModel(
        transformer=transformer,
        connector=Connector(5, transformer.hidden_size),
        head=head.build(transformer.hidden_size, targets),
        assembler=assembler,
        new_rows=assembler.writing.codebook.new_rows if assembler.writing else 0,
    ).eval()


def sample(
    recording: int = 0, frames: range = range(6), ats: Sequence[int] = (6,), asks: str = "current", label: int = 1
) -> Sample:
    space = "goal" if asks == "goal" else "action"
    relations = {
        asks: (LabelRef(space, label % (2 if space == "goal" else 6)),),
        "past": (LabelRef("action", 3), LabelRef("action", 2)),
        "goal": (LabelRef("goal", label % 2),),
    }
    queries = tuple(Query(at, relations) for at in ats)
    return Sample(
        f"{recording}/{frames.start}-{frames.stop}/{asks}/{list(ats)}", Clip(f"r{recording}", frames), asks, queries
    )


HEADS = [
    (Discriminative(), None, ()),
    (Discriminative(readout="last-frame"), None, ()),
    (Generative(decoding="free"), Text(), (Past(k=2),)),
    (Generative(decoding="trie"), Text(), ()),
    (Generative(decoding="trie"), Desynchronised(), ()),
    (Generative(decoding="score-all"), RandomConsistent(), (Goal(),)),
    (Generative(decoding="score-all"), UniqueToken(), ()),
    (Gad(), Text(), (Past(k=2), Goal())),
    (Gad(order="parallel"), UniqueToken(), (Goal(),)),
    (Gad(order="generation-first"), Text(), (Past(k=1),)),
]


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    start = draw(st.integers(0, 5))
    length = draw(st.integers(1, 6))
    ats = draw(st.lists(st.integers(1, length), min_size=1, max_size=3))
    asks, label = draw(st.sampled_from(["current", "goal"])), draw(st.integers(0, 5))
    return sample(draw(st.integers(0, 2)), range(start, start + length), ats, asks, label)


@pytest.mark.parametrize("prompts", [PLAIN, COIN], ids=["plain", "coin"])
@pytest.mark.parametrize(("head", "labels", "auxiliary"), HEADS)
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_alone_is_as_in_a_batch(head: Head, labels, auxiliary, prompts, data) -> None:
    model = make_model(head, labels, auxiliary=auxiliary, prompts=prompts)
    chosen = data.draw(st.lists(samples(), min_size=2, max_size=4))
    together = model.predict(model.assembler(chosen, FEATURES, Stage.PREDICT))
    alone = [model.predict(model.assembler([one], FEATURES, Stage.PREDICT)) for one in chosen]
    for row, part in zip(together.split([len(one.queries) for one in chosen]), alone, strict=True):
        torch.testing.assert_close(row[:, : part.shape[1]], part, rtol=1e-4, atol=1e-4)
        assert torch.isinf(row[:, part.shape[1] :]).all()
    losses = model(model.assembler(chosen, FEATURES, Stage.TRAIN))
    counts = [len(one.queries) for one in chosen]
    single = [model(model.assembler([one], FEATURES, Stage.TRAIN)) for one in chosen]
    for name, value in losses.items():
        mean = sum(count * float(part[name].detach()) for count, part in zip(counts, single, strict=True)) / sum(counts)
        assert float(value.detach()) == pytest.approx(mean, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("prompts", [PLAIN, COIN], ids=["plain", "coin"])
@pytest.mark.parametrize(("head", "labels", "auxiliary"), HEADS)
def test_dense_queries_equal_one_window_at_a_time(head: Head, labels, auxiliary, prompts) -> None:
    model = make_model(head, labels, auxiliary=auxiliary, prompts=prompts)
    dense = model.predict(model.assembler([sample(frames=range(8), ats=(3, 5, 8))], FEATURES, Stage.PREDICT))
    windows = [sample(frames=range(at), ats=(at,)) for at in (3, 5, 8)]
    single = [model.predict(model.assembler([window], FEATURES, Stage.PREDICT)) for window in windows]
    torch.testing.assert_close(dense, torch.cat(single), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("head", "labels", "auxiliary"), HEADS)
def test_no_query_sees_a_later_frame(head: Head, labels, auxiliary) -> None:
    model = make_model(head, labels, auxiliary=auxiliary)
    before = model.predict(model.assembler([sample(frames=range(8), ats=(4,))], FEATURES, Stage.PREDICT))
    changed = {name: FEATURES.read(name, range(12)).copy() for name in FEATURES.lengths}
    changed["r0"][4:] += 10
    after = model.predict(
        model.assembler([sample(frames=range(8), ats=(4,))], ArrayFeatures(changed, fps=1.0), Stage.PREDICT)
    )
    torch.testing.assert_close(before, after)


def test_what_follows_cls_does_not_move_the_class_scores() -> None:
    model = make_model(Gad(), Text(), auxiliary=(Past(k=2), Goal()))
    chosen = [sample(label=1), sample(1, range(3), (3,), label=4)]
    training = model.assembler(chosen, FEATURES, Stage.TRAIN)
    prediction = model.assembler(chosen, FEATURES, Stage.PREDICT)
    read = [model.states(batch).flatten(0, 1)[batch.places] for batch in (training, prediction)]
    torch.testing.assert_close(read[0], read[1], rtol=1e-5, atol=1e-5)


def test_the_discriminative_head_never_asks_for_logits() -> None:
    model = make_model(Discriminative())
    model(model.assembler([sample()], FEATURES, Stage.TRAIN))["classification"].backward()
    model.predict(model.assembler([sample()], FEATURES, Stage.PREDICT))
    assert model.transformer.logit_rows == 0


def test_logits_are_made_at_supervised_places_only() -> None:
    model = make_model(Gad(), Text(), auxiliary=(Goal(),))
    batch = model.assembler([sample(), sample(1)], FEATURES, Stage.TRAIN)
    model(batch)
    assert model.transformer.logit_rows == len(batch.source) < batch.tokens.numel() // 2


def test_the_texts_of_a_gad_sequence() -> None:
    model = make_model(Gad(), Text(), auxiliary=(Past(k=2), Goal()), prompts=COIN)
    batch = model.assembler([sample(frames=range(2), ats=(2,))], FEATURES, Stage.TRAIN)
    slots = [Slot(int(slot)) for slot in batch.slots[0]]
    text = model.assembler.text
    spelt = "".join(
        {Slot.FRAMES: "v", Slot.CLS: "[CLS]", Slot.EOS: "<E>"}.get(slot, text.decode([int(token)]))
        for slot, token in zip(slots, batch.tokens[0], strict=True)
    )
    assert spelt == "What current?\n[vv,vv]\n[CLS]\nAssistant: cut tomato; wash tomato; cut onion; make soup<E>"
    supervised = text.decode([int(token) for token in batch.target])
    assert supervised == ",]\n\nAssistant: cut tomato; wash tomato; cut onion; make soup"
    assert int(batch.target[-1]) == text.eos


def test_a_supervised_token_is_predicted_from_the_one_before_it() -> None:
    """Within the branch, or from the last visible token of the trunk for the first token of a branch."""
    for head in (Gad(), Gad(order="parallel"), Gad(order="generation-first"), Generative()):
        model = make_model(head, Text(), auxiliary=(Goal(),), prompts=COIN)
        batch = model.assembler([sample(frames=range(4), ats=(2, 4)), sample(1)], FEATURES, Stage.TRAIN)
        width = batch.tokens.shape[1]
        followed: set[tuple[int, int]] = set()
        for place, token in zip(batch.source.tolist(), batch.target.tolist(), strict=True):
            row, column = divmod(place, width)
            node = batch.node[row]
            within = [column + 1] if column + 1 < width and node[column + 1] == node[column] else []
            opened = [
                c
                for c in range(1, width)
                if node[c] > 0 and node[c] != node[c - 1] and batch.limit[row, c] - 1 == column
            ]
            assert token in [int(batch.tokens[row, c]) for c in within + opened]
            followed |= {(row, c) for c in within + opened if int(batch.tokens[row, c]) == token}
        spoken = {Slot.CUE, Slot.ANSWER, Slot.AUXILIARY, Slot.EOS}
        written = {(r, c) for r in range(len(batch.tokens)) for c in range(width) if int(batch.slots[r, c]) in spoken}
        assert written <= followed


def test_the_cue_stands_on_a_line_of_its_own() -> None:
    model = make_model(Generative(), Text(), prompts=COIN)
    batch = model.assembler([sample(frames=range(1), ats=(1,))], FEATURES, Stage.TRAIN)
    assert model.assembler.text.decode([int(token) for token in batch.target]) == "]\nAssistant: cut tomato"


@settings(max_examples=30, deadline=None)
@given(chosen=st.lists(samples(), min_size=1, max_size=3), order=st.sampled_from(["discriminative-first", "parallel"]))
def test_visibility(chosen: list[Sample], order: str) -> None:
    """A branch sees the trunk up to its frame and itself; the trunk sees no branch; nobody sees padding or later."""
    model = make_model(Gad(order=order), Text(), prompts=COIN)  # type: ignore[arg-type]
    batch = model.assembler(chosen, FEATURES, Stage.TRAIN)
    mask = batch.mask()
    length = batch.tokens.shape[1]
    seen = (
        torch.ones(length, length, dtype=torch.bool).tril().expand(len(chosen), -1, -1) if mask is None else mask[:, 0]
    )
    for row, one in enumerate(chosen):
        node, limit = batch.node[row], batch.limit[row]
        for i in range(int((node >= 0).sum())):
            for j in range(length):
                allowed = j <= i and (node[i] == node[j] or (node[j] == 0 and j < limit[i]))
                assert bool(seen[row, i, j]) == bool(allowed), (one, i, j)
        branch = node > 0
        frames_seen = {
            int((batch.slots[row][seen[row, i]] == Slot.FRAMES).sum()) // 2 for i in branch.nonzero()[:, 0].tolist()
        }
        assert frames_seen == {query.at for query in one.queries}
        for number in range(1, int(node.max()) + 1):
            own = (node == number).nonzero()[:, 0]
            assert batch.positions[row][own].tolist() == [int(limit[own[0]]) + depth for depth in range(len(own))]


@settings(max_examples=200, deadline=None)
@given(
    frames=st.integers(1, 30),
    tokens=st.integers(1, 3),
    texts=st.sampled_from([("", ""), ("", ","), ("Ask", ""), ("Ask", ", ")]),
    band=st.none() | st.builds(Band, frames=st.integers(1, 12), step=st.integers(1, 6)),
)
def test_a_frame_sees_one_prompt_and_the_latest_frames(
    frames: int, tokens: int, texts: tuple[str, str], band: Band | None
) -> None:
    """Whatever it sees is the sequence of these frames alone, at the same distances."""
    text = Tiny().text(["Ask, "])
    prompt, separator = ([text.bos] if text.bos is not None else []) + text.encode(texts[0]), text.encode(texts[1])
    prompts = {"current": Prompt(texts[0], separator=texts[1])}
    assembler = Assembler(head=Discriminative(), text=text, spaces=SPACES, prompts=prompts)
    features = ArrayFeatures({"r": np.zeros((frames, tokens, 1), np.float32)}, fps=1.0)
    query = Query(frames, {"current": (LabelRef("action", 1),)})
    batch = assembler([Sample("", Clip("r", range(frames)), "current", (query,), band)], features, Stage.PREDICT)
    trunk = (batch.node[0] == TRUNK).nonzero()[:, 0]
    slots, ids, positions = (column[0].numpy() for column in (batch.slots, batch.tokens, batch.positions))
    visible = batch.visible(torch.tensor([0]), torch.arange(batch.tokens.shape[1])[None])[0].numpy()
    firsts = [column for column in trunk.tolist() if slots[column] == Slot.FRAMES][::tokens]
    assert len(firsts) == frames
    for frame, first in enumerate(firsts):
        seen = np.flatnonzero(visible[first + tokens - 1])
        seen = seen[np.argsort(positions[seen])]
        shown = min(frame + 1, band.frames) if band else frame + 1
        between = [*separator, *[0] * tokens]
        assert ids[seen].tolist() == [*prompt, *([0] * tokens), *between * (shown - 1)]
        kinds = [Slot.SEPARATOR] * len(separator) + [Slot.FRAMES] * tokens
        assert slots[seen].tolist() == [Slot.PROMPT] * len(prompt) + [Slot.FRAMES] * tokens + kinds * (shown - 1)
        begins, rest = positions[seen[: len(prompt)]], positions[seen[len(prompt) :]]
        unit, leap = len(between), band.leap(frame) if band else 0
        assert begins.tolist() == list(range(leap * unit, leap * unit + len(prompt)))
        assert rest.tolist() == list(
            range(len(prompt) + (frame + 1 - shown) * unit, len(prompt) + frame * unit + tokens)
        )


def test_one_branch_at_the_end_needs_no_mask() -> None:
    model = make_model(Gad(), Text(), auxiliary=(Goal(),))
    assert model.assembler([sample(), sample(1, range(3), (3,))], FEATURES, Stage.TRAIN).mask() is None
    assert model.assembler([sample(ats=(3,))], FEATURES, Stage.TRAIN).mask() is not None


def test_every_trainable_parameter_gets_a_gradient() -> None:
    for head, labels, auxiliary in HEADS:
        model = make_model(head, labels, auxiliary=auxiliary).train()
        chosen = [sample(label=label, asks=asks) for label in range(4) for asks in ("current", "goal")]
        sum(model(model.assembler(chosen, FEATURES, Stage.TRAIN)).values()).backward()  # type: ignore[union-attr]
        idle = [n for n, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
        assert not idle, (head, idle)


def test_a_clip_of_no_frame_is_refused() -> None:
    assembler = make_model(Discriminative()).assembler
    empty = Sample("none", Clip("r0", range(0)), "current", (Query(1, {}),))
    assert assembler.length(empty, 2) == 0
    with pytest.raises(DataError, match="sample 'none': query at frame 1 of 0"):
        assembler([empty], FEATURES, Stage.PREDICT)
