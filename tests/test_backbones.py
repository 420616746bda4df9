"""Backbones: masks, caches, adapters, vocabularies, and what they say about bad checkpoints."""

from __future__ import annotations

import shutil
import subprocess
import sys
import types
import warnings
from pathlib import Path

import pytest
import torch
from gad_llama.plugin import Llama, LlamaTiny
from gad_smollm2 import weights
from gad_smollm2.plugin import SmolLM2
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, Qwen2Config, Qwen2ForCausalLM

from gad_core.contracts.components import TextTokenizer
from gad_core.errors import BackboneError
from gad_core.huggingface.causal_lm import CausalTransformer
from gad_core.huggingface.lora_options import Lora
from gad_core.huggingface.subwords import SubwordText

TEXTS = [" take the cup", " put the cup", "What is the action?\n", "\nAssistant:", ","]
LORA = Lora(rank=4, alpha=8, dropout=0.0)
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
FAMILIES = {"llama": (LlamaConfig, LlamaForCausalLM), "qwen2": (Qwen2Config, Qwen2ForCausalLM)}


@pytest.fixture(scope="session")
def words() -> TextTokenizer:
    return LlamaTiny().text(TEXTS)


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory, words: SubwordText) -> dict[str, Path]:
    """Checkpoints as the hub has them, by family; `tied` is a Llama whose output projection is its embeddings."""
    from transformers import PreTrainedTokenizerFast

    made = {}
    for name, (family, tied) in {"llama": ("llama", False), "qwen2": ("qwen2", False), "tied": ("llama", True)}.items():
        config, model = FAMILIES[family]
        made[name] = tmp_path_factory.mktemp(name)
        model(config(vocab_size=words.vocabulary + 3, tie_word_embeddings=tied, **SIZES)).save_pretrained(made[name])
        PreTrainedTokenizerFast(
            tokenizer_object=words._tokenizer, bos_token="<|begin_of_text|>", eos_token="<|eot_id|>"
        ).save_pretrained(made[name])
    return made


def load(folder: Path, **options: object) -> CausalTransformer:
    backbone = Llama(checkpoint=str(folder), **{"dtype": "fp32", "lora": LORA, **options})
    transformer = backbone.build(backbone.text([]), 0)
    assert isinstance(transformer, CausalTransformer)
    return transformer


def inputs(model: CausalTransformer, rows: int = 2, length: int = 9) -> tuple[Tensor, Tensor]:
    """Embeddings (rows, length, H) and plain positions."""
    ids = torch.arange(rows * length).reshape(rows, length) % 200 + 2
    return model.embed(ids).detach(), torch.arange(length).expand(rows, length)


def tree(length: int, trunk: int, fork: int) -> tuple[Tensor, Tensor]:
    """The mask and positions of a trunk with two branches at its end, the second from column `fork` on."""
    mask = torch.ones(length, length, dtype=torch.bool).tril()
    mask[fork:, trunk:fork] = False
    positions = torch.cat([torch.arange(fork), trunk + torch.arange(length - fork)])
    return mask, positions


# ------------------------------------------------------------------------------------------------ masks and caches


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", ["llama", "qwen2", "tied"])
def test_forward_is_the_library_models_own(checkpoints: dict[str, Path], family: str, attention: str) -> None:
    model = load(checkpoints[family], attention=attention).eval()
    ids = torch.arange(18).reshape(2, 9) + 2
    expected = FAMILIES["qwen2" if family == "qwen2" else "llama"][1].from_pretrained(checkpoints[family]).eval()
    states = model(model.embed(ids), None, torch.arange(9).expand(2, 9))
    torch.testing.assert_close(model.logits(states), expected(ids).logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_a_branch_in_a_tree_is_the_branch_alone(checkpoints: dict[str, Path], family: str, attention: str) -> None:
    model = load(checkpoints[family], attention=attention).eval()
    embeddings, plain = inputs(model)
    mask, positions = tree(9, trunk=4, fork=6)
    both = model(embeddings, mask.expand(2, 1, 9, 9), positions.expand(2, 9))
    alone = torch.cat([embeddings[:, :4], embeddings[:, 6:]], dim=1)
    torch.testing.assert_close(both[:, :6], model(embeddings[:, :6], None, plain[:, :6]), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(both[:, 6:], model(alone, None, plain[:, :7])[:, 4:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_without_a_mask_repeated_positions_are_one_sequence(checkpoints: dict[str, Path], attention: str) -> None:
    """Transformers would take positions that start again for a second sequence packed into the row."""
    model = load(checkpoints["llama"], attention=attention).eval()
    embeddings, _ = inputs(model)
    positions = torch.tensor([0, 1, 2, 3, 4, 2, 3, 0, 1]).expand(2, 9)
    causal = torch.ones(2, 1, 9, 9, dtype=torch.bool).tril()
    states = model(embeddings, None, positions)
    torch.testing.assert_close(states, model(embeddings, causal, positions), rtol=1e-4, atol=1e-5)


def test_without_a_mask_torch_runs_its_causal_kernel(
    checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    attend = torch.nn.functional.scaled_dot_product_attention

    def watched(*arrays: Tensor, **options: object) -> Tensor:
        seen.append((options["attn_mask"] is None, options["is_causal"]))
        return attend(*arrays, **options)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", watched)
    model = load(checkpoints["llama"]).eval()
    model(*_with_mask(inputs(model), None))
    assert seen == [(True, True)] * 3


def _with_mask(given: tuple[Tensor, Tensor], mask: Tensor | None) -> tuple[Tensor, Tensor | None, Tensor]:
    return given[0], mask, given[1]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("masked", [False, True])
def test_a_cache_changes_nothing(checkpoints: dict[str, Path], attention: str, masked: bool) -> None:
    model = load(checkpoints["llama"], attention=attention).eval()
    embeddings, positions = inputs(model)
    whole = torch.ones(9, 9, dtype=torch.bool).tril()
    if masked:
        whole, places = tree(9, trunk=4, fork=6)
        positions = places.expand(2, 9)
    cache, parts = model.make_cache(), []
    for start, stop in [(0, 4), (4, 5), (5, 9)]:
        mask = whole[start:stop, :stop].expand(2, 1, stop - start, stop) if masked else None
        parts.append(model(embeddings[:, start:stop], mask, positions[:, start:stop], cache))
    expected = model(embeddings, whole.expand(2, 1, 9, 9), positions)
    torch.testing.assert_close(torch.cat(parts, dim=1), expected, rtol=1e-4, atol=1e-5)


def test_forward_never_calls_the_output_projection(checkpoints: dict[str, Path]) -> None:
    model = load(checkpoints["llama"])
    model.causal.lm_head = None
    model(*_with_mask(inputs(model), None))


# ------------------------------------------------------------------------------------------------------- adapters


@pytest.mark.parametrize("family", ["llama", "qwen2", "tied"])
@pytest.mark.parametrize("lm_head", [False, True])
def test_lora_trains_its_own_weights_and_changes_nothing_at_first(
    checkpoints: dict[str, Path], family: str, lm_head: bool
) -> None:
    model = load(checkpoints[family]).eval()
    embeddings, positions = inputs(model)
    states = model(embeddings, None, positions)
    before = (states, model.logits(states))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.adapt(lm_head=lm_head)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert len(trained) == 2 * (3 * 7 + lm_head)
    assert all("lora_" in name for name in trained)
    states = model(embeddings, None, positions)
    assert torch.equal(before[0], states)
    assert torch.equal(before[1], model.logits(states))


def moved(model: CausalTransformer, *, lm_head: bool) -> None:
    """Gives every trained weight a gradient and a step along it."""
    for _ in range(2):  # B is zero at first, so A has no gradient before the second step
        states = model(*_with_mask(inputs(model), None))
        loss = states.square().sum() + (model.logits(states[0]).square().sum() if lm_head else 0)
        loss.backward()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    assert parameter.grad is not None
                    parameter -= 0.05 * parameter.grad / (parameter.grad.norm() + 1e-9)


@pytest.mark.parametrize("lora", [LORA, None])
@pytest.mark.parametrize("lm_head", [False, True])
@pytest.mark.parametrize("family", ["llama", "tied"])
@pytest.mark.parametrize("gradient_checkpointing", [False, True])
def test_every_trained_weight_has_a_gradient(
    checkpoints: dict[str, Path], family: str, lm_head: bool, lora: Lora | None, gradient_checkpointing: bool
) -> None:
    model = load(checkpoints[family], lora=lora, gradient_checkpointing=gradient_checkpointing).train()
    model.adapt(lm_head=lm_head)
    ids = torch.arange(18).reshape(2, 9) + 2
    for parameter in model.parameters():
        if lora and parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.1)
    states = model(model.embed(ids), None, torch.arange(9).expand(2, 9))
    (states[:, -1].cos().sum() + (model.logits(states[0]).cos().sum() if lm_head else 0)).backward()
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert trained
    for name, parameter in trained:
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
    assert not lora or not model.embed(ids).requires_grad
    frozen = [parameter for parameter in model.parameters() if not parameter.requires_grad]
    assert all(parameter.grad is None for parameter in frozen)
    assert bool(frozen) == (lora is not None or (family == "llama" and not lm_head))


def test_gradient_checkpointing_changes_no_gradient(checkpoints: dict[str, Path]) -> None:
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        model = load(checkpoints["llama"], gradient_checkpointing=checkpointing).train()
        model.adapt(lm_head=False)
        mask, positions = tree(9, trunk=4, fork=6)
        model(inputs(model)[0], mask.expand(2, 1, 9, 9), positions.expand(2, 9)).cos().sum().backward()
        gradients.append([parameter.grad for parameter in model.parameters() if parameter.grad is not None])
    assert gradients[0]
    for plain, checkpointed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, checkpointed)


def test_the_output_adapter_of_tied_weights_leaves_the_embeddings_alone(checkpoints: dict[str, Path]) -> None:
    model = load(checkpoints["tied"]).train()
    model.adapt(lm_head=True)
    ids = torch.arange(200) + 2
    states = torch.randn(5, 32, generator=torch.Generator().manual_seed(0))
    embedded, logits = model.embed(ids).clone(), model.logits(states)
    moved(model, lm_head=True)
    assert torch.equal(model.embed(ids), embedded)
    assert not torch.equal(model.logits(states), logits)
    with model.merged():
        assert torch.equal(model.embed(ids), embedded)


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_merging_is_for_a_while(checkpoints: dict[str, Path], dtype: str) -> None:
    model = load(checkpoints["tied"], dtype=dtype).eval()
    model.adapt(lm_head=True)
    moved(model, lm_head=True)
    given = _with_mask(inputs(model), None)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    states = model(*given)
    with model.merged():
        tolerance = 1e-4 if dtype == "fp32" else 0.1
        torch.testing.assert_close(model(*given), states, rtol=tolerance, atol=tolerance)
        query = model.causal.model.layers[0].self_attn.q_proj
        assert query.merged
        assert not model.causal.lm_head.merged
    assert torch.equal(model(*given), states)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_adapters_are_fp32_over_bf16(checkpoints: dict[str, Path]) -> None:
    model = load(checkpoints["tied"], dtype="bf16").train()
    model.adapt(lm_head=True)
    dtypes = {parameter.requires_grad: parameter.dtype for parameter in model.parameters()}
    assert dtypes == {True: torch.float32, False: torch.bfloat16}
    moved(model, lm_head=True)
    embeddings, positions = inputs(model)
    assert model(embeddings.float(), None, positions).dtype is torch.bfloat16


def test_only_the_named_projections_are_adapted(checkpoints: dict[str, Path]) -> None:
    model = load(checkpoints["llama"], lora=Lora(rank=2, alpha=4, targets=("q", "down")))
    model.adapt(lm_head=False)
    adapted = {name.split(".lora_")[0].split(".")[-1] for name, p in model.named_parameters() if p.requires_grad}
    assert adapted == {"q_proj", "down_proj"}


# ---------------------------------------------------------------------------------------------------- checkpoints


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_layers_keeps_the_first_blocks(checkpoints: dict[str, Path], family: str) -> None:
    whole, cut = load(checkpoints[family]).eval(), load(checkpoints[family], layers=1).eval()
    assert len(cut.causal.model.layers) == 1
    whole.causal.model.layers = whole.causal.model.layers[:1]
    whole.causal.config.num_hidden_layers = 1
    given = _with_mask(inputs(whole), None)
    assert torch.equal(cut(*given), whole(*given))


def test_a_checkpoints_special_tokens_and_spare_rows_are_special(
    checkpoints: dict[str, Path], words: TextTokenizer
) -> None:
    text = Llama(checkpoint=str(checkpoints["llama"])).text([])
    assert text.vocabulary == words.vocabulary + 3
    assert text.special == {0, 1} | set(range(words.vocabulary, words.vocabulary + 3))
    assert (text.bos, text.eos) == (0, 1)
    assert text.encode(" take the cup") == words.encode(" take the cup")


def test_the_golden_model_loads(shared: Path) -> None:
    folder = shared / "golden" / "models" / "tiny_llm"
    if not folder.is_dir():
        pytest.skip("no golden model vectors beside the project")
    model = load(folder, lora=None)
    text = Llama(checkpoint=str(folder)).text([])
    assert model.vocabulary == text.vocabulary == 384
    assert text.decode([text.eos]) == ""


def test_a_relative_folder_lies_beside_the_registry(checkpoints: dict[str, Path]) -> None:
    folder = checkpoints["llama"]
    found = Llama.model_validate({"checkpoint": folder.name}, context={"root": folder.parent})
    assert found.checkpoint == str(folder)
    hub = Llama.model_validate({"checkpoint": "owner/name"}, context={"root": folder.parent})
    assert hub.checkpoint == "owner/name"


def damaged(source: Path, target: Path, *, without: str = "") -> Path:
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(without) if without else None)
    return target


def test_bad_checkpoints_are_explained(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    source = checkpoints["llama"]
    with pytest.raises(BackboneError, match="there is no folder"):
        load(tmp_path / "nowhere")
    with pytest.raises(BackboneError, match=r"config\.json"):
        load(damaged(source, tmp_path / "a", without="config.json"))
    with pytest.raises(BackboneError, match="tokenizer"):
        load(damaged(source, tmp_path / "b", without="tokenizer*"))
    with pytest.raises(BackboneError, match="weights"):
        load(damaged(source, tmp_path / "c", without="*.safetensors"))
    cut = damaged(source, tmp_path / "d") / "model.safetensors"
    cut.write_bytes(cut.read_bytes()[:1000])
    with pytest.raises(BackboneError, match="weights"):
        load(cut.parent)
    with pytest.raises(BackboneError, match="has 3"):
        load(source, layers=4)
    MistralConfig().save_pretrained(tmp_path / "e")
    with pytest.raises(BackboneError, match="mistral"):
        load(tmp_path / "e")


def test_a_checkpoint_that_lacks_weights_is_refused(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    file = damaged(checkpoints["llama"], tmp_path / "a") / "model.safetensors"
    state = load_file(file)
    del state["model.layers.1.mlp.up_proj.weight"]
    save_file(state, file, metadata={"format": "pt"})
    with pytest.raises(BackboneError, match=r"lacks 1 weights, model\.layers\.1"):
        load(file.parent)


# ----------------------------------------------------------------------------------------------------------- liger


def liger(monkeypatch: pytest.MonkeyPatch, family: str) -> list[dict[str, object]]:
    """A stand-in for the library on a machine with a GPU: it replaces what the library replaces."""
    calls: list[dict[str, object]] = []
    modeling = sys.modules[FAMILIES[family][1].__module__]
    names = [name for name in vars(modeling) if name.endswith(("RMSNorm", "MLP"))]

    def apply(**options: object) -> None:
        calls.append(options)
        for name in names:
            setattr(modeling, name, None)

    library = types.ModuleType("liger_kernel")
    library.transformers = types.ModuleType("liger_kernel.transformers")  # type: ignore[attr-defined]
    setattr(library.transformers, f"apply_liger_kernel_to_{family}", apply)
    monkeypatch.setitem(sys.modules, "liger_kernel", library)
    monkeypatch.setitem(sys.modules, "liger_kernel.transformers", library.transformers)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    return calls


@pytest.mark.parametrize("family", FAMILIES)
def test_liger_changes_this_model_alone(
    checkpoints: dict[str, Path], family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(checkpoints[family])
    calls = liger(monkeypatch, family)
    model.use_fused_kernels()
    (options,) = calls
    assert options.pop("model") is model.causal
    assert not any(options.values()), "neither the embedding of every model nor a loss over all logits"
    load(checkpoints[family])  # what models are made of is as before


def test_liger_that_is_not_there_is_explained(checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(checkpoints["llama"])
    liger(monkeypatch, "llama")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BackboneError, match="no GPU"):
        model.use_fused_kernels()
    monkeypatch.setitem(sys.modules, "liger_kernel", None)
    with pytest.raises(BackboneError, match="not installed"):
        model.use_fused_kernels()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="Liger's kernels need a GPU")
@pytest.mark.parametrize("family", FAMILIES)
def test_liger_changes_rounding_alone(checkpoints: dict[str, Path], family: str) -> None:
    pytest.importorskip("liger_kernel", reason="needs liger-kernel")
    plain, fused = load(checkpoints[family]).cuda(), load(checkpoints[family]).cuda()
    fused.use_fused_kernels()
    embeddings, positions = (tensor.cuda() for tensor in inputs(plain))
    torch.testing.assert_close(fused(embeddings, None, positions), plain(embeddings, None, positions))


# ----------------------------------------------------------------------------------------------------- llama-tiny


@settings(deadline=None, max_examples=200)
@given(st.text())
def test_any_text_survives(text: str) -> None:
    words = LlamaTiny().text(TEXTS)
    ids = words.encode(text)
    assert words.decode(ids) == text
    assert not words.special.intersection(ids)


def test_special_tokens_are_never_read_out_of_text(words: TextTokenizer) -> None:
    assert words.decode(words.encode("a<|eot_id|>b")) == "a<|eot_id|>b"
    assert words.decode([words.eos]) == ""


def test_a_tokenizer_of_another_model_is_refused(words: SubwordText) -> None:
    with pytest.raises(BackboneError, match="tokens and the model 200 embeddings"):
        SubwordText(words._tokenizer, vocabulary=200, bos=0, eos=1)


def test_labels_share_words(words: TextTokenizer) -> None:
    take, put = words.encode(" take the cup"), words.encode(" put the cup")
    assert len(take) == 3
    assert take[1:] == put[1:]


def test_the_vocabulary_depends_on_the_set_of_texts_alone() -> None:
    """In another process too: the trainer's hash tables are seeded anew in each."""
    texts = [f" {verb} the {noun}" for verb in ("take", "put", "wash") for noun in ("cup", "pan", "bowl", "knife")]
    words = LlamaTiny(vocabulary=270).text(texts)
    assert words.vocabulary == 270
    program = (
        "from gad_llama.plugin import LlamaTiny;"
        f"print(LlamaTiny(vocabulary=270).text({texts[::-1] + texts[:3]!r})._tokenizer.to_str())"
    )
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert other.strip() == words._tokenizer.to_str()


@pytest.mark.parametrize("options", [{}, {"dtype": "bf16"}, {"lora": LORA}])
def test_equal_seeds_equal_weights(words: TextTokenizer, options: dict[str, object]) -> None:
    backbone = LlamaTiny(**options)
    torch.manual_seed(1)
    first = backbone.build(words, 0).state_dict()
    torch.manual_seed(2)
    untouched = torch.get_rng_state()
    second, other = backbone.build(words, 0).state_dict(), backbone.build(words, 1).state_dict()
    assert torch.equal(torch.get_rng_state(), untouched)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["causal.lm_head.weight"], other["causal.lm_head.weight"])


def test_impossible_shapes_are_refused() -> None:
    with pytest.raises(ValidationError, match="heads"):
        LlamaTiny(hidden=30, heads=4)
    with pytest.raises(ValidationError, match="kv_heads"):
        LlamaTiny(kv_heads=3)
    with pytest.raises(ValidationError, match="258"):
        LlamaTiny(vocabulary=257)


def test_options_are_listed_without_torch() -> None:
    program = (
        "import sys, gad_llama.plugin, gad_smollm2.plugin; assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


# -------------------------------------------------------------------------------------------------------- smollm2


@pytest.fixture(scope="session")
def smollm2() -> SmolLM2:
    if weights._record(weights.folder()) is None:
        pytest.skip(f"SmolLM2 is not fetched: {weights.COMMAND}")
    return SmolLM2()


def test_smollm2_is_really_pretrained(smollm2: SmolLM2) -> None:
    text = smollm2.text([])
    model = smollm2.build(text, 0).eval()
    assert (model.vocabulary, model.hidden_size) == (49152, 576)

    def perplexity(sentence: str) -> float:
        ids = torch.tensor([text.encode(sentence)])
        with torch.no_grad():
            states = model(model.embed(ids), None, torch.arange(ids.shape[1])[None])
            return float(torch.nn.functional.cross_entropy(model.logits(states[0, :-1]), ids[0, 1:]).exp())

    sensible = perplexity("To make a cup of tea, first boil the water, then pour it over the tea leaves and wait.")
    assert sensible < 20
    assert perplexity("To wait cup of a tea, first the it water, leaves pour then boil over tea and make the.") > 100


def test_smollm2s_tokenizer(smollm2: SmolLM2) -> None:
    text = smollm2.text([])
    assert (text.vocabulary, text.bos, text.eos) == (49152, 1, 2)
    assert text.special == set(range(17))
    assert text.encode("Hello world") == [19556, 905]
    assert (
        text.decode(text.encode("  12 cups\n\n héllo 你好 🎉 <|im_end|>")) == "  12 cups\n\n héllo 你好 🎉 <|im_end|>"
    )
    assert [text.decode([token]) for token in text.encode(" room 101")] == [" room", " ", "1", "0", "1"]


def test_smollm2_that_was_not_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAD_CACHE", str(tmp_path))
    with pytest.raises(BackboneError, match="python -m gad_smollm2 fetch"):
        SmolLM2().text([])


def test_damaged_smollm2_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAD_CACHE", str(tmp_path))
    place = weights.folder()
    place.mkdir()
    (place / "model.safetensors").write_bytes(b"weights")
    sums = {"model.safetensors": weights._sha256(place / "model.safetensors")}
    weights._write_record(place, sums)
    assert weights.fetched() == place
    (place / "model.safetensors").write_bytes(b"Weights")
    with pytest.raises(BackboneError, match="is damaged"):
        weights.fetched()
    (place / "model.safetensors").unlink()
    with pytest.raises(BackboneError, match="is missing"):
        weights.fetched()


def test_another_gguf_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAD_CACHE", str(tmp_path / "cache"))
    (tmp_path / weights.GGUF).write_bytes(b"GGUF")
    monkeypatch.setattr(weights, "_installed", lambda: tmp_path / weights.GGUF)
    with pytest.raises(BackboneError, match="SHA-256 differs"):
        weights.fetch(lambda line: None)
    assert list((tmp_path / "cache").iterdir()) == []
