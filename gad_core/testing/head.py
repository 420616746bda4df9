"""What every head keeps."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gad_core.contracts.batch import Batch
from gad_core.contracts.components import Head
from gad_core.contracts.probabilities import Scoring
from gad_core.contracts.values import BRANCH_SLOTS, LabelRef, Sample, Slot, Stage
from gad_core.data.features import ArrayFeatures
from gad_core.runs.checkpoint import labels_record, load_weights, read_labels, same_codes, save_checkpoint
from gad_core.testing.composition import Composition, check_scores, composed
from gad_core.testing.contract import ComponentContract, few
from gad_core.testing.strategies import samples
from gad_core.testing.tiny_model import TinyTransformer


class HeadContract(ComponentContract):
    """A head is composed with gad's own label tokenizers and auxiliary tasks, a tiny backbone and data in memory.

    `tolerance` is how far scores may differ by rounding.
    """

    kind = "head"
    tolerance: ClassVar[float] = 1e-4

    def same(self, found: Tensor, expected: Tensor) -> None:
        """Equal but for rounding."""
        torch.testing.assert_close(found, expected, rtol=self.tolerance, atol=self.tolerance)

    def drawn(self, data: st.DataObject, composition: Composition, least: int = 1) -> list[Sample]:
        """A few samples of any length, some with several queries."""
        corpus = composition.corpus
        asks = sorted(composition.experiment.dataset.asks())
        one = samples(corpus.spaces, corpus.features.lengths, asks=asks)
        return data.draw(st.lists(one, min_size=least, max_size=4))

    def test_it_says_what_its_scores_are(self, made: Head) -> None:
        assert made.scoring in get_args(Scoring)

    # ------------------------------------------------------------------------------------------------------ layout

    def test_layout_is_of_branch_slots(self, made: Head) -> None:
        for stage in Stage:
            layout = made.layout(stage)
            assert isinstance(layout, tuple) and all(isinstance(branch, tuple) and branch for branch in layout)
            assert {slot for branch in layout for slot in branch} <= BRANCH_SLOTS
            assert made.layout(stage) == layout

    def test_prediction_lays_out_no_label(self, made: Head) -> None:
        """Nobody knows the label then."""
        assert not {Slot.ANSWER, Slot.AUXILIARY} & {slot for branch in made.layout(Stage.PREDICT) for slot in branch}

    def test_what_prediction_reads_was_trained(self, made: Head) -> None:
        """Each branch of prediction opens a branch of training, so that its states mean the same."""
        trained = made.layout(Stage.TRAIN)
        for branch in made.layout(Stage.PREDICT):
            assert any(one[: len(branch)] == branch for one in trained), f"no training branch opens with {branch}"

    # ---------------------------------------------------------------------------------------------------- training

    @few
    @given(data=st.data())
    def test_a_step_reaches_every_weight(self, made: Head, data: st.DataObject) -> None:
        """Losses are finite, every trainable parameter has a gradient, and a small step along it lowers the loss."""
        composition = self.compose(data, head=made)
        model, chosen = composition.model.eval(), composition.some("train", 12)
        losses = composition.losses(chosen)
        assert losses and all(loss.ndim == 0 for loss in losses.values())
        total = torch.stack(list(losses.values())).sum()
        assert torch.isfinite(total), losses
        total.backward()
        weights = [(name, model.get_parameter(name)) for name in model.trainable]
        assert not [name for name, weight in weights if weight.grad is None or not weight.grad.any()]
        length = torch.stack([weight.grad.norm() for _, weight in weights if weight.grad is not None]).norm()
        with torch.no_grad():
            for _, weight in weights:
                assert weight.grad is not None
                weight.sub_(0.01 * weight.grad / length)
        assert float(torch.stack(list(composition.losses(chosen).values())).sum().detach()) < float(total.detach())

    @few
    @given(data=st.data())
    def test_losses_are_means_over_queries(self, made: Head, data: st.DataObject) -> None:
        """The losses of a batch are those of its samples, weighted by queries: doubling it changes nothing."""
        composition = self.compose(data, head=made)
        composition.model.eval()
        chosen = self.drawn(data, composition)
        together, doubled = composition.losses(chosen), composition.losses(chosen * 2)
        alone = [(len(one.queries), composition.losses([one])) for one in chosen]
        for name, loss in together.items():
            self.same(doubled[name], loss)
            parts = torch.stack([count * losses[name] for count, losses in alone if name in losses])
            self.same(parts.sum() / sum(count for count, _ in alone), loss)

    @few
    @given(data=st.data())
    def test_it_reads_where_it_says(self, made: Head, data: st.DataObject) -> None:
        """A head that does not read everywhere reads at `Batch.read` alone: elsewhere states may be wrong."""
        composition = self.compose(data, head=made)
        model = composition.model.eval()
        trained, asked = self.drawn(data, composition), self.drawn(data, composition)
        losses, scores = composition.losses(trained), composition.scores(asked)
        model.head.reads_everywhere = True
        for name, loss in composition.losses(trained).items():
            self.same(losses[name], loss)
        self.same(scores, composition.scores(asked))

    @few
    @given(data=st.data())
    def test_mixed_precision_works(self, made: Head, data: st.DataObject) -> None:
        composition = self.compose(data, head=made)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            losses = composition.losses(composition.some("train", 4))
            assert all(torch.isfinite(loss) for loss in losses.values())
            composition.model.eval()
            check_scores(composition, composition.some("test", 2))

    # -------------------------------------------------------------------------------------------------- prediction

    @few
    @given(data=st.data())
    def test_scores_are_those_of_the_label_space(self, made: Head, data: st.DataObject) -> None:
        composition = self.compose(data, head=made)
        composition.model.eval()
        check_scores(composition, self.drawn(data, composition))

    @few
    @given(data=st.data())
    def test_alone_is_as_in_a_batch(self, made: Head, data: st.DataObject) -> None:
        """Neither padding nor the order of a batch changes a score."""
        composition = self.compose(data, head=made)
        composition.model.eval()
        chosen = self.drawn(data, composition, least=2)
        together = composition.scores(chosen).split([len(one.queries) for one in chosen])
        for one, scores in zip(chosen, together, strict=True):
            self.same(scores, widened(composition.scores([one]), scores.shape[1]))
        backwards = composition.scores(chosen[::-1]).split([len(one.queries) for one in chosen[::-1]])
        for scores, again in zip(together, backwards[::-1], strict=True):
            self.same(again, scores)

    @few
    @given(data=st.data())
    def test_several_queries_are_one_at_a_time(self, made: Head, data: st.DataObject) -> None:
        """A clip asked at several frames is the clips that end there, each asked once."""
        composition = self.compose(data, head=made)
        composition.model.eval()
        (dense,) = self.drawn(data, composition)[:1]
        frames = dense.clip.frames
        single = [
            replace(dense, clip=replace(dense.clip, frames=frames[: query.at]), queries=(query,))
            for query in dense.queries
        ]
        self.same(composition.scores([dense]), torch.cat([composition.scores([one]) for one in single]))

    @few
    @given(data=st.data())
    def test_no_label_is_seen(self, made: Head, data: st.DataObject) -> None:
        """Scores are the same whatever the truth is, and where none is known."""
        composition = self.compose(data, head=made)
        composition.model.eval()
        chosen = self.drawn(data, composition)
        scores = composition.scores(chosen)
        self.same(composition.scores([relabelled(one, composition) for one in chosen]), scores)
        self.same(composition.scores([unlabelled(one) for one in chosen]), scores)

    @few
    @given(data=st.data())
    def test_no_later_frame_is_seen(self, made: Head, data: st.DataObject) -> None:
        """Frames behind a query's own change nothing."""
        composition = self.compose(data, head=made)
        model = composition.model.eval()
        (one,) = self.drawn(data, composition)[:1]
        earliest = replace(one, queries=(min(one.queries, key=lambda query: query.at),))
        later = slice(earliest.queries[0].at, None)
        self.same(model.predict(shown(composition, earliest, later)), composition.scores([earliest]))

    @few
    @given(data=st.data())
    def test_the_latest_frame_is_seen(self, made: Head, data: st.DataObject) -> None:
        """A query is read from a state that depends on the query's own frame."""
        composition = self.compose(data, head=made)
        model = composition.model.eval()
        (one,) = self.drawn(data, composition)[:1]
        first = replace(one, queries=one.queries[:1])
        own = slice(first.queries[0].at - 1, first.queries[0].at)
        batches = shown(composition, first, slice(0)), shown(composition, first, own)
        before, after = (model.states(batch).flatten(0, 1)[batch.places] for batch in batches)
        assert not torch.equal(before, after)

    @few
    @given(data=st.data())
    def test_prediction_ignores_what_only_training_hangs(self, made: Head, data: st.DataObject) -> None:
        """Scores read from a training batch, labels and all, are those of prediction: text follows what is read.

        A head that writes in order to predict reads its own text instead.
        """
        if writes_to_predict(made):
            pytest.skip("it reads the text that it writes in prediction")
        composition = self.compose(data, head=made)
        model = composition.model.eval()
        chosen = [relabelled(one, composition) for one in self.drawn(data, composition)]
        training = model.assembler(chosen, composition.corpus.features, Stage.TRAIN)
        prediction = model.assembler(chosen, composition.corpus.features, Stage.PREDICT)
        training = replace(training, targets=prediction.targets)
        self.same(model.predict(training), model.predict(prediction))

    @few
    @given(data=st.data())
    def test_the_output_projection_is_for_writing(self, made: Head, data: st.DataObject) -> None:
        """A head that does not write never asks for logits, nor does one whose prediction opens no cue."""
        if writes_to_predict(made):
            pytest.skip("it writes in prediction")
        composition = self.compose(data, head=made)
        transformer = composition.model.transformer
        assert isinstance(transformer, TinyTransformer)
        if not made.speaks:
            composition.losses(composition.some("train", 4))
        composition.model.eval()
        composition.scores(composition.some("test", 4))
        assert transformer.logit_rows == 0

    # ----------------------------------------------------------------------------------------------------- keeping

    @few
    @given(data=st.data())
    def test_equal_seeds_are_equal(self, made: Head, data: st.DataObject) -> None:
        """Weights and scores come from the seed alone."""
        first = self.compose(data, head=made)
        torch.rand(3)
        again = composed(first.experiment)
        for name, weight in first.model.state_dict().items():
            assert torch.equal(weight, again.model.state_dict()[name]), name
        first.model.eval()
        again.model.eval()
        chosen = self.drawn(data, first)
        assert torch.equal(first.scores(chosen), again.scores(chosen))

    @few
    @given(data=st.data())
    def test_a_checkpoint_brings_it_back(self, made: Head, data: st.DataObject) -> None:
        """Saved after a step and loaded into a fresh model, it scores bit-equally."""
        trained = self.compose(data, head=made)
        torch.stack(list(trained.losses(trained.some("train", 6)).values())).sum().backward()
        torch.optim.SGD([trained.model.get_parameter(name) for name in trained.model.trainable], lr=0.1).step()
        fresh = composed(trained.experiment)
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "last"
            save_checkpoint(trained.model, labels_record(trained.model, width=4, tokens=1, fps=1.0), place)
            writing = fresh.model.assembler.writing
            same_codes(read_labels(place), writing.codebook if writing else None, place)
            load_weights(fresh.model, place)
        trained.model.eval()
        fresh.model.eval()
        chosen = self.drawn(data, trained)
        assert torch.equal(fresh.scores(chosen), trained.scores(chosen))


def writes_to_predict(head: Head) -> bool:
    """Whether prediction opens a cue, behind which the head writes text."""
    return any(Slot.CUE in branch for branch in head.layout(Stage.PREDICT))


def shown(composition: Composition, sample: Sample, changed: slice) -> Batch:
    """The prediction batch of a sample some of whose frames show something else."""
    features = composition.corpus.features
    array = features.read(sample.clip.recording, sample.clip.frames).copy()
    array[changed] = 7.0
    clip = replace(sample.clip, frames=range(len(array)))
    other = ArrayFeatures({clip.recording: array}, fps=features.fps)
    return composition.model.assembler([replace(sample, clip=clip)], other, Stage.PREDICT)


def widened(scores: Tensor, width: int) -> Tensor:
    """Scores with -inf up to `width` columns."""
    return torch.nn.functional.pad(scores, (0, width - scores.shape[1]), value=-torch.inf)


def relabelled(sample: Sample, composition: Composition) -> Sample:
    """The same sample with another label wherever there is one."""
    spaces = {space.name: space for space in composition.corpus.spaces.values()}

    def other(refs: Sequence[LabelRef]) -> tuple[LabelRef, ...]:
        return tuple(LabelRef(ref.space, (ref.index + 1) % len(spaces[ref.space])) for ref in refs)

    changed = tuple(
        replace(query, relations={relation: other(refs) for relation, refs in query.relations.items()})
        for query in sample.queries
    )
    return replace(sample, queries=changed)


def unlabelled(sample: Sample) -> Sample:
    """The same sample as somebody asks it who knows no label."""
    return replace(sample, queries=tuple(replace(query, relations={}, weight=1.0) for query in sample.queries))
