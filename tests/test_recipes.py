"""The published recipes at their real shapes: class lists, windows, feature widths, every head.

Features are generated; the annotations are the published ones where they lie beside the project, else made up in the
same form. The language model is a small one in the format of the real checkpoint.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gad_coin.plugin
import gad_oad.plugin
import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner
from gad_llama.plugin import LlamaTiny
from gad_oad import originals
from gad_oad.layout import read_entry
from gad_oad.rasterise import Action, Annotations, convert
from small_datasets import save_tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

from gad_core.cli import main
from gad_core.testing.features import GeneratedFeatures

RECIPES = Path(__file__).resolve().parents[1] / "recipes"
ALL = sorted(path.relative_to(RECIPES).as_posix() for path in RECIPES.rglob("*.yaml"))


@dataclass(frozen=True)
class Shape:
    """What a benchmark's features look like (PAPER: tasks and data)."""

    fps: float
    width: int
    tokens: int = 1
    short: int = 0


SHAPES = {
    "coin": Shape(2, 1024, 10),
    "thumos14": Shape(4, 2048, short=32),
    "crosstask": Shape(1, 1536, short=20),
    "epic-kitchens-100": Shape(4, 1024, short=20),
    "ego4d-goalstep": Shape(1, 1536, short=16),
}
OAD = sorted(SHAPES.keys() - {"coin"})
Sessions = Mapping[str, Iterable[str]]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of two narrow layers, in the hub's format."""
    path = tmp_path_factory.mktemp("hub") / "Llama"
    torch.manual_seed(0)
    text = LlamaTiny(vocabulary=600).text(["What is the action in the last frame?", "background", "cut and open"])
    config = LlamaConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=text.vocabulary, tie_word_embeddings=True, bos_token_id=text.bos, eos_token_id=text.eos,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(path)
    save_tokenizer(text, path)
    return path


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Mapping[str, int]], None]:
    """Puts generated features of a benchmark in the place of every feature store."""

    def put(benchmark: str, lengths: Mapping[str, int]) -> None:
        shape = SHAPES[benchmark]
        features = GeneratedFeatures(lengths, tokens=shape.tokens, width=shape.width, fps=shape.fps)
        for plugin in (gad_coin.plugin, gad_oad.plugin):
            monkeypatch.setattr(plugin, "FeatureStore", lambda path: features)

    return put


def published() -> Path | None:
    """The published annotations beside the project, where the machine has them."""
    folder = RECIPES.parents[1] / "shared" / "data" / "annotations"
    return folder if folder.is_dir() else None


def small(recipe: str, checkpoint: Path, root: Path) -> Path:
    """A recipe as it stands, on the small model and for two updates."""
    file = yaml.safe_load((RECIPES / recipe).read_text())
    file["backbones"]["llama-1b"] |= {"checkpoint": str(checkpoint), "dtype": "fp32"}
    file["training"]["paper"] |= {"max_steps": 2, "batch": 4, "micro_batch": 2, "evaluation_batch": 8}
    (root / "registry.yaml").write_text(yaml.safe_dump(file))
    return root / "registry.yaml"


def gad(*arguments: object) -> str:
    """What a command prints; it must end well."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


@pytest.mark.parametrize("recipe", ALL)
def test_every_recipe_is_right(recipe: str) -> None:
    told = gad("check", RECIPES / recipe)
    default = (
        "By default it runs kitchen"
        if "/" in recipe
        else f"By default it runs {recipe.removesuffix('.yaml')}-generative"
    )
    assert "is right" in told and default in " ".join(told.split())


# ------------------------------------------------------------------------------------------ online action detection


def oad_annotations(benchmark: str) -> tuple[Annotations, dict[str, list[str]]]:
    """The annotations of a benchmark and its session sets."""
    folder = published()
    if folder is None:
        return made_up(benchmark)
    info = folder / "oad-data-info" / "data_info.json"
    if benchmark == "thumos14":
        paths = [folder / "thumos14" / f"{name}_Annotation.csv" for name in ("val", "test")]
        return originals.read_thumos14(paths), sessions_of(read_entry(info, "THUMOS"))
    if benchmark == "crosstask":
        release = folder / "crosstask" / "crosstask_release.zip"
        return originals.read_crosstask(release), sessions_of(read_entry(info, "CrossTask"))
    if benchmark == "epic-kitchens-100":
        lists = [folder / benchmark / f"rulstm_{name}.csv" for name in ("training", "validation")]
        found = originals.read_epic_kitchens(
            folder / benchmark / "rulstm_actions.csv", lists, folder / benchmark / "EPIC_100_video_info.csv"
        )
        return found, sessions_of(read_entry(info, "EK100"))
    info = folder / benchmark / "ego4d-goal_info.json"
    classes = read_entry(info, None)["class_names"]
    found = originals.read_goalstep([folder / benchmark / "goalstep_valid.json"], classes, ("steps", "substeps"))
    # The training annotations are not there: part of the validation set stands in for them.
    names = list(read_entry(info, None)["val_session_set"])
    return found, {"train_session_set": names[:100], "val_session_set": names[100:]}


def sessions_of(entry: Mapping[str, Any]) -> dict[str, list[str]]:
    return {key: list(names) for key, names in entry.items() if key in ("train_session_set", "test_session_set")}


def made_up(benchmark: str) -> tuple[Annotations, dict[str, list[str]]]:
    """Six recordings of a minute with an action every ten seconds."""
    classes = ("Background", "CliffDiving", "Diving", "Ambiguous") if benchmark == "thumos14" else (
        "background", "cut tomato", "wash tomato", "open door:fridge"
    )  # fmt: skip
    names = [f"r{number}" for number in range(6)]
    actions = [
        Action(name, 10 * n + 2, 10 * n + 8, 1 + (n + place) % 3) for place, name in enumerate(names) for n in range(6)
    ]
    test = "val_session_set" if benchmark == "ego4d-goalstep" else "test_session_set"
    return Annotations(classes, tuple(actions), dict.fromkeys(names, 60.0)), {
        "train_session_set": names[:4],
        test: names[4:],
    }


def lengths_of(annotations: Annotations, fps: float) -> dict[str, int]:
    """Frames of every recording: its duration, or where that is unknown the end of its last action."""
    seconds = {name: annotations.durations.get(name, 0.0) for name in annotations.recordings}
    for action in annotations.actions:
        if action.recording not in annotations.durations:
            seconds[action.recording] = max(seconds[action.recording], action.end)
    return {name: math.ceil(time * fps) for name, time in seconds.items()}


def lay_out(
    benchmark: str, root: Path, annotations: Annotations, sessions: Sessions, lengths: Mapping[str, int]
) -> None:
    """The field's files where the recipe looks for them."""
    folder = root / "data" / benchmark
    (folder / "features.lmdb").mkdir(parents=True)
    named = {name for names in sessions.values() for name in names}
    kept = {name: length for name, length in lengths.items() if name in named}
    convert(annotations, folder, fps=SHAPES[benchmark].fps, lengths=kept, sessions=sessions)


@pytest.mark.parametrize("benchmark", OAD)
def test_a_stream_recipe_runs_at_its_shapes(
    benchmark: str, checkpoint: Path, tmp_path: Path, store: Callable[[str, Mapping[str, int]], None]
) -> None:
    annotations, sessions = oad_annotations(benchmark)
    lengths = lengths_of(annotations, SHAPES[benchmark].fps)
    few = {key: sorted((n for n in names if lengths.get(n, 0) > 40), key=lambda n: lengths[n])[:2]
           for key, names in sessions.items()}  # fmt: skip
    lay_out(benchmark, tmp_path, annotations, few, lengths)
    store(benchmark, lengths)
    told = gad("run", small(f"{benchmark}.yaml", checkpoint, tmp_path))
    assert "published" in told and "Used: recordings 4 of 4" in " ".join(told.split())
    frames = sum(lengths[name] for name in next(names for key, names in few.items() if not key.startswith("train")))
    for head in ("generative", "discriminative", "gad"):
        results = json.loads((tmp_path / f"runs/{benchmark}-{head}/0/results.json").read_text())
        assert results["protocol"] == "window" and results["usage"]["recordings"] == "4 of 4"
        assert 0 <= results["metrics"]["segment_f1/0.10/macro"] <= 100
        predictions = np.load(tmp_path / f"runs/{benchmark}-{head}/0/predictions.npz")
        assert len(predictions["truth"]) == frames


@pytest.mark.parametrize("benchmark", OAD)
def test_a_complete_stream_recipe_is_checked(
    benchmark: str, tmp_path: Path, store: Callable[[str, Mapping[str, int]], None], shared: Path
) -> None:
    if benchmark == "epic-kitchens-100" and "GAD_THOROUGH" not in os.environ:
        pytest.skip("targets of 633 recordings and 3,807 classes are 5 GB: set GAD_THOROUGH=1")
    annotations, sessions = oad_annotations(benchmark)
    lengths = lengths_of(annotations, SHAPES[benchmark].fps)
    lay_out(benchmark, tmp_path, annotations, sessions, lengths)
    store(benchmark, lengths)
    (tmp_path / "registry.yaml").write_text((RECIPES / f"{benchmark}.yaml").read_text())
    told = gad("check", tmp_path / "registry.yaml", "--data")
    named = {"thumos14": 413, "crosstask": 2750, "epic-kitchens-100": 633, "ego4d-goalstep": 134}[benchmark]
    classes = {"thumos14": "22", "crosstask": "106", "epic-kitchens-100": "3,807", "ego4d-goalstep": "512"}[benchmark]
    assert f"recordings: {named} of {named}" in told and f"classes: {classes} of action" in told


# ------------------------------------------------------------------------------------------------------------- COIN


def coin_annotations() -> dict[str, Any]:
    """The database of COIN: the published one, or six made-up videos in its form."""
    folder = published()
    if folder is not None:
        return dict(json.loads((folder / "coin" / "COIN.json").read_text())["database"])
    steps = [
        {"id": str(number), "segment": [4 * number, 4 * number + 3], "label": label}
        for number, label in enumerate(["process (crop, fold) paper", "cut", "glue"])
    ]
    return {
        f"v{number}": {
            "recipe_type": number % 2, "class": ("MakePaper", "ReplaceCDDriveWithSSD")[number % 2],
            "subset": ("training", "testing")[number // 4], "duration": 14.0, "annotation": steps,
        }
        for number in range(6)
    }  # fmt: skip


def coin_lengths(videos: Mapping[str, Any]) -> dict[str, int]:
    """Frames of every video at two a second."""
    return {name: math.ceil(video["duration"] * 2) + 1 for name, video in videos.items()}


def lay_out_coin(root: Path, videos: Mapping[str, Any]) -> None:
    (root / "data" / "coin.lmdb").mkdir(parents=True)
    (root / "data" / "COIN.json").write_text(json.dumps({"database": videos}))


def test_the_coin_recipe_runs_at_its_shapes(
    checkpoint: Path, tmp_path: Path, store: Callable[[str, Mapping[str, int]], None]
) -> None:
    videos = coin_annotations()
    several = [name for name, video in videos.items() if len(video["annotation"]) > 2]
    short = sorted(several, key=lambda name: float(videos[name]["duration"]))
    few = [name for subset in ("training", "testing") for name in
           [name for name in short if videos[name]["subset"] == subset][:2]]  # fmt: skip
    lay_out_coin(tmp_path, {name: videos[name] for name in few})
    store("coin", coin_lengths(videos))
    told = gad("run", small("coin.yaml", checkpoint, tmp_path))
    assert "published" in told and "Used: recordings 4 of 4" in " ".join(told.split())
    for head in ("generative", "discriminative", "gad"):
        results = json.loads((tmp_path / f"runs/coin-{head}/0/results.json").read_text())
        asked = {f"{ask}/{metric}" for ask in ("current", "next", "goal")
                 for metric in ("top1", "top5", "mean_class_accuracy")}  # fmt: skip
        assert asked <= results["metrics"].keys() and results["protocol"] == "clips"


def test_the_complete_coin_recipe_is_checked(
    tmp_path: Path, store: Callable[[str, Mapping[str, int]], None], shared: Path
) -> None:
    videos = coin_annotations()
    lay_out_coin(tmp_path, videos)
    store("coin", coin_lengths(videos))
    (tmp_path / "registry.yaml").write_text((RECIPES / "coin.yaml").read_text())
    told = gad("check", tmp_path / "registry.yaml", "--data")
    assert "recordings: 11006 of 11006" in told and "classes: 749 of step, 180 of task" in told
    # 8,412 videos with 32,905 steps to train on, every two that follow one another as a next step
    assert "train: 65,810 samples (32,905 current, 24,493 next, 8,412 goal)" in told
    assert "test: 20,198 samples (10,099 current, 7,505 next, 2,594 goal)" in told


# ------------------------------------------------------------------------------------- texts, as `gad show` tells them

SYSTEM = (
    "⟨bos⟩A multimodal AI assistant is helping users with some activities. Below is their conversation, interleaved "
    "with the list of video frames received by the assistant.\\n\\nUser: {} Format your answer concisely. No extra "
    "text output.\\n["
)
QUESTIONS = {
    "current": "What is the action in the video?",
    "next": "What is the next action for the video?",
    "goal": "What is the overall activity in the video?",
}
OPENING = "⟨bos⟩What is the action in the last frame?\\n"


def shown(registry: Path, experiment: str, *options: str) -> list[dict[str, str]]:
    """What `gad show` says of each example: `trunk reads`, `branch 1 reads`, `branch 1 learns`, …."""
    examples: list[dict[str, str]] = []
    for line in gad("show", registry, experiment, *options).splitlines():
        if "example " in line:
            examples.append({})
        for what in ("trunk reads:", "trunk learns:", "branch 1 reads:", "branch 1 learns:"):
            if line.startswith(what):
                examples[-1][what[:-1]] = line.removeprefix(what).removeprefix(" ").removeprefix(" ")
    return examples


def test_the_texts_of_coin(
    checkpoint: Path, tmp_path: Path, store: Callable[[str, Mapping[str, int]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """REFERENCE, texts: every head and ask, and what of them is supervised."""
    monkeypatch.setenv("COLUMNS", "200")
    steps = [
        {"id": "1", "segment": [1, 2.5], "label": "Replace the TV"},
        {"id": "2", "segment": [3, 4], "label": "cut"},
    ]
    video = {"class": "ReplaceCDDriveWithSSD", "duration": 6, "annotation": steps}
    lay_out_coin(tmp_path, {"a": {**video, "subset": "training"}, "b": {**video, "subset": "testing", "class": "Sow"}})
    store("coin", {"a": 13, "b": 13})
    registry = small("coin.yaml", checkpoint, tmp_path)
    task = "Replace cd drive with ssd."
    answers = {"current": ("Replace the tv.", 4), "next": ("Cut.", 4), "goal": (task, 7)}
    found = {head: shown(registry, f"coin-{head}") for head in ("generative", "discriminative", "gad")}
    for place, (ask, (answer, frames)) in enumerate(answers.items()):
        trunk = SYSTEM.format(QUESTIONS[ask]) + ",".join(["⟨v⟩×10"] * frames)
        separators = "," * (frames - 1)
        generative, discriminative, gad_ = (found[head][place] for head in found)
        assert generative == {
            "trunk reads": trunk,
            "trunk learns": separators,
            "branch 1 reads": f"]\\nAssistant: {answer}⟨eos⟩",
            "branch 1 learns": f"]\\nAssistant: {answer}⟨eos⟩",
        }
        assert discriminative == {"trunk reads": trunk, "branch 1 reads": "]\\n[CLS]"}
        text = f"\\nAssistant: {answer}" + ("" if ask == "goal" else f" {task}") + "⟨eos⟩"
        assert gad_ == {
            "trunk reads": trunk,
            "trunk learns": separators,
            "branch 1 reads": f"]\\n[CLS]{text}",
            "branch 1 learns": f"]\\n{text}",
        }


@pytest.mark.parametrize("benchmark", OAD)
def test_the_texts_of_streams(
    benchmark: str,
    checkpoint: Path,
    tmp_path: Path,
    store: Callable[[str, Mapping[str, int]], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """REFERENCE, texts: a background frame, one with a past action, background behind an action."""
    monkeypatch.setenv("COLUMNS", "200")
    first, second = ("CliffDiving", "CleanAndJerk") if benchmark == "thumos14" else ("cut tomato", "open door:fridge")
    plain = ("cliff diving", "clean and jerk") if benchmark == "thumos14" else (first, second)
    ignored = ("Ambiguous",) if benchmark == "thumos14" else ()
    actions = [Action(name, start, start + 3, 1 + place) for name in "ab" for place, start in enumerate((2, 5))]
    annotations = Annotations(("BackGround", first, second, *ignored), tuple(actions), dict.fromkeys("ab", 12.0))
    test = "val_session_set" if benchmark == "ego4d-goalstep" else "test_session_set"
    fps = SHAPES[benchmark].fps
    lengths = {name: int(12 * fps) for name in "ab"}
    lay_out(benchmark, tmp_path, annotations, {"train_session_set": ["a"], test: ["b"]}, lengths)
    store(benchmark, lengths)
    registry = small(f"{benchmark}.yaml", checkpoint, tmp_path)
    past = "" if benchmark == "thumos14" else f", {plain[0]}"
    behind = "" if benchmark == "thumos14" else f", {plain[1]}"
    cases = {  # second of the last frame: what GAD and generative write behind "Assistant: "
        0: ("background", "background"),
        6: (f"{plain[1]}{past}⟨eos⟩", f"{plain[1]}⟨eos⟩"),
        11: (f"background{behind}⟨eos⟩" if behind else "background", "background"),
    }
    for second_of, (gad_text, generative_text) in cases.items():
        end = int(second_of * fps)
        trunk = f"{OPENING}⟨v⟩×{end + 1}"
        options = ("--split", "test", "--sample", f"b/{end}")
        found = {
            head: shown(registry, f"{benchmark}-{head}", *options)[0]
            for head in ("generative", "discriminative", "gad")
        }
        written = f"\\nAssistant: {generative_text}"
        assert found["generative"] == {
            "trunk reads": trunk, "branch 1 reads": written, "branch 1 learns": written
        }  # fmt: skip
        assert found["discriminative"] == {"trunk reads": trunk, "branch 1 reads": "[CLS]"}
        written = f"\\nAssistant: {gad_text}"
        assert found["gad"] == {
            "trunk reads": trunk, "branch 1 reads": f"[CLS]{written}", "branch 1 learns": written
        }  # fmt: skip
