"""A run folder is never worse off: what is finished stays until something finished takes its place."""

from __future__ import annotations

import json
import os
import re
import shutil
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from small_project import Project

from gad_core import registry
from gad_core.data.features import store
from gad_core.discovery.plugins import installed
from gad_core.errors import CheckpointError
from gad_core.files.writing import seal_of
from gad_core.records.identity import Identity, _source_of
from gad_core.records.results import load_results
from gad_core.records.run_folder import RunPlace
from gad_core.report import confusion

RUN, INTERRUPTED = "runs/discriminative/0", "runs/gad/0"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with a finished run."""
    project = Project(tmp_path_factory.mktemp("finished")).ready()
    run(project)
    return project


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Project:
    """A copy of it."""
    return copied(finished, tmp_path / "project")


def copied(project: Project, root: Path) -> Project:
    copy = Project.__new__(Project)
    copy.__dict__ |= project.__dict__ | {"root": root, "rows": list(project.rows)}
    shutil.copytree(project.root, root)  # with new times of change
    return copy


@pytest.fixture(autouse=True)
def fresh_readers() -> Iterator[None]:
    """A store that a test replaces is opened anew, as it is by another process."""
    yield
    store._READERS.clear()


def run(project: Project, *options: str) -> str:
    result = project.gad("run", "registry.yaml", "discriminative", "--runs", "runs", *options)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ------------------------------------------------------------------------------------------- refused: nothing is lost


def bad_row(project: Project) -> None:
    project.rows.append(("r0", 9, 8, "cut onion", "train"))
    project.write()


def no_checkpoint(project: Project) -> None:
    text = (project.root / "registry.yaml").read_text()
    tiny = text.split("{tiny: {")[1].split("}}")[0]
    (project.root / "registry.yaml").write_text(text.replace(tiny, "use: llama, checkpoint: ./absent"))


def wrong(training: str) -> Callable[[Project], None]:
    return lambda project: project.write(training=training)


def no_store(project: Project) -> None:
    (project.root / "mine.lmdb").unlink()


def other_width(project: Project) -> None:
    text = (project.root / "registry.yaml").read_text()
    (project.root / "registry.yaml").write_text(text.replace("fps: 2", "fps: 3"))


@pytest.mark.parametrize(
    "harm",
    [
        bad_row,
        no_checkpoint,
        no_store,
        other_width,
        wrong("select: top11, evaluate_every: 1"),
        wrong("validation: dev"),
        wrong("phases: [{epochs: 1, losses: [generation]}]"),
        wrong("phases: [{epochs: 1, train: [rows]}]"),
    ],
)
@pytest.mark.parametrize("options", [(), ("--force",)])
def test_a_run_that_is_refused_leaves_the_finished_one(
    project: Project, harm: Callable[[Project], None], options: tuple[str, ...]
) -> None:
    before = content(project.root / RUN)
    kept = {path: path.read_bytes() for path in project.root.iterdir() if path.is_file()}
    harm(project)
    project.refused("run", "registry.yaml", "discriminative", "--runs", "runs", *options)
    after = content(project.root / RUN)
    assert {name: after.get(name) for name in before} == before
    for path, data in kept.items():
        if not path.exists() or path.read_bytes() != data:
            path.write_bytes(data)
    store._READERS.clear()
    assert "nothing has changed" in run(project)
    assert load_results(project.root / RUN).metrics


def test_files_of_others_survive_a_new_run(project: Project) -> None:
    folder = project.root / RUN
    notes = [folder / name for name in ("notes.md", "checkpoints/last/copy.bin", "confusion-mine.png")]
    for path in notes:
        path.write_text("mine")
    before = (folder / "checkpoints" / "last" / "weights.safetensors").read_bytes()
    project.write(training="evaluate_every: null, head_learning_rate: 0.5")
    output = run(project)
    assert "head_learning_rate: None then, 0.5 now" in output
    assert [path.read_text() for path in notes] == ["mine"] * 3
    assert (folder / "checkpoints" / "last" / "weights.safetensors").read_bytes() != before
    assert not (folder / "next").exists() and not (folder / "ready").exists() and not (folder / "lock").exists()
    assert "nothing has changed" in run(project)


def test_force_keeps_the_old_run_until_the_new_one_is_there(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    before = content(project.root / RUN)
    monkeypatch.setattr("gad_core.runs.run.RunInProgress.evaluate_kept", lambda self, place: 1 / 0)
    assert project.gad("run", "registry.yaml", "discriminative", "--runs", "runs", "--force").exit_code
    after = content(project.root / RUN)
    assert {name: after[name] for name in before} == before
    assert any(name.startswith("next/resume-") for name in after)
    monkeypatch.undo()
    assert "goes on after update" in run(project)  # and not "finished before": --force began it
    assert set(content(project.root / RUN)) == set(before)


def test_an_interrupted_next_run_is_given_up_by_force_alone(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("gad_core.runs.run.RunInProgress.evaluate_kept", lambda self, place: 1 / 0)
        project.write(training="evaluate_every: null, head_learning_rate: 0.5")
        assert project.gad("run", "registry.yaml", "discriminative", "--runs", "runs").exit_code == 1
    before = content(project.root / RUN)
    assert any(name.startswith("next/resume-") for name in before)
    project.write(training="evaluate_every: null, head_learning_rate: 0.25")
    message = project.refused("run", "registry.yaml", "discriminative", "--runs", "runs")
    assert f"{RUN}/next: holds an interrupted run" in message and "--force" in message
    assert content(project.root / RUN) == before
    project.write()
    assert "nothing has changed" in run(project)  # the finished one stands, and so does the interrupted one
    assert content(project.root / RUN) == before
    project.write(training="evaluate_every: null, head_learning_rate: 0.5")
    assert "goes on after update" in run(project)


# ------------------------------------------------------------------------------------------ what counts as the same run


def identity(project: Project) -> str:
    return Identity.of(registry.load(project.root / "registry.yaml").experiments["gad"]).key


def test_where_the_files_lie_does_not_count(project: Project, tmp_path_factory: pytest.TempPathFactory) -> None:
    moved = copied(project, tmp_path_factory.mktemp("elsewhere") / "project")
    assert identity(moved) == identity(project)
    assert "nothing has changed" in run(moved)
    staged = moved.root / "scratch" / "copy.lmdb"
    staged.parent.mkdir()
    shutil.move(moved.root / "mine.lmdb", staged)
    text = (moved.root / "registry.yaml").read_text()
    (moved.root / "registry.yaml").write_text(text.replace("mine.lmdb", str(staged)))
    assert identity(moved) == identity(project)
    shutil.rmtree(project.root)
    assert moved.gad("evaluate", RUN).exit_code == 2  # its store was moved away
    (moved.root / "registry.yaml").write_text(text)
    shutil.move(staged, moved.root / "mine.lmdb")
    assert moved.gad("evaluate", RUN).exit_code == 0


def test_a_store_is_known_by_what_it_holds(project: Project) -> None:
    before = identity(project)
    (project.root / "mine.lmdb").unlink()
    for path in (project.root / "raw").iterdir():
        os.utime(path, ns=(0, 0))
    assert project.pack().exit_code == 0
    store._READERS.clear()
    assert identity(project) == before
    (project.root / "mine.lmdb").unlink()
    project.write_features("r0", project.features(9))
    assert project.pack().exit_code == 0
    store._READERS.clear()
    assert identity(project) != before


@pytest.mark.parametrize("training", ["workers: 1", "log_every: 3", "save_every: 2", "resident: false"])
def test_what_changes_no_number_does_not_count(project: Project, training: str) -> None:
    before = identity(project)
    project.write(training=f"evaluate_every: null, {training}")
    assert identity(project) == before


GUEST = '''
from gad_core.plugin import hookimpl
from gad_heads.plugin import Discriminative

class Guest(Discriminative):
    """A head of somebody else."""
    name = "guest"

@hookimpl
def gad_heads():
    return [Guest]
'''
POINTS = "[gad]\nguest = guest_head.plugin\n"


def test_the_code_of_a_plugin_counts(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    package, info = project.root / "site" / "guest_head", project.root / "site" / "guest_head-1.0.dist-info"
    package.mkdir(parents=True)
    info.mkdir()
    (package / "__init__.py").write_text("")
    (package / "plugin.py").write_text(textwrap.dedent(GUEST))
    (package / "modules.py").write_text("SCALE = 1\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: guest-head\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(POINTS)
    text = (project.root / "registry.yaml").read_text()
    (project.root / "registry.yaml").write_text(text.replace("use: discriminative", "use: guest"))
    monkeypatch.syspath_prepend(project.root / "site")

    def again() -> str:
        """What another process would say."""
        installed.cache_clear()
        _source_of.cache_clear()
        return run(project)

    assert "changed: head.use: discriminative then, guest now" in again()
    code = json.loads((project.root / RUN / "results.json").read_text())["code"]["head guest"]
    assert (code["distribution"], code["version"], len(code["source"])) == ("guest-head", "1.0", 16)
    assert "nothing has changed" in again()
    (package / "modules.py").write_text("SCALE = 2\n")
    assert "changed: the code of head guest (guest-head 1.0)" in again()
    assert "nothing has changed" in again()
    monkeypatch.undo()
    installed.cache_clear()


# ------------------------------------------------------------------------------------------------------- one at a time


def test_a_run_that_is_being_run_is_refused(project: Project) -> None:
    place = RunPlace(project.root / "runs", "discriminative", 0)
    before = content(project.root / RUN)
    child = os.fork()
    if not child:
        with place.held():
            (project.root / "held").touch()
            while (project.root / "held").exists():
                pass
        os._exit(0)
    while not (project.root / "held").exists():
        pass
    message = project.refused("run", "registry.yaml", "discriminative", "--runs", "runs")
    assert f"is being run by process {child} on " in message and "since 20" in message
    (project.root / "held").unlink()
    assert os.waitpid(child, 0)[1] == 0
    assert content(project.root / RUN) == before
    assert "nothing has changed" in run(project)


def test_a_lock_of_a_killed_process_holds_nobody_up(project: Project) -> None:
    (project.root / RUN / "lock").write_text('{"host": "h", "pid": 1, "since": "yesterday"}')
    assert "nothing has changed" in run(project)
    assert not (project.root / RUN / "lock").exists()


# ------------------------------------------------------------------------------------------------------------ pictures


def test_a_picture_that_fails_is_a_warning(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise MemoryError("6.6 GB")

    monkeypatch.setattr(confusion, "confusion", fails)
    result = project.gad("run", "registry.yaml", "discriminative", "--runs", "runs", "--force")
    assert result.exit_code == 0
    assert "confusion-current.png could not be drawn: MemoryError: 6.6 GB" in result.output
    assert "nothing has changed" in run(project)


def test_labels_with_dollars_are_run(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.rows = [(*row[:3], str(row[3]).replace("cut", "$1 # {"), row[4]) for row in project.rows]
    run(project.ready())
    assert (project.root / RUN / "confusion-current.png").exists()


# --------------------------------------------------------------------------------------------------------------- hashes


@pytest.mark.parametrize(
    "harm", [lambda data: b"", lambda data: data[:-1] + bytes([data[-1] ^ 1]), lambda data: data[:9]]
)
@pytest.mark.parametrize(
    "name", ["checkpoints/last/weights.safetensors", "checkpoints/last/labels.json", "results.json"]
)
def test_a_finished_run_with_another_file_is_told(project: Project, name: str, harm: Callable[[bytes], bytes]) -> None:
    path = project.root / RUN / name
    path.write_bytes(harm(path.read_bytes()))
    for command in (("run", "registry.yaml", "discriminative", "--runs", "runs"), ("predict", RUN, "mine.lmdb")):
        assert f"{RUN}/{name}" in project.refused(*command)


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with a run of two resume points, killed before its evaluation."""
    project = Project(tmp_path_factory.mktemp("interrupted"))
    project.ready(training="phases: [{epochs: 3}], evaluate_every: null, log_every: 1")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("gad_core.runs.run.RunInProgress.evaluate_kept", lambda self, place: 1 / 0)
        assert project.gad("run", "registry.yaml", "gad", "--runs", "runs").exit_code == 1
    assert len(list((project.root / INTERRUPTED).glob("resume-*"))) == 2
    return project


@pytest.fixture(scope="module")
def undisturbed(interrupted: Project, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The weights that the interrupted run ends with when nothing is damaged."""
    project = copied(interrupted, tmp_path_factory.mktemp("undisturbed") / "project")
    assert project.gad("run", "registry.yaml", "gad", "--runs", "runs").exit_code == 0
    return (project.root / INTERRUPTED / "checkpoints/last/weights.safetensors").read_bytes()


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-9] ^= 0x40
    path.write_bytes(data)


def edited(path: Path) -> None:
    path.write_text(re.sub(r'"step": \d+', '"step": 5', path.read_text()))


HARMS: dict[str, Callable[[Path], object]] = {
    "weights": lambda point: flipped(point / "weights.safetensors"),
    "optimizer": lambda point: flipped(point / "optimizer.safetensors"),
    "cut optimizer": lambda point: (point / "optimizer.safetensors").write_bytes(b""),
    "no weights": lambda point: (point / "weights.safetensors").unlink(),
    "place": lambda point: edited(point / "place.json"),
    "cut place": lambda point: (point / "place.json").write_text("{"),
    "foreign place": lambda point: (point / "place.json").write_text("[]"),
    "deep place": lambda point: (point / "place.json").write_text("[" * 100_000),
}


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
def test_a_damaged_resume_point_gives_way_to_the_one_before(
    interrupted: Project, undisturbed: bytes, tmp_path: Path, harm: Callable[[Path], object]
) -> None:
    project = copied(interrupted, tmp_path / "project")
    _, latest = sorted((project.root / INTERRUPTED).glob("resume-*"))
    harm(latest)
    output = project.gad("run", "registry.yaml", "gad", "--runs", "runs").output
    assert "an earlier point is taken" in output and latest.name in output
    assert (project.root / INTERRUPTED / "checkpoints/last/weights.safetensors").read_bytes() == undisturbed


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
def test_damaged_resume_points_alone_are_told(
    interrupted: Project, tmp_path: Path, harm: Callable[[Path], object]
) -> None:
    project = copied(interrupted, tmp_path / "project")
    for point in (project.root / INTERRUPTED).glob("resume-*"):
        harm(point)
    before = content(project.root / INTERRUPTED)
    message = project.refused("run", "registry.yaml", "gad", "--runs", "runs")
    assert f"{INTERRUPTED}/resume-" in message and "--force" in message
    assert content(project.root / INTERRUPTED) == before


def test_damaged_resume_points_can_be_started_over(interrupted: Project, undisturbed: bytes, tmp_path: Path) -> None:
    project = copied(interrupted, tmp_path / "project")
    for point in (project.root / INTERRUPTED).glob("resume-*"):
        flipped(point / "weights.safetensors")
    assert project.gad("run", "registry.yaml", "gad", "--runs", "runs", "--force").exit_code == 0
    assert (project.root / INTERRUPTED / "checkpoints/last/weights.safetensors").read_bytes() == undisturbed
    assert not list((project.root / INTERRUPTED).glob("resume-*"))


def test_a_seal_does_not_depend_on_the_order_of_keys() -> None:
    assert seal_of({"a": 1, "b": [0.1, None]}) == seal_of({"b": [0.1, None], "a": 1}) != seal_of({"a": 1, "b": [0.1]})


def test_a_holder_that_cannot_be_read_is_another_process(tmp_path: Path) -> None:
    place = RunPlace(tmp_path, "a", 0)
    with place.held():
        (place.path / "lock").write_text("{")
        with pytest.raises(CheckpointError, match="being run by another process"), RunPlace(tmp_path, "a", 0).held():
            pass
