"""Our own components keep the contracts that the kit holds guests to."""

from __future__ import annotations

from gad_heads.plugin import Discriminative, Gad, Generative

from gad_core.testing import HeadContract


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
