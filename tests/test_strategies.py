"""What the kit draws is what it says: sound values, and compositions that have no problem."""

from __future__ import annotations

import pytest
from gad_heads.plugin import Discriminative, Gad
from gad_labels.plugin import Text
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gad_core import testing
from gad_core.contracts.values import BRANCH_SLOTS, Codebook, LabelSpace, Layout, Sample, Slot, Stage
from gad_core.discovery.plugins import installed
from gad_core.errors import RegistryError
from gad_core.model.trie import Trie
from gad_core.registry import loads
from gad_core.registry.compatibility import compatibility
from gad_core.registry.experiment import Experiment
from gad_core.testing import Memory, Tiny, codebooks, experiments, label_spaces, layouts, registries, samples
from gad_core.testing.contract import reproduction
from gad_core.testing.strategies import compositions

CORPUS = Memory().open()


@given(space=label_spaces())
def test_label_spaces(space: LabelSpace) -> None:
    assert 2 <= len(space) <= 8
    assert space.background is None or space.background < len(space)


@given(book=codebooks())
def test_codebooks_are_spelt_by_their_tries(book: Codebook) -> None:
    for space, codes in book.codes.items():
        trie = Trie(codes)
        assert [trie.nodes[end].label for end in trie.ends] == list(range(len(codes)))
        assert [book.exact(space, code) for code in codes] == list(range(len(codes)))
    assert 0 <= book.new_rows <= 4


@given(layout=layouts(), predicted=layouts(Stage.PREDICT))
def test_layouts(layout: Layout, predicted: Layout) -> None:
    assert {slot for branch in layout for slot in branch} <= BRANCH_SLOTS
    assert Slot.ANSWER not in {slot for branch in predicted for slot in branch}


@given(sample=samples(asks=("current", "goal")))
def test_samples_lie_in_their_recordings(sample: Sample) -> None:
    length = CORPUS.features.lengths[sample.clip.recording]
    assert 0 <= sample.clip.frames[0] <= sample.clip.frames[-1] < length
    for query in sample.queries:
        assert 1 <= query.at <= len(sample.clip) and query.first(sample.asks) is not None
        assert all(ref.index < len(CORPUS.spaces[name]) for name, refs in query.relations.items() for ref in refs)


@given(text=registries())
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_registries_are_right_or_say_what_is_wrong(text: str) -> None:
    try:
        found = loads(text).experiments
    except RegistryError as error:
        found, told = {}, str(error)
    assert found or told.startswith("registry.yaml:")


@given(data=st.data(), chosen=st.sampled_from([{"head": Gad()}, {"labels": Text()}, {"head": Discriminative()}, {}]))
def test_compositions_have_no_problem_and_hold_what_was_chosen(data: st.DataObject, chosen: dict) -> None:
    experiment = data.draw(compositions(**chosen))
    assert not compatibility(experiment)
    assert all(getattr(experiment, kind) is component for kind, component in chosen.items())


def test_a_failing_example_can_be_run() -> None:
    """What is printed is a registry file of installed components, and the command that runs it."""
    (experiment,) = loads(reproduction_file(Gad())).select([])
    assert experiment.dataset == Memory(width=4) and experiment.backbone == Tiny()


def reproduction_file(head: Gad) -> str:
    told = reproduction(Experiment("drawn", Memory(width=4), Tiny(), head, Text()))
    before, _, file = told.partition(":\n")
    assert "gad run reproduce.yaml" in before
    return file


@given(experiment=experiments())
def test_experiments_are_of_what_is_installed(experiment: Experiment) -> None:
    known = {offer.component for offer in installed().offers}
    assert {type(experiment.dataset), type(experiment.backbone), type(experiment.head)} <= known


def test_every_public_name_is_there() -> None:
    assert all(getattr(testing, name) for name in testing.HOMES)
    with pytest.raises(AttributeError, match="no attribute 'HedContract'"):
        testing.HedContract  # noqa: B018
