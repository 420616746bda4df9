"""What every auxiliary task keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gad_core.contracts.components import AuxiliaryTask, Dataset
from gad_core.contracts.values import LabelSpace, Query
from gad_core.testing.composition import check_works
from gad_core.testing.contract import ComponentContract, few
from gad_core.testing.corpus import Memory
from gad_core.testing.strategies import queries


class AuxiliaryTaskContract(ComponentContract):
    """An auxiliary task is asked about drawn queries of `dataset`, then trained beside gad's own heads.

    `dataset` supplies the relations it needs; give another where those of `Memory` do not do.
    """

    kind = "auxiliary"
    dataset: ClassVar[Dataset] = Memory(width=4)

    @pytest.fixture(scope="class")
    @classmethod
    def spaces(cls) -> Mapping[str, LabelSpace]:
        """The label space of every relation."""
        return cls.dataset.open().spaces

    def test_needs_are_supplied(self, made: AuxiliaryTask) -> None:
        assert isinstance(made.needs(), frozenset) and made.needs()
        assert made.needs() <= self.dataset.relations(), "give a `dataset` that supplies what the task needs"

    @few
    @given(data=st.data())
    def test_refs_are_labels_of_what_it_needs(
        self, made: AuxiliaryTask, spaces: Mapping[str, LabelSpace], data: st.DataObject
    ) -> None:
        """Whatever relations hold: a tuple of labels of the label spaces of the needed relations."""
        query = data.draw(queries(spaces, at=3))
        needed = {spaces[relation].name: spaces[relation] for relation in made.needs()}
        refs = made.refs(query)
        assert isinstance(refs, tuple)
        for ref in refs:
            assert ref.space in needed and 0 <= ref.index < len(needed[ref.space])

    @few
    @given(data=st.data())
    def test_it_reads_what_it_needs_alone(
        self, made: AuxiliaryTask, spaces: Mapping[str, LabelSpace], data: st.DataObject
    ) -> None:
        """Relations it does not name in `needs()` make no difference, and without those it does there is nothing."""
        query = data.draw(queries(spaces, at=3))
        needed = {relation: refs for relation, refs in query.relations.items() if relation in made.needs()}
        assert made.refs(Query(query.at, needed, query.weight)) == made.refs(query)
        assert made.refs(Query(query.at, {}, query.weight)) == ()

    @few
    @given(data=st.data())
    def test_it_is_a_pure_function(
        self, made: AuxiliaryTask, spaces: Mapping[str, LabelSpace], data: st.DataObject
    ) -> None:
        """The same labels in the same order every time, in whatever order the relations stand."""
        query = data.draw(queries(spaces, at=3))
        held = dict(query.relations)
        refs = made.refs(query)
        assert made.refs(query) == refs and dict(query.relations) == held
        assert made.refs(Query(query.at, dict(reversed(held.items())), query.weight)) == refs

    @pytest.mark.parametrize("form", ["written", "classified"])
    @few
    @given(data=st.data())
    def test_it_works_in_compositions(self, made: AuxiliaryTask, form: str, data: st.DataObject) -> None:
        """Heads with a place for it train a step with it; only labels of one relation can be classified."""
        if form == "classified" and len(made.needs()) != 1:
            pytest.skip("it needs several relations: only labels of one can be classified")
        task = type(made).model_validate({**made.options(), "form": form})
        check_works(self.compose(data, auxiliary=task, dataset=self.dataset))
