"""Who may import whom, and what the light commands never load: read from the imports, and seen in a fresh process."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
CORE = PROJECT / "gad_core"
PLUGINS = sorted(folder.name for folder in (PROJECT / "plugins").glob("gad_*"))
HEAVY = {"torch", "transformers", "peft", "accelerate", "matplotlib", "sklearn"}
LIGHT_CORE = [
    *(f"{name}.py" for name in ("__init__", "values", "errors", "contracts", "hookspecs", "plugins", "experiment")),
    *(
        f"{name}.py"
        for name in ("compatibility", "training_options", "lora_options", "results", "files", "windows", "suggestions")
    ),
    "features/__init__.py",
    *(f"{folder}/*.py" for folder in ("registry", "cli", "metrics")),
]
LIGHT = sorted({path for pattern in LIGHT_CORE for path in CORE.glob(pattern)}) + sorted(
    (PROJECT / "plugins").glob("gad_*/plugin.py")
)


def sources(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def imports(path: Path, *, module_level: bool = False) -> Iterator[tuple[int, str]]:
    """(line, module) of the imports of a file; at `module_level` those that importing it carries out."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    for node in _executed(tree) if module_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            yield node.lineno, node.module or ""


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run when a module is imported: neither function bodies nor what is there for type checkers."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            yield from (inner for other in child.orelse for inner in (other, *_executed(other)))
            continue
        yield child
        yield from _executed(child)


def top(module: str) -> str:
    return module.partition(".")[0]


def test_every_pattern_of_light_modules_names_some() -> None:
    assert not [pattern for pattern in LIGHT_CORE if not list(CORE.glob(pattern))]


def test_the_core_never_imports_a_plugin() -> None:
    wrong = [
        f"{path}:{line}: {module}" for path in sources(CORE) for line, module in imports(path) if top(module) in PLUGINS
    ]
    assert PLUGINS and not wrong


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_plugin_imports_the_core_and_itself_alone(plugin: str) -> None:
    wrong = [
        f"{path}:{line}: {module}"
        for path in sources(PROJECT / "plugins" / plugin)
        for line, module in imports(path)
        if top(module).startswith("gad_") and top(module) not in ("gad_core", plugin)
    ]
    assert not wrong


@pytest.mark.parametrize("path", LIGHT, ids=lambda path: str(path.relative_to(PROJECT)))
def test_light_modules_import_nothing_heavy(path: Path) -> None:
    assert not [f"{path}:{line}: {m}" for line, m in imports(path, module_level=True) if top(m) in HEAVY]


def test_imports_are_seen_where_they_run(tmp_path: Path) -> None:
    module = tmp_path / "sample.py"
    module.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import transformers\nelse:\n    import peft\n"
        "try:\n    import torch.nn\nexcept ImportError:\n    torch = None\n"
        "class A:\n    import sklearn\n    def b(self):\n        import matplotlib\n",
        encoding="utf-8",
    )
    assert {top(name) for _, name in imports(module, module_level=True)} == {"typing", "peft", "torch", "sklearn"}
    assert {top(name) for _, name in imports(module)} >= {"transformers", "matplotlib"}


COMMANDS = {
    "check": ["check", str(PROJECT / "registry.yaml")],
    "plugins": ["plugins"],
    "plugins NAME": ["plugins", "gad"],
    "help": ["--help"],
    "run --help": ["run", "--help"],
}


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
def test_a_light_command_loads_nothing_heavy(arguments: list[str]) -> None:
    """In a fresh process, whatever the imports look like: what has been loaded when the command is done."""
    program = (
        "import sys\n"
        "from gad_core.cli import main\n"
        "try:\n    main(sys.argv[1:])\n"
        "except SystemExit as ended:\n    code = ended.code\n"
        f"print('loaded:', *sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)\n"
        "sys.exit(code)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False, cwd=PROJECT
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.strip().splitlines()[-1] == "loaded:"
    assert ended.stdout
