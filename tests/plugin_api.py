"""What the doors promise, as lines of text: their names, signatures and public fields, taken from the source.

`python tests/plugin_api.py` writes `tests/plugin_api_1.txt` anew. The source is read, not the objects, because the
printed form of types and defaults differs between versions of Python and of pydantic.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from gad_core import nn, plugin
from gad_core.contracts import hooks as hookspecs
from gad_core.contracts.components import PLUGIN_API
from gad_core.contracts.hooks import COMMANDS, HOOKS

SNAPSHOT = Path(__file__).with_name(f"plugin_api_{PLUGIN_API}.txt")
DOORS = (plugin, nn)
CALLED = ("__init__", "__call__", "__len__", "__getitem__", "__iter__")
"""Special methods that a user of a class calls."""
GIVEN = ("LanguageModel",)
"""Classes whose instances a guest is given and never makes."""


def promises() -> list[str]:
    """One line for every hook, name, signature and public field; names are sorted within each door."""
    hooks = [line for hook in (*HOOKS.values(), COMMANDS) for line in _described(hook, hookspecs.__name__, hook)]
    lines = [f"hook {line}" for line in hooks]
    for door in DOORS:
        homes = _homes(door)
        for name in sorted(door.__all__):
            lines += [f"{door.__name__}.{line}" for line in _described(name, *homes[name])]
    return lines


def _homes(door: ModuleType) -> dict[str, tuple[str, str]]:
    """The module that each name of a door comes from, and what it is called there."""
    return {
        alias.asname or alias.name: (node.module or "", alias.name)
        for node in _tree(door.__name__).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def _described(name: str, module: str, there: str) -> Iterator[str]:
    """The lines of one name."""
    node = _definition(module, there)
    if isinstance(node, ast.FunctionDef):
        yield f"{name}{_signature(node)}"
    elif isinstance(node, ast.AnnAssign):
        yield f"{name}: {ast.unparse(node.annotation)}"
    elif isinstance(node, ast.Assign):
        yield f"{name} = {ast.unparse(node.value)}"
    else:
        yield from _class(name, getattr(import_module(module), there))


def _class(name: str, made: type) -> Iterator[str]:
    """A class: what it is made of, and the members of its own and of its bases that no door offers."""
    bases = ", ".join(base.__name__ for base in made.__bases__ if base is not object)
    yield f"{name}({bases})" if bases else f"{name}: class"
    members: dict[str, str] = {}
    for one in reversed(made.__mro__):
        if one is made or (one.__module__.startswith("gad_core") and not _offered(one)):
            members |= dict(_members(_definition(one.__module__, one.__name__), made=name not in GIVEN))
    # Fields stay in their order, which is that of positional arguments.
    for member in sorted(members, key=lambda member: "" if members[member].startswith(":") else member):
        yield f"{name}.{member}{members[member]}"


def _offered(one: type) -> bool:
    return any(getattr(door, one.__name__, None) is one for door in DOORS)


def _members(written: ast.stmt, *, made: bool) -> Iterator[tuple[str, str]]:
    """The public members that a class defines, and how each is written; its constructor if guests have it `made`."""
    assert isinstance(written, ast.ClassDef)
    for node in written.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and _is_public(node.target.id):
            given = " = …" if node.value is not None and not _is_required(node.value) else ""
            yield node.target.id, f": {ast.unparse(node.annotation)}{given}"
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and _is_public(node.targets[0].id):
            yield node.targets[0].id, f" = {ast.unparse(node.value)}"
        elif isinstance(node, ast.FunctionDef) and (_is_public(node.name) or node.name in CALLED):
            if node.name == "__init__":
                if not made:
                    continue
                yield from _attributes(node)
            marks = {ast.unparse(mark) for mark in node.decorator_list}
            if "property" in marks or "cached_property" in marks:
                yield node.name, f": {_returned(node)} (property)"
            else:
                needed = " (abstract)" if "abstractmethod" in marks else ""
                yield node.name, f"{_signature(node)}{needed}"


def _attributes(made: ast.FunctionDef) -> Iterator[tuple[str, str]]:
    """The public attributes that a constructor sets."""
    stored = (node for node in ast.walk(made) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store))
    for name in sorted({node.attr for node in stored if ast.unparse(node.value) == "self"}):
        if _is_public(name):
            yield name, ": (attribute)"


def _is_public(name: str) -> bool:
    return not name.startswith(("_", "model_config"))


def _is_required(value: ast.expr) -> bool:
    """Whether a field of a pydantic model or a dataclass has no default: `Field(description=…)`."""
    if not (isinstance(value, ast.Call) and ast.unparse(value.func) in ("Field", "field")):
        return False
    named = {keyword.arg for keyword in value.keywords}
    return not value.args and not named & {"default", "default_factory"}


def _signature(node: ast.FunctionDef) -> str:
    return f"({ast.unparse(node.args)}) -> {_returned(node)}"


def _returned(node: ast.FunctionDef) -> str:
    return "None" if node.returns is None else ast.unparse(node.returns)


def _definition(module: str, name: str) -> ast.stmt:
    """The statement of a module that defines a name."""
    for node in _tree(module).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return node
        targets: list[Any] = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return node
    raise AssertionError(f"{module} does not define {name}: a door imports each name from where it is defined")


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse(Path(inspect.getfile(import_module(module))).read_text(encoding="utf-8"))


if __name__ == "__main__":
    SNAPSHOT.write_text("".join(f"{line}\n" for line in promises()), encoding="utf-8")
