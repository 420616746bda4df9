"""What every backbone keeps."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gad_core.contracts.components import Backbone, TextTokenizer
from gad_core.contracts.modules import Transformer
from gad_core.errors import BackboneError
from gad_core.testing.composition import check_works
from gad_core.testing.contract import ComponentContract, few
from gad_core.testing.strategies import WORDS

TEXTS = ("What is the action?\n", "\nAssistant:", ",", "]\n", *(f" {word}" for word in WORDS))
LENGTH = 9
TRUNK, FORK = 4, 6
"""A tree of 9 tokens: a trunk of 4, a branch of 2, a branch of 3."""


class BackboneContract(ComponentContract):
    """A backbone is built from a seed and read as what it promises: a causal language model with a mask and positions.

    `tolerance` is how far states may differ by rounding; a backbone in half precision needs more.
    """

    kind = "backbone"
    tolerance: ClassVar[float] = 1e-4

    @pytest.fixture(scope="class")
    @classmethod
    def text(cls, made: Backbone) -> TextTokenizer:
        """The tokenizer."""
        return made.text(TEXTS)

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, made: Backbone, text: TextTokenizer) -> Transformer:
        """The model, not adapted."""
        return made.build(text, 0).eval()

    def same(self, found: Tensor, expected: Tensor) -> None:
        """Equal but for rounding."""
        torch.testing.assert_close(found.float(), expected.float(), rtol=self.tolerance, atol=self.tolerance)

    # -------------------------------------------------------------------------------------------------------- text

    @few
    @given(chosen=st.lists(st.sampled_from(TEXTS), min_size=1, max_size=4).map("".join))
    def test_text_comes_back(self, text: TextTokenizer, chosen: str) -> None:
        """Ids are of the vocabulary, none is special, and they decode to the text."""
        ids = text.encode(chosen)
        assert ids == text.encode(chosen) and all(0 <= token < text.vocabulary for token in ids)
        assert not set(ids) & text.special
        assert text.decode(ids) == chosen

    def test_special_ids_are_no_text(self, text: TextTokenizer) -> None:
        """Ends are special, stand for no text, and cannot be spelt."""
        assert text.eos in text.special and (text.bos is None or text.bos in text.special)
        assert all(0 <= token < text.vocabulary for token in text.special)
        assert text.decode([text.eos]) == ""
        for spelling in ("<|eot_id|>", "<|begin_of_text|>", "</s>", "<s>", "<eos>", "<bos>", "<|im_end|>"):
            assert not set(text.encode(spelling)) & text.special, spelling

    def test_the_vocabulary_is_the_same_every_time(self, made: Backbone, text: TextTokenizer) -> None:
        again = made.text(tuple(reversed(TEXTS)))
        assert (again.vocabulary, again.bos, again.eos, again.special) == (
            text.vocabulary, text.bos, text.eos, text.special,
        )  # fmt: skip
        assert [again.encode(one) for one in TEXTS] == [text.encode(one) for one in TEXTS]

    # ------------------------------------------------------------------------------------------------------ states

    def test_shapes(self, model: Transformer, text: TextTokenizer) -> None:
        """(…,) ids → (…, H) embeddings → (B, L, H) states → (N, V) logits."""
        assert model.vocabulary == text.vocabulary
        assert model.embed(torch.tensor(3)).shape == (model.hidden_size,)
        embeddings, positions = inputs(model)
        states = model(embeddings, None, positions)
        assert states.shape == (2, LENGTH, model.hidden_size) and torch.isfinite(states).all()
        assert model.logits(states[0]).shape == (LENGTH, model.vocabulary)

    def test_no_mask_is_the_causal_mask(self, model: Transformer) -> None:
        embeddings, positions = inputs(model)
        causal = torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril().expand(2, 1, LENGTH, LENGTH)
        self.same(model(embeddings, None, positions), model(embeddings, causal, positions))

    def test_later_tokens_and_padding_change_nothing(self, model: Transformer) -> None:
        """Padding stands on the right."""
        embeddings, positions = inputs(model)
        padded = embeddings.clone()
        padded[:, 6:] = 3.0
        elsewhere = positions.clone()
        elsewhere[:, 6:] = 0
        states = model(embeddings[:, :6], None, positions[:, :6])
        self.same(model(padded, None, positions)[:, :6], states)
        mask = torch.eye(LENGTH, dtype=torch.bool) | (
            torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril() & (torch.arange(LENGTH) < 6)
        )
        self.same(model(padded, mask.expand(2, 1, LENGTH, LENGTH), elsewhere)[:, :6], states)

    def test_rows_are_apart(self, model: Transformer) -> None:
        embeddings, positions = inputs(model)
        self.same(model(embeddings, None, positions)[1:], model(embeddings[1:], None, positions[1:]))

    def test_a_branch_in_a_tree_is_the_branch_alone(self, model: Transformer) -> None:
        """Whom the mask bars is not seen, and position ids are taken as they are given."""
        embeddings, plain = inputs(model)
        mask, positions = tree()
        both = model(embeddings, mask, positions)
        alone = torch.cat([embeddings[:, :TRUNK], embeddings[:, FORK:]], dim=1)
        self.same(both[:, :FORK], model(embeddings[:, :FORK], None, plain[:, :FORK]))
        self.same(both[:, FORK:], model(alone, None, plain[:, : alone.shape[1]])[:, TRUNK:])

    def test_position_ids_are_used(self, model: Transformer) -> None:
        embeddings, positions = inputs(model)
        swapped = positions.clone()
        swapped[:, [1, 5]] = positions[:, [5, 1]]
        causal = torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril().expand(2, 1, LENGTH, LENGTH)
        states = model(embeddings, causal, positions)
        assert not torch.allclose(states[:, -1], model(embeddings, causal, swapped)[:, -1], atol=1e-5)

    @pytest.mark.parametrize("branches", [False, True])
    def test_a_cache_changes_nothing(self, model: Transformer, branches: bool) -> None:
        """Tokens handed over in parts see what was cached as if they had come at once."""
        embeddings, positions = inputs(model)
        mask = torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril().expand(2, 1, LENGTH, LENGTH)
        if branches:
            mask, positions = tree()
        cache, parts = model.make_cache(), []
        for start, stop in [(0, 4), (4, 5), (5, LENGTH)]:
            part = mask[:, :, start:stop, :stop]
            parts.append(model(embeddings[:, start:stop], part, positions[:, start:stop], cache))
        self.same(torch.cat(parts, dim=1), model(embeddings, mask, positions))

    @pytest.mark.parametrize("branches", [False, True])
    def test_states_that_are_read_are_the_same(self, model: Transformer, branches: bool) -> None:
        """What is left out where few columns are read changes nothing at those, nor for the tokens that come next."""
        embeddings, positions = inputs(model)
        mask = None
        if branches:
            mask, positions = tree()
        rows, read = torch.arange(2)[:, None], torch.tensor([[LENGTH - 1, 0, 3], [2, FORK, 1]])
        whole, sparing = model.make_cache(), model.make_cache()
        states = model(embeddings, mask, positions, whole)
        found = model(embeddings, mask, positions, sparing, read)
        assert found.shape == states.shape and torch.isfinite(found).all()
        self.same(found[rows, read], states[rows, read])
        sees = torch.ones(2, 1, 1, LENGTH + 1, dtype=torch.bool)
        following = embeddings[:, :1], sees, positions[:, -1:] + 1
        self.same(model(*following, sparing), model(*following, whole))

    def test_a_ring_is_a_cache(self, model: Transformer) -> None:
        """Keys and values at places that are told are what they are in a row; a backbone without a ring says so."""
        try:
            ring = model.make_ring(LENGTH + 2)
        except BackboneError as error:
            pytest.skip(f"there is no ring: {error.message}")
        embeddings, _ = inputs(model)
        causal, positions = tree()
        places = (3 * torch.arange(LENGTH) + 1) % (LENGTH + 2)
        mask = torch.zeros(2, 1, LENGTH, LENGTH + 2, dtype=torch.bool)
        mask[..., places] = causal
        parts = []
        for start, stop in [(0, 4), (4, 5), (5, LENGTH)]:
            ring.at(places[start:stop])
            part = mask[:, :, start:stop]
            parts.append(model(embeddings[:, start:stop], part, positions[:, start:stop], ring))
        self.same(torch.cat(parts, dim=1), model(embeddings, causal, positions))

    # ----------------------------------------------------------------------------------------------------- weights

    def test_equal_seeds_are_equal(self, made: Backbone, text: TextTokenizer, model: Transformer) -> None:
        """Weights come from the seed alone and disturb nobody's draws."""
        torch.manual_seed(11)
        expected = torch.rand(1)
        torch.manual_seed(11)
        again = made.build(text, 0).state_dict()
        assert torch.equal(torch.rand(1), expected)
        assert again.keys() == model.state_dict().keys()
        assert all(torch.equal(weight, again[name]) for name, weight in model.state_dict().items())

    @pytest.mark.parametrize("lm_head", [False, True])
    def test_adapting_changes_no_state(self, made: Backbone, text: TextTokenizer, lm_head: bool) -> None:
        """What is attached starts as nothing."""
        model = made.build(text, 0).eval()
        embeddings, positions = inputs(model)
        states = model(embeddings, None, positions)
        logits = model.logits(states[0])
        model.adapt(lm_head=lm_head)
        self.same(model.eval()(embeddings, None, positions), states)
        self.same(model.logits(states[0]), logits)

    def test_merging_is_for_a_while(self, made: Backbone, text: TextTokenizer) -> None:
        """Folded into the weights or not, adapters do the same; afterwards every weight is bit-equal to before."""
        model = made.build(text, 0)
        model.adapt(lm_head=True)
        model.eval()
        stir(model)
        before = {name: weight.clone() for name, weight in model.state_dict().items()}
        embeddings, positions = inputs(model)
        states = model(embeddings, None, positions)
        with model.merged():
            self.same(model(embeddings, None, positions), states)
        assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())

    @pytest.mark.parametrize("lm_head", [False, True])
    def test_all_that_is_trainable_is_used(self, made: Backbone, text: TextTokenizer, lm_head: bool) -> None:
        """A loss over states, and over logits where they are used, reaches every trainable weight and no other."""
        model = made.build(text, 0)
        model.adapt(lm_head=lm_head)
        model.eval()
        trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        assert trained
        stir(model)
        states = model(model.embed(ids(model)), None, torch.arange(LENGTH).expand(2, LENGTH))
        loss = states.float().cos().sum() + (model.logits(states[0]).float().cos().sum() if lm_head else 0.0)
        loss.backward()
        assert not [name for name, weight in trained.items() if weight.grad is None or not weight.grad.any()]

    @few
    @given(data=st.data())
    def test_it_works_in_compositions(self, made: Backbone, data: st.DataObject) -> None:
        """Any head trains a step on it and predicts."""
        check_works(self.compose(data, backbone=made))


def ids(model: Transformer) -> Tensor:
    """Token ids (2, LENGTH)."""
    return torch.arange(2 * LENGTH).reshape(2, LENGTH) % (model.vocabulary - 2) + 2


def inputs(model: Transformer) -> tuple[Tensor, Tensor]:
    """Embeddings (2, LENGTH, H) and plain positions (2, LENGTH)."""
    return model.embed(ids(model)).detach(), torch.arange(LENGTH).expand(2, LENGTH)


def stir(model: Transformer) -> None:
    """Moves every trainable weight a little: an adapter whose second half is zero has no gradient in its first."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(0.02 * torch.randn(weight.shape, generator=generator).to(weight.dtype))


def tree() -> tuple[Tensor, Tensor]:
    """The mask (2, 1, L, L) and positions (2, L) of a trunk with two branches at its end."""
    mask = torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril()
    mask[FORK:, TRUNK:FORK] = False
    positions = torch.cat([torch.arange(FORK), TRUNK + torch.arange(LENGTH - FORK)])
    return mask.expand(2, 1, LENGTH, LENGTH), positions.expand(2, LENGTH)
