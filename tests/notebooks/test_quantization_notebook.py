"""Notebook 11: its blocks are those of gguf, its claims turn when the data are swapped, and a matrix is
chosen on the development people.

Nothing is trained or quantized here: the claims' cells run on odds that are made up.
"""

import ast
from types import SimpleNamespace

import gguf
import llama_cpp
import matplotlib
import numpy as np
import pytest

from helpers import cases, evaluate, export, lab, notebooks, show
from helpers.files import ROOT, read_json
from helpers.lab.results import results_path
from helpers.triage import LEVELS

matplotlib.use("Agg")
PATH = ROOT / "notebooks" / "11_quantization.ipynb"
SOURCES = [
    cell.source
    for cell in notebooks.read(PATH).cells
    if cell.cell_type == "code" and notebooks.BOOT_TAG not in cell.metadata.get("tags", [])
]
STEPS = list(export.LADDER)


def _space():
    """The notebook's imports and functions, none of its calls."""
    space = {}
    for source in SOURCES:
        tree = ast.parse(source)
        kinds = ast.Import | ast.ImportFrom | ast.FunctionDef
        tree.body = [node for node in tree.body if isinstance(node, kinds)]
        exec(compile(tree, PATH.name, "exec"), space)
    return space


def _blocks(count=200, seed=0):
    dice = np.random.default_rng(seed)
    weights = dice.normal(size=(count, 32)) * np.exp(dice.normal(size=(count, 1)))
    weights[::7, 3] = 100
    weights[0] = 0
    return weights.astype(np.float32)


# ----------------------------------------------------------------------------------------------------- blocks
def test_the_notebooks_q8_0_is_ggufs_for_random_blocks():
    blocks, q8_0 = _blocks(), _space()["q8_0"]
    theirs = gguf.quants.quantize(blocks, gguf.GGMLQuantizationType.Q8_0)
    for block, row in zip(blocks, theirs, strict=True):
        scale, numbers = q8_0(block)
        assert scale.tobytes() + numbers.tobytes() == row.tobytes()


def test_the_notebooks_q5_k_unpacks_random_super_blocks_as_gguf_does():
    kind = gguf.GGMLQuantizationType.Q5_K
    _, size = gguf.GGML_QUANT_SIZES[kind]
    dice = np.random.default_rng(0)
    raw = dice.integers(0, 256, (100, size), dtype=np.uint8)
    raw[:, :4] = dice.normal(size=(100, 2)).astype(np.float16).view(np.uint8)
    q5_k = _space()["q5_k"]
    ours = np.stack([q5_k(row.tobytes()) for row in raw])
    assert np.allclose(ours, gguf.quants.dequantize(raw, kind), rtol=1e-5, atol=1e-5)


def test_kl_is_never_below_zero_and_zero_only_for_equal_odds():
    kl, dice = _space()["kl"], np.random.default_rng(0)
    p, q = (np.log(dice.dirichlet(np.ones(40), 500)) for _ in range(2))
    assert (kl(p, q) > 0).all() and np.allclose(kl(p, p), 0)
    assert kl(np.log([0.5, 0.5]), np.log([0.25, 0.75])) == pytest.approx(
        0.5 * np.log(2) + 0.5 * np.log(2 / 3)
    )


def test_the_matrix_reaches_llama_cpp_as_a_closed_array():
    squares = {"blk.0.ffn_up.weight": np.arange(3, dtype=np.float32), "b": np.ones(2, np.float32)}
    entries = _space()["importance"](squares)
    assert isinstance(entries[0], llama_cpp.llama_model_imatrix_data) and len(entries) == 3
    assert [(one.name, one.size) for one in entries] == [(b"blk.0.ffn_up.weight", 3), (b"b", 2), (None, 0)]
    assert entries[0].data[:3] == [0, 1, 2]


# ----------------------------------------------------------------------------------------------------- claims
LADDER_CELLS = (
    "column_of = np.repeat", "values = [apart", "changed = {", "kept = {step", "names = {token",
    'lab.claim(\n    "Q5_K_M changes', 'lab.claim(\n    "Q2_K gives', "five = np.sort", "close = lead", 'lab.claim(\n    "Down to', 'lab.claim(\n    "Q2_K also',
)  # fmt: skip
ODDS = "With every step down the probabilities move further away from the 16-bit file's"
FIRST = "Already at the first step, somebody is told another level"
BAR = "Q5_K_M, the blog's recommendation, is shown to be below that bar, and so is every smaller file"
QUALITY = "Q5_K_M changes the share of accepted levels by less than five points"
HIDDEN = "Q2_K gives more than a fifth of the people another level"
CLOSE = "Down to Q4_K_M hardly any clear call changes, and at Q4_K_M close calls do"
CLEAR = "Q2_K also changes clear calls"


def _cell(start):
    (source,) = [source for source in SOURCES if source.startswith(start)]
    return source


def _claims(noise, mostly_right=False):
    """What the cells claim of a model that is sure of a level, where every file adds so much noise to its odds."""
    lab.start("11_quantization")
    people = cases.evaluation_prompts("dev")[:400]
    dice = np.random.default_rng(0)
    scores = dice.normal(size=(len(people), len(LEVELS)))
    for place, (row, one) in enumerate(zip(scores, people, strict=True)):
        row[LEVELS.index(one.level) if mostly_right else place % len(LEVELS)] += 2.5
    files = {
        step: scores + size * dice.normal(size=scores.shape) for step, size in zip(STEPS, noise, strict=True)
    }
    odds = {step: one - np.log(np.exp(one).sum(1, keepdims=True)) for step, one in files.items()}
    columns = {
        "vignettes": people[:200],
        "held-out syndromes": people[200:300],
        "test wordings": people[300:],
    }
    space = _space() | {"steps": STEPS, "odds": odds, "people": people, "columns": columns}
    space |= {"first": {level: place for place, level in enumerate(LEVELS)}}
    space |= {"sizes": dict.fromkeys(STEPS, 100)}
    space |= {"predicted": {step: SimpleNamespace(bits_per_weight=8.0) for step in STEPS}}
    for start in LADDER_CELLS:
        exec(compile(_cell(start), PATH.name, "exec"), space)
    stored = read_json(results_path())["claims"]["11_quantization"]
    return {sentence: claim["holds"] for sentence, claim in stored.items()}


def test_the_claims_hold_for_a_ladder_that_gets_worse_and_each_turns_when_the_data_are_swapped():
    falling = (0, 0.03, 0.08, 0.15, 0.3, 2.5)
    assert _claims(falling) == dict.fromkeys((ODDS, FIRST, BAR, QUALITY, HIDDEN, CLOSE, CLEAR), True)
    rising = _claims((0, *reversed(falling[1:])))
    assert not any(rising[one] for one in (ODDS, BAR, HIDDEN, CLOSE, CLEAR))
    equal = _claims((0,) * 6)
    assert {sentence for sentence, holds in equal.items() if holds} == {QUALITY}
    assert not _claims((0, 0.03, 0.08, 2.5, 2.6, 2.7), mostly_right=True)[QUALITY]


def test_the_matrix_is_chosen_on_the_development_people_alone():
    choice = next(source for source in SOURCES if source.startswith("chosen = min("))
    rule = ast.unparse(ast.parse(choice).body[0])
    assert "dev_odds" in rule and "odds" not in {
        n.id for n in ast.walk(ast.parse(rule)) if isinstance(n, ast.Name)
    }
    dev = next(source for source in SOURCES if source.startswith("dev = ["))
    assert "evaluation_prompts('dev')" in ast.unparse(ast.parse(dev)) and "columns" not in dev


@pytest.mark.parametrize(("noise", "holds"), [(1.0, True), (0.01, False)])
def test_the_claim_about_bits_turns_where_the_file_with_the_matrix_is_the_nearer_one(noise, holds):
    lab.start("11_quantization")
    dice = np.random.default_rng(0)
    scores = dice.normal(size=(200, len(LEVELS)))
    files = {"F16": 0, "Q4_K_M": 0.1, "Q2_K": 1.2, "matrix": noise}
    noisy = {name: scores + size * dice.normal(size=scores.shape) for name, size in files.items()}
    odds = {name: one - np.log(np.exp(one).sum(1, keepdims=True)) for name, one in noisy.items()}
    price = evaluate.bootstrap_mean([0.5, 0.6])
    space = _space() | {"odds": odds, "chosen": "matrix", "saved": price, "apart": {"Q2_K": price}}
    exec(compile(_cell("behind = "), PATH.name, "exec"), space)
    (claim,) = read_json(results_path())["claims"]["11_quantization"].values()
    assert claim["holds"] is holds


def test_the_record_holds_what_the_ledger_asks_for():
    lab.start("11_quantization")
    space = _space() | {"steps": STEPS, "show": show, "evaluate": evaluate}
    exec(compile(_cell("large = {"), PATH.name, "exec"), space)
    asked = {
        key
        for claim in lab.claims().values()
        for test in claim.tests
        for keys in test.keys.values()
        for key in keys
        if isinstance(key, str) and key.startswith("size_1b2.")
    }
    assert len(asked) >= 4
    for key in asked:
        assert lab.result(key)


def test_the_conversions_centre_that_the_page_opens_is_short():
    import inspect

    body = inspect.getsource(export.write_f16).splitlines()[2:]
    assert len(body) <= 10 and "show.source(export.write_f16)" in SOURCES
