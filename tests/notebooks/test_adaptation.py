"""Notebook 02: LoRA and perplexity as it defines them, the corpus that no key asks a teacher for, and claims
that turn with the figures.
"""

import ast
import dataclasses
import json
import math
import re
import socket
import threading
from types import SimpleNamespace

import pytest
import torch
from peft import LoraConfig, get_peft_model

from helpers import cases, evaluate, lab, notebooks, recipes, show, train
from helpers.evaluate import TextLoss
from helpers.files import ROOT, LabError
from helpers.lab.stages import stage_key
from helpers.recipes import medical
from helpers.triage import LEVEL_HEADING, LEVELS

NANO = train.profile_named("nano")
TEXTS = ["La vecina riega las plantas por la tarde.", "El paracetamol baja la fiebre.", "Sí."]
CELLS = [
    cell.source
    for cell in notebooks.read(ROOT / "notebooks" / "02_domain_adaptation.ipynb").cells
    if cell.cell_type == "code" and notebooks.BOOT_TAG not in cell.metadata.get("tags", [])
]


def _defined(*wanted, **space):
    """Functions and classes of the notebook with its imports, by name."""
    for source in CELLS:
        for node in ast.parse(source).body:
            if isinstance(node, ast.Import | ast.ImportFrom) or getattr(node, "name", "") in wanted:
                exec(compile(ast.Module([node], []), "02", "exec"), space)
    return [space[name] for name in wanted]


# ------------------------------------------------------------------------------------------------------- LoRA
def test_the_layer_of_ten_lines_computes_what_pefts_does():
    layer, trainable = _defined("LoraLinear", "trainable")
    model = torch.nn.Sequential(torch.nn.Linear(12, 7))
    adapted = get_peft_model(model, LoraConfig(r=3, lora_alpha=6, target_modules=["0"], lora_dropout=0.0))
    theirs, x = adapted.base_model.model[0], torch.randn(4, 12)
    ours = layer(theirs.base_layer, r=3, alpha=6)
    assert torch.equal(ours(x), theirs.base_layer(x)) and trainable(ours) == trainable(adapted) == 3 * (
        12 + 7
    )
    with torch.no_grad():
        theirs.lora_A["default"].weight.copy_(ours.A)
        theirs.lora_B["default"].weight.copy_(ours.B.normal_())
    assert torch.allclose(ours(x), adapted(x), atol=1e-5) and not torch.allclose(
        ours(x), theirs.base_layer(x)
    )


# ------------------------------------------------------------------------------------------------- perplexity
def _text(*losses):
    return TextLoss("x" * len(losses), tuple((place, place + 1) for place in range(len(losses))), losses)


def test_perplexity_counts_tokens_and_not_texts():
    (perplexity,) = _defined("perplexity")
    assert perplexity([_text(math.log(2)), _text(*[math.log(8)] * 3)]) == pytest.approx(2**2.5)


def test_token_losses_in_a_padded_batch_are_those_of_the_text_alone():
    together = evaluate.text_losses(NANO.base, [*TEXTS, ""])
    for text, one in zip(TEXTS, together[:3], strict=True):
        alone = evaluate.text_losses(NANO.base, [text])[0]
        assert one.text == text and one.losses == pytest.approx(alone.losses, abs=1e-3)
    assert together[3] == TextLoss("")


def test_a_token_loss_is_what_the_model_itself_reports():
    loaded = evaluate.load(NANO.base)
    ids = loaded.tokenizer(TEXTS[0], return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        mean = loaded.model(input_ids=ids, labels=ids).loss.item()
    scored = evaluate.text_losses(NANO.base, [TEXTS[0]])[0]
    assert sum(scored.losses) / len(scored.losses) == pytest.approx(mean, rel=1e-4)
    spans = [found.span() for found in re.finditer(r"\w+", TEXTS[0])]
    assert sum(scored.over(*span) for span in spans) <= sum(scored.losses) + 1e-6


def test_a_word_of_several_tokens_costs_their_sum():
    assert _text(1.0, 2.0, 4.0).over(0, 2) == 3.0


# ------------------------------------------------------------------------------------------------- the corpus
@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A corpus of a few rows, built once, and its profile."""
    profile = dataclasses.replace(NANO, counts={**NANO.counts, "translated": 30})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRIAGE_BUILD", str(tmp_path_factory.mktemp("corpus")))
        return profile, recipes.build_corpus(profile).read_text(encoding="utf-8")


@pytest.fixture
def there(corpus):
    """The same corpus in this test's build folder."""
    profile, content = corpus
    path = medical.corpus_path(profile)
    path.parent.mkdir(parents=True)
    path.write_text(content, encoding="utf-8")
    return profile


@pytest.fixture
def no_sockets(monkeypatch):
    def refused(*_, **__):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refused)
    monkeypatch.setattr("subprocess.Popen", refused)


def test_the_key_of_the_stage_is_computed_without_a_server(there, no_sockets):
    threads, recipe = threading.active_count(), recipes.recipe_named("cpt")
    key = stage_key(recipe.rows(there), recipe.config(there).to_dict(), there.base, there)
    assert re.fullmatch(r"[0-9a-f]{16}", key) and threading.active_count() == threads


def test_a_missing_corpus_is_one_message_that_says_how_to_build_it(no_sockets):
    with pytest.raises(LabError, match=r"has not been built yet.*build_corpus"):
        lab.stage("cpt")


def test_a_corpus_that_is_there_is_read_and_nobody_is_asked(there, no_sockets, capsys):
    assert recipes.build_corpus(there) == medical.corpus_path(there)
    assert "translated texts that passed every check" in capsys.readouterr().out


def test_the_corpus_is_named_by_what_goes_into_it(monkeypatch, tmp_path):
    names = {medical.corpus_path(NANO).name}
    names.add(medical.corpus_path(dataclasses.replace(NANO, counts={**NANO.counts, "translated": 9})).name)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    for model in ("one", "other"):
        monkeypatch.setenv("OPENAI_MODEL", model)
        names.add(medical.corpus_path(NANO).name)
    monkeypatch.setattr(medical, "INPUTS", medical.INPUTS[:-1])
    names.add(medical.corpus_path(NANO).name)
    assert len(names) == 5


def test_held_out_texts_are_never_read_and_no_text_names_a_level(there, corpus):
    reading, held_out = recipes.medical_texts(there), recipes.medical_texts(there, held_out=True)
    everything = [row["text"] for row in json.loads(corpus[1])["texts"]]
    assert reading and held_out and sorted([*reading, *held_out]) == sorted(everything)
    assert not set(reading) & set(held_out)
    named = re.compile(rf"\b(?:{'|'.join(LEVELS)})\b|{LEVEL_HEADING}")
    assert not [text for text in (*everything, *cases.general_texts()) if named.search(text)]
    assert recipes.base_texts(20, 1) == recipes.base_texts(20, 1) != recipes.base_texts(20, 2)
    assert all(recipes.recipe_named("cpt").rows(there, seed)["text"] == reading for seed in (0, 9))
    fewer = {"texts": json.loads(corpus[1])["texts"][::2]}
    medical.corpus_path(there).write_text(json.dumps(fewer), encoding="utf-8")
    assert set(recipes.medical_texts(there)) < set(reading)  # no text moves across when another is missing


def test_a_stopped_translation_is_no_corpus(monkeypatch):
    stopped = SimpleNamespace(stopped="the budget of $5 was reached", passed=[])
    monkeypatch.setattr(medical, "translate", lambda *_: stopped)
    with pytest.raises(LabError, match=r"not whole: the budget.*larger max_cost_usd"):
        recipes.build_corpus(NANO)
    assert not medical.corpus_path(NANO).exists()


def test_the_cell_that_reads_trains_what_the_recipe_trains(there, monkeypatch):
    kept = []
    monkeypatch.setattr(lab, "keep", lambda name, trainer: kept.append((name, trainer)))
    (read,) = _defined("read", profile=there)
    read(recipes.medical_texts(there))
    ((name, trainer),) = kept
    recipe = recipes.recipe_named(name)
    own = stage_key(trainer.rows, trainer.settings, there.base, there)
    assert own == stage_key(recipe.rows(there), recipe.config(there).to_dict(), there.base, there)


# -------------------------------------------------------------------------------------- the notebook's claims
SETS = ("medical", "general", "known")
PRICES = {"before": (38000, 39000, 1.28), "cpt": (320, 520, 11.0), "cpt-replay": (320, 500, 1.8)}
RUNS = {"the base": [0.64, 0.65, 0.62], "reading": [0.41, 0.36, 0.34]}
LATER = {"the base": [0.65, 0.61, 0.61], "reading": [0.64, 0.64, 0.62]}  # after twice the updates


def _told(text, price):
    """Losses of a text at this perplexity: a token a word."""
    spans = tuple(found.span() for found in re.finditer(r"\w+", text))
    return TextLoss(text, spans, (math.log(price),) * len(spans))


@pytest.fixture
def claims(there, monkeypatch):
    """The cells of the notebook, executed on figures that a test makes up; which of its claims hold."""
    monkeypatch.setattr("helpers.show.figures.display", lambda *_: None)

    def play(prices=PRICES, runs=RUNS, later=LATER):
        held_out, general, made = recipes.medical_texts(there, held_out=True), cases.general_texts(), []

        def losses(model, texts):
            place = 0 if texts == held_out else 1 if texts == general else 2
            return [_told(text, prices.get(model, prices["before"])[place]) for text in texts]

        def claim(sentence, holds, *evidence, seeds=None):
            assert evidence
            made.append(bool(holds))

        session = SimpleNamespace(profile=there)
        of_lab = {
            "session": lambda: session,
            "seeds": lambda: range(3),
            "keep": lambda name, _: name,
            "claim": claim,
            "record": lab.record,
        }
        usual = there.grid["updates"]
        of_lab["runs"] = lambda function, cells, label: [
            (later if cell["updates"] > usual else runs)[cell["start"]][cell["seed"]] for cell in cells
        ]
        lab.start("02_domain_adaptation")
        space = {}
        exec(CELLS[0].replace("lab, ", ""), space)
        space |= {"lab": SimpleNamespace(**of_lab), "SFTTrainer": lambda *_, **__: None, "show": show}
        space["evaluate"] = SimpleNamespace(**{**vars(evaluate), "text_losses": losses})
        for source in CELLS[1:]:
            if "exercises.check" not in source:
                exec(source, space)
        return made

    return play


def test_every_claim_holds_on_figures_like_those_of_the_shipped_run(claims):
    assert claims() == [True] * 9
    own = {key: entry for key, entry in lab.measurements().items() if key in lab.results.own_keys()}
    change = own["cpt.sft_accuracy.from_cpt.change"]
    by_hand = evaluate.over_seeds([-0.23, -0.29, -0.28])
    assert (change["value"], change["low"], change["seeds"]) == pytest.approx((by_hand.value, by_hand.low, 3))
    runs = [own[f"cpt.sft_accuracy.from_cpt.mean.s{seed}"]["value"] for seed in range(3)]
    assert runs == pytest.approx(RUNS["reading"], abs=0.002)
    assert own["cpt.known_perplexity.replay"]["value"] == pytest.approx(1.8)


@pytest.mark.parametrize(
    ("turned", "figures"),
    [
        (
            {1},
            {
                "prices": {
                    **PRICES,
                    "before": (3000, 39000, 1.28),
                    "cpt": (100, 520, 11.0),
                    "cpt-replay": (100, 500, 1.8),
                }
            },
        ),
        ({2}, {"prices": {**PRICES, "cpt": (2200, 520, 11.0)}}),
        ({2, 4}, {"prices": {**PRICES, "cpt": (9000, 520, 11.0)}}),
        ({3, 5}, {"prices": {**PRICES, "cpt": (320, 520, 1.5)}}),
        ({5}, {"prices": {**PRICES, "cpt-replay": (320, 520, 9.0)}}),
        ({5}, {"prices": {**PRICES, "cpt-replay": (3200, 520, 1.4)}}),
        ({6, 7}, {"runs": {**RUNS, "reading": [0.8, 0.78, 0.83]}}),
        ({6, 7}, {"runs": {**RUNS, "reading": [0.63, 0.66, 0.62]}}),
        ({7}, {"later": RUNS}),
    ],
)
def test_a_claim_turns_when_its_figures_do(claims, turned, figures):
    assert {place for place, holds in enumerate(claims(**figures)) if not holds} == turned


def test_the_function_that_is_run_trains_and_judges_what_came_out():
    small = dataclasses.replace(NANO, grid={**NANO.grid, "rows": 8, "updates": 2})
    (tuned,) = _defined("tuned", profile=small, tests=cases.evaluation_prompts("test")[:10])
    assert tuned("the base", 0, 2) in [hits / 10 for hits in range(11)]
