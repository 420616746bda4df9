"""Decoding to a closed set: the fast ways equal scoring each label alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
from gad_heads.plugin import Generative
from gad_labels.plugin import Desynchronised, RandomConsistent, Text, UniqueToken
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein
from test_sequence import ACTIONS, COIN, FEATURES, PLAIN, make_model, sample

from gad_core.contracts.values import LabelSpace, Prompt, Stage
from gad_core.model.action_model import ActionModel
from gad_core.model.decoding import _Search, nearest
from gad_core.model.language import LanguageModel
from gad_core.model.trie import Trie

TOKENIZERS = [Text(), RandomConsistent(), Desynchronised(), UniqueToken()]


def likelihoods(model: ActionModel, asked) -> torch.Tensor:
    """log p(code, EOS) of every label, each written out behind the prompt in a sequence of its own."""
    assembler = model.assembler
    assert assembler.writing is not None
    found = []
    for index in range(len(ACTIONS)):
        batch = assembler(
            [sample(frames=asked.clip.frames, ats=(asked.queries[0].at,), label=index)], FEATURES, Stage.TRAIN
        )
        code = len(assembler.writing.codebook.codes["action"][index]) + 1
        states = model.states(batch).flatten(0, 1)[batch.source[-code:]]
        log_p = LanguageModel(model, batch).logits(states).log_softmax(-1)
        found.append(log_p.gather(1, batch.target[-code:, None]).sum())
    return torch.stack(found)


@pytest.mark.parametrize("prompts", [PLAIN, COIN], ids=["plain", "coin"])
@pytest.mark.parametrize("labels", TOKENIZERS, ids=lambda tokenizer: tokenizer.name)
def test_score_all_equals_label_by_label(labels, prompts) -> None:
    model = make_model(Generative(decoding="score-all"), labels, prompts=prompts)
    asked = sample(frames=range(5), ats=(5,))
    scores = model.predict(model.assembler([asked, sample(1)], FEATURES, Stage.PREDICT))
    with torch.no_grad():
        torch.testing.assert_close(scores[0], likelihoods(model, asked), rtol=1e-4, atol=1e-4)


def test_score_all_goes_through_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model(Generative(decoding="score-all"), Text())
    batch = model.assembler([sample(), sample(1)], FEATURES, Stage.PREDICT)
    whole = model.predict(batch)
    monkeypatch.setattr("gad_core.model.decoding.NODES_AT_ONCE", 3)
    monkeypatch.setattr("gad_core.model.decoding.LOGITS_AT_ONCE", 1)
    torch.testing.assert_close(model.predict(batch), whole, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("labels", TOKENIZERS, ids=lambda tokenizer: tokenizer.name)
@pytest.mark.parametrize("at_once", [1, 3])
def test_the_likeliest_label_is_found_without_looking_at_all(labels, at_once: int, monkeypatch) -> None:
    model = make_model(Generative(decoding="score-all"), labels)
    with torch.no_grad():  # logits that tell labels apart, so that some need no look
        model.transformer.embedding.weight.mul_(4)  # type: ignore[union-attr]
    batch = model.assembler([sample(row) for row in range(3)], FEATURES, Stage.PREDICT)
    whole = model.predict(batch)
    monkeypatch.setattr("gad_core.model.decoding.NODES_AT_MOST", 0)
    monkeypatch.setattr("gad_core.model.decoding.FOLLOWED_AT_ONCE", at_once)
    found = model.predict(batch)
    assert torch.equal(found.argmax(1), whole.argmax(1))
    reached = torch.isfinite(found)
    torch.testing.assert_close(found[reached], whole[reached], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("labels", TOKENIZERS[:3], ids=lambda tokenizer: tokenizer.name)
def test_a_search_goes_on_until_every_query_is_certain(labels, monkeypatch: pytest.MonkeyPatch) -> None:
    """Side by side, queries that need few passes and queries that need many find what each finds alone."""
    model = make_model(Generative(decoding="score-all"), labels)
    with torch.no_grad():  # frames that make a difference, so that some queries are certain sooner
        for parameter in (*model.connector.parameters(), *model.transformer.lm_head.parameters()):  # type: ignore[union-attr]
            parameter.mul_(8)
    asked = [sample(row, range(start, start + 4), (4,)) for row in range(3) for start in range(0, 8, 2)]
    whole = model.predict(model.assembler(asked, FEATURES, Stage.PREDICT))
    monkeypatch.setattr("gad_core.model.decoding.NODES_AT_MOST", 0)
    monkeypatch.setattr("gad_core.model.decoding.FOLLOWED_AT_ONCE", 1)
    passes, follow = [0], _Search.follow

    def counted(search: _Search, nodes: np.ndarray) -> None:
        passes[-1] += 1
        follow(search, nodes)

    monkeypatch.setattr(_Search, "follow", counted)
    for number, one in enumerate(asked):
        alone = model.predict(model.assembler([one], FEATURES, Stage.PREDICT))[0]
        assert int(alone.argmax()) == int(whole[number].argmax())
        passes.append(0)
    together = model.predict(model.assembler(asked, FEATURES, Stage.PREDICT))
    assert min(passes[:-1]) < max(passes[:-1]) == passes[-1]
    assert torch.equal(together.argmax(1), whole.argmax(1))
    torch.testing.assert_close(together.amax(1), whole.amax(1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("labels", TOKENIZERS, ids=lambda tokenizer: tokenizer.name)
def test_trie_follows_the_likeliest_choice_at_every_fork(labels) -> None:
    model = make_model(Generative(decoding="trie"), labels)
    codes = model.assembler.writing.codebook.codes["action"]  # type: ignore[union-attr]
    for row in range(3):
        asked = sample(row)
        scores = model.predict(model.assembler([asked], FEATURES, Stage.PREDICT))[0]
        prefix: tuple[int, ...] = ()
        total = 0.0
        while True:
            options = sorted(
                {code[len(prefix)] for code in codes if code[: len(prefix)] == prefix and len(code) > len(prefix)}
            )
            if prefix in codes:
                options.append(model.assembler.text.eos)
            log_p = _next(model, asked, prefix)[options].log_softmax(0)
            chosen = options[int(log_p.argmax())]
            total += float(log_p.max())
            if chosen == model.assembler.text.eos:
                break
            prefix += (chosen,)
        assert int(scores.argmax()) == codes.index(prefix)
        assert float(scores.max()) == pytest.approx(total, abs=1e-4)
        assert torch.isinf(scores).sum() == len(codes) - 1


def _next(model: ActionModel, asked, prefix: tuple[int, ...]) -> torch.Tensor:
    """Logits behind the cue and a prefix, in one uncached forward."""
    batch = model.assembler([asked], FEATURES, Stage.PREDICT)
    inputs = torch.cat([model.embeddings(batch), model.embed(torch.tensor([prefix], dtype=torch.int64))], dim=1)
    positions = torch.arange(inputs.shape[1])[None]
    with torch.no_grad():
        states = model.transformer(inputs, None, positions)
        return LanguageModel(model, batch).logits(states[0, -1:])[0]


def test_free_decoding_names_the_nearest_label() -> None:
    model = make_model(Generative(decoding="free"), Text())
    lm = LanguageModel(model, model.assembler([sample()], FEATURES, Stage.PREDICT))
    answer = tuple(model.assembler.text.encode(" Wash tomatos."))
    assert nearest(lm, answer, ACTIONS) == (ACTIONS.labels.index("wash tomato"), 1)
    far = "zzzzzzzzzzzzzzzzzzzzzz"
    label, distance = nearest(lm, tuple(model.assembler.text.encode(far)), ACTIONS)
    distances = {name: Levenshtein.distance(far, name) for name in ACTIONS.labels}
    assert distance == min(distances.values())
    assert ACTIONS.labels[label] == min(name for name, one in distances.items() if one == distance)


SPACE = LabelSpace(
    "action",
    ("BackGround", "CleanAndJerk", "CliffDiving", "Diving"),
    ("background", "clean and jerk", "Cliff diving.", "diving"),
    background=0,
)


def read_back(written: str, space: LabelSpace, *, keep_lead: bool = False) -> str:
    """The label that free decoding takes for what was written."""
    lm = SimpleNamespace(
        codebook=SimpleNamespace(readable=True),
        text=lambda ids: written,
        prompt=lambda name: Prompt("", keep_lead=keep_lead),
    )
    return space.labels[nearest(cast(LanguageModel, lm), (), space)[0]]


@pytest.mark.parametrize(
    ("written", "label"),
    [
        (" clean and jerk", "CleanAndJerk"),
        (" Clean and jerk. ", "CleanAndJerk"),
        (" clean and", "CleanAndJerk"),  # the name "CleanAndJerk" is 6 edits away, "diving" too
        (" cliff", "Diving"),  # 6 edits to "diving", 7 to "cliff diving"
        (" cliff d", "CliffDiving"),
        ("", "Diving"),
    ],
)
def test_free_decoding_compares_written_forms(written: str, label: str) -> None:
    assert read_back(written, SPACE) == label


@pytest.mark.parametrize("names", [("BackGround", "add egg"), ("Background", "aDD egg"), ("ZZ", "AA")])
def test_equally_near_labels_are_ordered_by_their_written_forms(names: tuple[str, str]) -> None:
    """A capital in a name moves nothing to the front: "bcd" and "abc" are both one edit from "bc"."""
    for order in ((0, 1), (1, 0)):
        forms = ("bcd", "abc")
        space = LabelSpace("action", tuple(names[n] for n in order), tuple(forms[n] for n in order))
        assert read_back("bc", space) == names[1]


@given(
    written=st.lists(st.integers(0, 2), max_size=3).map(tuple),
    forms=st.lists(st.text("ab", min_size=1, max_size=3), min_size=2, max_size=6, unique=True),
    readable=st.booleans(),
    data=st.data(),
)
def test_of_equally_near_labels_the_first_in_the_alphabet_is_taken(
    written: tuple[int, ...], forms: list[str], readable: bool, data: st.DataObject
) -> None:
    """Whatever order the label space has, and whether texts are compared or codes that say nothing."""
    code = st.lists(st.integers(0, 2), min_size=1, max_size=3).map(tuple)
    codes = {form: data.draw(code) for form in forms}
    text = "".join("abc"[token] for token in written)
    distances = {
        form: Levenshtein.distance(text, form) if readable else Levenshtein.distance(written, codes[form])
        for form in forms
    }
    space = LabelSpace("action", tuple(f"N{99 - number}" for number in range(len(forms))), tuple(forms))
    lm = SimpleNamespace(
        codebook=SimpleNamespace(readable=readable, codes={"action": [codes[form] for form in forms]}),
        text=lambda ids: text,
        prompt=lambda name: Prompt(""),
    )
    label, distance = nearest(cast(LanguageModel, lm), written, space)
    assert distance == min(distances.values())
    assert forms[label] == min(form for form in forms if distances[form] == distance)


@given(
    written=st.text("ab .", max_size=6),
    forms=st.lists(st.text("ab ", min_size=1, max_size=5), min_size=2, max_size=5, unique_by=lambda form: form.strip()),
    keep_lead=st.booleans(),
)
def test_free_decoding_is_the_authors_rule(written: str, forms: list[str], keep_lead: bool) -> None:
    """REFERENCE, "Decoding to the closed set"; COIN's code strips nothing in front."""
    forms = [form.strip() for form in forms]
    space = LabelSpace("step", tuple(f"N{99 - n}" for n in range(len(forms))), tuple(f.capitalize() for f in forms))
    answer = (written if keep_lead else written.strip()).rstrip(". ").lower()
    choices = sorted(forms)
    scores = [-Levenshtein.distance(answer, choice) for choice in choices]
    nearest_form = choices[scores.index(max(scores))]
    assert read_back(written, space, keep_lead=keep_lead) == space.labels[forms.index(nearest_form)]


def test_the_leading_blank_decides_between_labels() -> None:
    space = LabelSpace("step", ("a b", "ab c"), ("A b.", "Ab c."))
    assert read_back(" b", space) == "a b" and read_back(" b c", space) == "ab c"
    tie = LabelSpace("step", ("aa", "z ab"))
    assert (read_back(" ab", tie), read_back(" ab", tie, keep_lead=True)) == ("aa", "z ab")


@pytest.mark.parametrize("decoding", ["free", "trie"])
def test_a_decoded_answer_is_the_only_label_with_a_score(decoding) -> None:
    model = make_model(Generative(decoding=decoding), Text())
    scores = model.predict(model.assembler([sample(row) for row in range(3)], FEATURES, Stage.PREDICT))
    assert torch.isfinite(scores).sum(1).tolist() == [1, 1, 1]


def test_a_trie_knows_which_label_opens_another() -> None:
    trie = Trie([(1,), (1, 2), (3, 4)])
    assert trie.opened_by_another() == [0]
    assert [trie.nodes[place].label for place in trie.ends] == [0, 1, 2]
