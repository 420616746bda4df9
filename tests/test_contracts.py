"""Our own components keep the contracts that the kit holds guests to."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest
from gad_auxiliary.plugin import Goal, Label, Next, Past, Previous
from gad_heads.plugin import Discriminative, Gad, Generative
from gad_kitchen.plugin import Kitchen
from gad_labels.plugin import Desynchronised, RandomConsistent, Text, UniqueToken
from gad_llama.plugin import Llama, LlamaTiny
from nosy_task import Nosy
from small_datasets import make_checkpoint, make_coin, make_oad, make_segments

from gad_core.huggingface.lora_options import Lora
from gad_core.testing import (
    AuxiliaryTaskContract,
    BackboneContract,
    DatasetContract,
    HeadContract,
    LabelTokenizerContract,
    Memory,
    Tiny,
)


class TestGenerativeFree(HeadContract):
    component = Generative(decoding="free")


class TestGenerativeTrie(HeadContract):
    component = Generative(decoding="trie")


class TestGenerativeScoreAll(HeadContract):
    component = Generative(decoding="score-all")


class TestDiscriminative(HeadContract):
    component = Discriminative(dropout=0.1)


class TestLastFrame(HeadContract):
    component = Discriminative(readout="last-frame")


class TestGad(HeadContract):
    component = Gad(dropout=0.1)


class TestParallel(HeadContract):
    component = Gad(order="parallel")


class TestGenerationFirst(HeadContract):
    component = Gad(order="generation-first")


class TestText(LabelTokenizerContract):
    component = Text()


class TestRandomConsistent(LabelTokenizerContract):
    component = RandomConsistent()


class TestDesynchronised(LabelTokenizerContract):
    component = Desynchronised()


class TestUniqueToken(LabelTokenizerContract):
    component = UniqueToken()


class TestLabel(AuxiliaryTaskContract):
    component = Label()


class TestPrevious(AuxiliaryTaskContract):
    component = Previous()


class TestNext(AuxiliaryTaskContract):
    component = Next()


class TestPast(AuxiliaryTaskContract):
    component = Past(k=2)


class TestGoal(AuxiliaryTaskContract):
    component = Goal()


class TestTiny(BackboneContract):
    component = Tiny()


SMALL = {"hidden": 16, "layers": 2, "heads": 2, "kv_heads": 1, "mlp": 16, "vocabulary": 600}


class TestLlamaTiny(BackboneContract):
    component = LlamaTiny(**SMALL)


class TestLlamaTinyWithAdapters(BackboneContract):
    component = LlamaTiny(**SMALL, lora=Lora(rank=2, alpha=4))


class TestLlama(BackboneContract):
    @staticmethod
    def component(folder: Path) -> Llama:
        return Llama(checkpoint=str(make_checkpoint(folder)), lora=Lora(rank=2, alpha=4), dtype="fp32")


class TestMemory(DatasetContract):
    component = Memory(asks=("current", "next", "goal"), dense=True)


class TestKitchenClips(DatasetContract):
    component = Kitchen(train=3, test=2, width=4, asks=("current", "next", "goal"), tokens=2)


class TestKitchenWindows(DatasetContract):
    component = Kitchen(train=3, test=2, width=4, mode="stream", long=4, short=3)


class TestKitchenDense(DatasetContract):
    component = Kitchen(train=3, test=2, width=4, mode="stream", long=4, short=3, queries="dense", protocol="dense")


class TestKitchenBanded(DatasetContract):
    component = Kitchen(train=3, test=2, width=4, mode="stream", long=4, short=3, queries="banded", protocol="stream")


class TestSegmentsClips(DatasetContract):
    @staticmethod
    def component(folder: Path) -> object:
        return make_segments(folder, "clips")


class TestSegmentsStream(DatasetContract):
    @staticmethod
    def component(folder: Path) -> object:
        return make_segments(folder, "stream")


class TestCoin(DatasetContract):
    component = staticmethod(make_coin)


class TestOad(DatasetContract):
    @staticmethod
    def component(folder: Path) -> object:
        return make_oad(folder, "window")


class TestNosy(AuxiliaryTaskContract):
    """What breaks a property with a reason is expected to, and would fail if it did not."""

    component = Nosy()
    xfails: ClassVar = {"test_it_reads_what_it_needs_alone": "looks at the goal on purpose"}


def test_what_is_expected_to_fail_needs_a_reason() -> None:
    with pytest.raises(TypeError, match="no test of this contract"):
        type("Misspelt", (HeadContract,), {"component": Gad(), "xfails": {"test_no_lable_is_seen": "because"}})
    with pytest.raises(TypeError, match="no reason"):
        type("Silent", (HeadContract,), {"component": Gad(), "xfails": {"test_no_label_is_seen": " "}})
