"""Hypothesis strategies over whatever is installed: component options, auxiliary combinations, experiments."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, get_args, get_origin

import annotated_types
from hypothesis import strategies as st
from pydantic.fields import FieldInfo

from gad_core.contracts import Component
from gad_core.experiment import Experiment
from gad_core.plugins import Plugins, installed
from gad_core.training_options import Training


def components(component: type[Component]) -> st.SearchStrategy[Any]:
    """Instances of a component: options that are choices, switches or small bounded numbers are drawn, the others keep
    their defaults. A component with a required option cannot be drawn: hand one in ready-made."""
    drawn = {
        entry.alias or name: values
        for name, entry in component.model_fields.items()
        if (values := option_values(entry)) is not None
    }
    return st.fixed_dictionaries({}, optional=drawn).map(component.model_validate)


def option_values(entry: FieldInfo) -> st.SearchStrategy[Any] | None:
    """Values of an option, or None where its default is the only one we know to be sound."""
    kind = entry.annotation
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) is Literal:
        return st.sampled_from(get_args(kind))
    if kind is bool:
        return st.booleans()
    if kind in (int, float):
        low, high = _bounds(entry)
        if kind is int and low is not None:
            return st.integers(int(low), int(low) + 2 if high is None else int(min(high, low + 2)))
        if kind is float and low is not None and high is not None:
            return st.sampled_from([low + 0.1 * (high - low), low + 0.5 * (high - low)])
    return None


def _bounds(entry: FieldInfo) -> tuple[float | None, float | None]:
    low = high = None
    for mark in entry.metadata:
        if isinstance(mark, annotated_types.Ge | annotated_types.Gt):
            low = getattr(mark, "ge", None) if isinstance(mark, annotated_types.Ge) else mark.gt
        if isinstance(mark, annotated_types.Le | annotated_types.Lt):
            high = getattr(mark, "le", None) if isinstance(mark, annotated_types.Le) else mark.lt
    return low, high  # type: ignore[return-value]


def of_kind(kind: str, ready: Mapping[str, Sequence[Component]], plugins: Plugins) -> st.SearchStrategy[Any]:
    """Any installed component of a kind. `ready` maps names to instances to use instead of drawn options; an empty
    sequence leaves the component out."""
    choices = [
        st.sampled_from(list(ready[offer.name])) if offer.name in ready else components(offer.component)
        for offer in plugins.of(kind)
        if offer.name not in ready or ready[offer.name]
    ]
    return st.one_of(choices)


@st.composite
def experiments(
    draw: st.DrawFn,
    ready: Mapping[str, Sequence[Component]] = types.MappingProxyType({}),
    plugins: Plugins | None = None,
) -> Experiment:
    """Any composition of installed components, whether it makes sense or not."""
    plugins = plugins or installed()

    def one(kind: str) -> Any:
        return draw(of_kind(kind, ready, plugins))

    return Experiment(
        name="drawn",
        dataset=one("dataset"),
        backbone=one("backbone"),
        head=one("head"),
        labels=draw(st.none() | of_kind("labels", ready, plugins)),
        auxiliary=tuple(draw(st.lists(of_kind("auxiliary", ready, plugins), max_size=2))),
        training=Training(epochs=1, batch=4),
    )
