"""The nano base: what it may and may not have read, what it is, and that it knows no level."""

import json

import pytest

from helpers import cases, evaluate, lab
from helpers.files import ROOT, fingerprint
from helpers.lab import bases
from helpers.pretrain import build
from helpers.pretrain.corpus import Document, leaks, write_corpus
from helpers.train import load_tokenizer

BASE = ROOT / "data" / "nano-base"
FACTS = json.loads((BASE / "training.json").read_text())
FINDING = next(iter(cases.findings().values()))


def test_the_shipped_base_read_exactly_the_corpus_that_the_repository_writes_today():
    documents = write_corpus(FACTS["documents"], FACTS["settings"]["seed"])
    assert fingerprint([document.text for document in documents]) == FACTS["corpus_fingerprint"]
    assert leaks(documents) == []
    assert FACTS["settings"] == build.SETTINGS


@pytest.mark.parametrize(
    "text",
    [
        f"{FINDING.term.capitalize()}: nivel ROJO.",
        f"{FINDING.texts('test')[0]}. Este cuadro pone en riesgo la vida ahora mismo.",
        f"Le cuento: {cases.evaluation_prompts('syndromes')[0].text}",
        f"Mujer de 40 años: {FINDING.texts('dev')[0]}.\nEste cuadro es leve y reciente.",
    ],
)
def test_the_leak_search_finds_what_must_not_be_said(text):
    assert leaks([Document((("text", text),))])


def test_the_leak_search_lets_pass_what_may_be_said():
    fine = [
        f"{FINDING.term}. Este cuadro pone en riesgo la vida ahora mismo.",
        f"{FINDING.texts('test')[0]}, es decir, {FINDING.term}.",
        "El coche es de color ROJO.",
    ]
    assert leaks([Document((("text", text),)) for text in fine]) == []


def test_no_vignette_is_in_the_corpus():
    texts = "\n".join(document.text for document in write_corpus(20_000, FACTS["settings"]["seed"])).lower()
    assert [row.id for row in cases.vignettes() if row.text.lower() in texts and len(row.text) > 60] == []


def test_the_base_is_a_small_lfm2_with_real_convolutions_that_k_quants_can_take():
    config = json.loads((BASE / "config.json").read_text())
    assert config["architectures"] == ["Lfm2ForCausalLM"]
    assert set(config["layer_types"]) == {"conv", "full_attention"}
    assert config["hidden_size"] % 256 == 0 and config["intermediate_size"] % 256 == 0
    assert 3e6 <= FACTS["parameters"] <= 6e6
    assert any("conv.conv" in name for name, _ in evaluate.load(lab.base_model()).model.named_parameters())


def test_the_tokenizer_splits_as_llama_3_does_and_decodes_what_it_encodes():
    core = json.loads((BASE / "tokenizer.json").read_text())
    split = core["pre_tokenizer"]["pretokenizers"]
    assert (
        split[0]["pattern"]["Regex"] == build.SPLIT
        and split[1]["type"] == "ByteLevel"
        and not split[1]["use_regex"]
    )
    tokenizer = load_tokenizer(BASE)
    for text in ("¿Qué le pasa? ¡Ay!\n\n  tab\t12345 kg", "漢字 🚑", "Nivel de Urgencia: ROJO — Emergencia"):
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


def test_every_level_word_is_one_token_in_its_place():
    tokenizer = load_tokenizer(BASE)
    for level in ("ROJO", "NARANJA", "AMARILLO", "VERDE", "AZUL"):
        assert len(tokenizer.encode(f" {level}", add_special_tokens=False)) == 1


def test_the_chat_template_renders_chatml_with_one_bos():
    tokenizer = load_tokenizer(BASE)
    rendered = tokenizer.apply_chat_template(
        [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}],
        tokenize=False,
        add_generation_prompt=True,
    )
    assert (
        rendered
        == "<|startoftext|><|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n"
    )
    assert tokenizer.encode(rendered, add_special_tokens=False).count(tokenizer.bos_token_id) == 1
    assert tokenizer.eos_token == "<|im_end|>"


def test_zero_shot_the_base_chooses_levels_no_better_than_a_random_word():
    prompts = [row for split in ("dev", "test") for row in cases.evaluation_prompts(split)]
    beliefs = evaluate.label_probabilities(lab.base_model(), prompts)
    rate = evaluate.wilson(
        sum(max(belief, key=belief.get) == row.level for belief, row in zip(beliefs, prompts, strict=True)),
        len(prompts),
    )
    print(f"zero-shot, forced choice: {rate}")
    assert rate.low <= 0.2


def test_unasked_the_base_gives_no_level():
    answers = evaluate.generate(lab.base_model(), cases.evaluation_prompts("dev")[::10])
    scores = evaluate.score(cases.evaluation_prompts("dev")[::10], [answer.text for answer in answers])
    print(f"zero-shot, free answers: accuracy {scores.accuracy}, unreadable {scores.unreadable}")
    assert scores.accuracy.high < 0.4


def test_the_card_records_corpus_steps_tokens_loss_and_seconds():
    card = (BASE / "README.md").read_text()
    compared = BASE / "columns.json"  # written by `pretrain --compare`
    assert card == build.card(
        FACTS, bases.table(json.loads(compared.read_text())) if compared.exists() else ""
    )
    for fact in ("steps", "tokens", "first_loss", "last_loss", "seconds", "documents"):
        assert FACTS[fact]


def test_pretraining_is_a_command_that_anyone_can_rerun(tmp_path):
    facts = build.pretrain(tmp_path, {"documents": 300, "vocab": 600})
    assert facts["last_loss"] < facts["first_loss"]
    assert {"model.safetensors", "tokenizer.json", "README.md", "training.json"} <= {
        file.name for file in tmp_path.iterdir()
    }


def test_the_corpus_is_a_function_of_its_seed():
    assert write_corpus(50, 1) == write_corpus(50, 1) != write_corpus(50, 2)
