"""Notebook 11: the block cut by hand, the ladder asked and weighed, the picker, and the real model from a hub on loopback."""

import http.server
import json
import threading
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_notebooks import _defined_in

from helpers import cases, evaluate, export, lab
from helpers.evaluate import wilson
from helpers.files import DATA, LabError
from helpers.lab import costs, ladder, picker
from helpers.lab.ladder import Step
from helpers.train import current_profile
from helpers.triage import LEVELS

NANO = DATA / "nano-base"
PEOPLE = cases.evaluation_prompts("dev")[:4]
Q8_0, KL = _defined_in("11_quantization", "q8_0", "kl", np=np)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The nano base on three steps."""
    folder = tmp_path_factory.mktemp("files")
    whole = export.export(NANO, folder / "F16.gguf")
    return {"F16": whole} | {
        quant: export.quantize(whole.path, folder / f"{quant}.gguf", quant) for quant in ("Q8_0", "Q2_K")
    }


@pytest.fixture
def alone(monkeypatch):
    """One worker: everything happens in this process."""
    profile = current_profile()
    monkeypatch.setattr(
        ladder, "current_profile", lambda: replace(profile, grid={**profile.grid, "workers": 1})
    )


def _step(quant, winners, size=6, lead=2.0, bytes=100):
    """A file that gives each person the level of this number; tokens 1…5 are the levels."""
    logits = np.zeros((len(winners), size))
    logits[range(len(winners)), winners] = lead
    return Step(
        quant,
        bytes,
        ladder.log_softmax(logits),
        (1, 2, 3, 4, 5),
        (quant,) * len(winners),
        ("stop",) * len(winners),
    )


# ------------------------------------------------------------------------------------------------------------ one block
@given(
    st.lists(
        st.floats(-1000, 1000, width=32).filter(lambda x: x == 0 or abs(x) > 1e-3), min_size=32, max_size=32
    )
)
@settings(max_examples=200, deadline=None)
def test_the_block_of_the_notebook_is_what_the_gguf_package_writes(values):
    block = np.array(values, dtype=np.float32)
    scale, numbers = Q8_0(block)
    assert (
        scale.tobytes() + numbers.tobytes()
        == gguf.quants.quantize(block, gguf.GGMLQuantizationType.Q8_0).tobytes()
    )


def test_a_block_of_zeros_needs_no_scale():
    scale, numbers = Q8_0(np.zeros(32, dtype=np.float32))
    assert scale == 0 and not numbers.any()


def test_the_block_of_the_notebook_is_what_llama_cpp_writes(files):
    found = {
        quant: {one.name: one for one in gguf.GGUFReader(file.path).tensors}["blk.0.ffn_gate.weight"]
        for quant, file in files.items()
    }
    for block, row in zip(
        found["F16"].data.astype(np.float32).reshape(-1, 32), found["Q8_0"].data.reshape(-1, 34), strict=True
    ):
        scale, numbers = Q8_0(block)
        assert scale.tobytes() + numbers.tobytes() == row.tobytes()


# ----------------------------------------------------------------------------------------------------------- comparisons
def test_the_divergence_of_the_notebook_is_the_helpers():
    rng = np.random.default_rng(0)
    one, other = (
        Step("x", 1, ladder.log_softmax(rng.normal(size=(5, 9))), (1, 2, 3, 4, 5)) for _ in range(2)
    )
    assert ladder.divergences(one, other) == pytest.approx(
        [KL(np.exp(p), np.exp(q)) for p, q in zip(one.scores, other.scores, strict=True)]
    )
    assert ladder.divergences(one, one) == [0.0] * 5


def test_a_step_reads_levels_and_margins_and_a_token_that_is_no_level_is_none():
    step = _step("F16", [1, 5, 0])
    assert step.given == ("ROJO", "AZUL", None)
    assert step.margins == pytest.approx([2.0] * 3)
    assert ladder.agreement(step, _step("Q2_K", [1, 4, 0])) == [True, False, True]


def test_a_comparison_counts_moves_to_either_side_and_pairs_the_accuracy():
    people = [replace(PEOPLE[0], level=level, accepted=(level,)) for level in LEVELS]
    steps = {"F16": _step("F16", [1, 2, 3, 4, 5]), "Q2_K": _step("Q2_K", [2, 1, 3, 4, 4], bytes=25)}
    row = lab.ladder.compare(steps, people)["Q2_K"]
    assert (row.sooner, row.later) == (2, 1) and row.reduction == 0.75
    assert (
        row.agreement.value == 0.4
        and row.accuracy.value == 0.4
        and row.change.estimate == pytest.approx(-0.6)
    )
    assert row.same_text.value == 0.0
    assert lab.ladder.compare(steps, people)["F16"].agreement.value == 1.0
    assert lab.ladder.first_shown(lab.ladder.compare(steps, people), 0.99) == "Q2_K"
    assert lab.ladder.first_shown({"F16": lab.ladder.compare(steps, people)["F16"]}, 0.99) is None


def test_the_worst_hit_was_told_right_before():
    people = [
        replace(PEOPLE[0], level=level, accepted=(level,)) for level in ("ROJO", "ROJO", "VERDE", "AZUL")
    ]
    whole = _step("F16", [2, 1, 4, 5])
    assert (
        lab.ladder.worst_hit(whole, _step("Q2_K", [5, 3, 4, 5]), people) == 1
    )  # the first was wrong already
    assert (
        lab.ladder.worst_hit(whole, _step("Q2_K", [2, 1, 4, 1]), people) == 3
    )  # nobody told too little: too much
    assert lab.ladder.worst_hit(whole, whole, people) == 0


def test_the_figures_are_recorded_under_the_canonical_keys():
    lab.start("test")
    steps = {"F16": _step("F16", [1, 2, 3, 4]), "Q2_K": _step("Q2_K", [1, 2, 3, 3], bytes=25)}
    lab.ladder.record_ladder(lab.ladder.compare(steps, PEOPLE))
    lab.costs.record_costs({"F16": costs.Cost("F16", (0.1, 0.3, 0.2), (10, 20, 15), (100.0, 120.0))})
    lab.ladder.record_sizes({quant: export.predict_large(quant) for quant in export.LADDER})
    for name in ("bytes", "label_agreement", "kl"):
        assert lab.result(f"quant.Q2_K.{name}")
    assert lab.result("quant.F16.tokens_per_second")["n"] == 2
    assert (
        lab.result("quant.F16.load_seconds")["value"] == 0.2
        and lab.result("quant.F16.peak_bytes")["value"] == 20
    )
    assert lab.result("size_1b2.Q5_K_M.bytes")["value"] == export.predict_large("Q5_K_M").bytes


@pytest.mark.parametrize(
    "claim",
    [
        "model_size",
        "size_f16",
        "size_f16_heading",
        "size_q4",
        "size_q2",
        "reduction_q2",
    ],
)
def test_the_blogs_sizes_follow_from_the_config(claim):
    lab.start("test")
    lab.ladder.record_sizes({quant: export.predict_large(quant) for quant in export.LADDER})
    assert lab.verdict(lab.claims()[claim]).verdict == "reproduced"


# ------------------------------------------------------------------------------------------------------------- asked, weighed
def test_a_ladder_is_asked_once_and_read_again(files, alone, monkeypatch):
    few = {"base": {quant: files[quant] for quant in ("F16", "Q2_K")}, "other": {"F16": files["F16"]}}
    steps = lab.ladder.climb(few, PEOPLE, writes=["base"])
    assert list(steps) == ["base", "other"] and list(steps["base"]) == ["F16", "Q2_K"]
    step = steps["base"]["Q2_K"]
    assert step.scores.shape[0] == len(step.texts) == len(PEOPLE) and step.bytes == files["Q2_K"].bytes
    assert np.exp(step.scores).sum(1) == pytest.approx([1.0] * len(PEOPLE))
    assert (
        steps["other"]["F16"].texts == ()
        and (steps["other"]["F16"].scores == steps["base"]["F16"].scores).all()
    )
    monkeypatch.setattr(ladder, "_ask", lambda *_: pytest.fail("asked again"))
    assert (lab.ladder.climb(few, PEOPLE, writes=["base"])["base"]["Q2_K"].scores == step.scores).all()


def test_the_levels_are_the_tokens_that_stand_at_the_levels_place(files, alone):
    from helpers.train import load_tokenizer

    step = lab.ladder.climb({"base": {"F16": files["F16"]}}, PEOPLE[:1])["base"]["F16"]
    assert [load_tokenizer(NANO).decode([token]).strip() for token in step.levels] == list(LEVELS)


def test_a_damaged_outcome_is_one_message(files, alone, tmp_path):
    ladders = {"base": {"F16": files["F16"]}}
    lab.ladder.climb(ladders, PEOPLE)
    (outcome,) = (tmp_path / "build" / "outcomes" / "nano").glob("step-*.npz")
    outcome.write_bytes(outcome.read_bytes()[:200])
    with pytest.raises(LabError, match=r"not a whole outcome.*Delete it"):
        lab.ladder.climb(ladders, PEOPLE)


def test_a_file_is_weighed_in_processes_of_its_own_and_kept(files, monkeypatch):
    few = {quant: files[quant] for quant in ("F16", "Q2_K")}
    found = lab.costs.weigh(few, PEOPLE[:2], rounds=2)
    whole = found["F16"]
    assert (
        len(whole.rates) == 4
        and min(whole.rates) > 0
        and len(whole.load_seconds) == 2
        and 0 < whole.load < 30
    )
    assert files["F16"].bytes < whole.peak < 200e6
    assert found["Q2_K"].peak < whole.peak
    monkeypatch.setattr(costs, "_probe", lambda *_: pytest.fail("weighed again"))
    assert lab.costs.weigh(few, PEOPLE[:2], rounds=2)["F16"] == whole


def test_a_file_that_cannot_be_weighed_is_one_message(tmp_path):
    (tmp_path / "x.gguf").write_bytes(b"GGUF")
    with pytest.raises(LabError, match=r"measures x\.gguf failed.*run the cell again"):
        costs._probe(tmp_path / "x.gguf", {"prompts": [[1]], "limit": 1, "context": 32})


# ------------------------------------------------------------------------------------------------------------------ picker
LARGE = [export.predict_large(quant) for quant in export.LADDER]
GOOD = picker.Evidence(wilson(480, 480), evaluate.gates.judge(PEOPLE, [row.answer for row in PEOPLE], []))


def _report(passed):
    people = cases.evaluation_prompts("test")
    answers = [row.answer for row in people] if passed else evaluate.always("ROJO", people)
    return evaluate.gates.judge(people, answers)


PASSED, FAILED = _report(True), _report(False)
SOUND = dict.fromkeys(export.LADDER, picker.Evidence(wilson(480, 480), PASSED))


@given(st.floats(0.5, 32), st.floats(0.5, 100), st.floats(0, 8), st.floats(0, 50))
@settings(max_examples=60, deadline=None)
def test_a_better_phone_never_gets_a_smaller_file(memory, bandwidth, more, faster):
    order = [*export.LADDER, None]
    name = lambda phone: (chosen := picker.recommend(phone, SOUND, LARGE).chosen) and chosen.quant  # noqa: E731
    assert order.index(name(picker.Phone(memory + more, bandwidth + faster))) <= order.index(
        name(picker.Phone(memory, bandwidth))
    )


@given(st.floats(0.5, 32), st.floats(0.5, 100))
@settings(max_examples=60, deadline=None)
def test_what_is_recommended_fits_keeps_up_and_is_the_largest_that_does(memory, bandwidth):
    advice = picker.recommend(picker.Phone(memory, bandwidth), SOUND, LARGE)
    able = [offer for offer in advice.offers if offer.needed <= 0.3 * memory * 1e9 and offer.at_most >= 8.0]
    assert advice.chosen == (able[0] if able else None)
    assert [offer.needed for offer in advice.offers] == sorted(
        (offer.needed for offer in advice.offers), reverse=True
    )


@given(st.integers(0, 480), st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_file_whose_answers_failed_is_never_recommended_without_saying_so(kept, passed):
    evidence = dict.fromkeys(export.LADDER, picker.Evidence(wilson(kept, 480), PASSED if passed else FAILED))
    advice = picker.recommend(picker.Phone(12, 64), evidence, LARGE)
    text = lab.readings.advice_text(advice)
    assert ("gates not passed: label" in text) is not passed
    assert ("another level than from F16" in text) is (wilson(kept, 480).high < 0.99)
    assert ("not shown that 99%" in text) is (wilson(kept, 480).low < 0.99 <= wilson(kept, 480).high)


def test_memory_and_speed_follow_from_the_bytes():
    shape, file = picker.large_architecture(), export.predict_large("Q5_K_M")
    assert picker.cache_bytes(shape, 1000) - picker.cache_bytes(shape, 0) == 1000 * 6 * 2 * 8 * 64 * 2
    assert picker.memory_needed(file, shape, 0) == file.bytes + 10 * 2 * 2048 * 4 + 512 * 65536 * 4
    weights = sum(choice.bytes for choice in file.tensors)
    assert picker.tokens_at_most(file, 2 * weights / 1e9) == pytest.approx(2.0)
    assert (
        picker.recommend(picker.Phone(8, 30), SOUND).offers
        == picker.recommend(picker.Phone(8, 30), SOUND, LARGE).offers
    )


@pytest.mark.parametrize("wrong", [{"memory": 0}, {"bandwidth": -1}, {"share": 1.5}, {"wanted": 0}])
def test_a_phone_without_memory_is_refused(wrong):
    with pytest.raises(LabError, match="A phone needs"):
        picker.Phone(**({"memory": 4, "bandwidth": 10} | wrong))


# ------------------------------------------------------------------------------------------------------------ the real model
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class _Hub(http.server.BaseHTTPRequestHandler):
    """A hub of one model, the nano base, on loopback."""

    def do_GET(self):
        self.do_HEAD(body=True)

    def do_HEAD(self, body=False):
        if "/api/models/" in self.path:
            files = [
                {"type": "file", "path": path.name, "size": path.stat().st_size, "oid": path.name}
                for path in NANO.iterdir()
            ]
            answer = (
                files
                if "/tree/" in self.path
                else {
                    "id": "lab/nano",
                    "sha": COMMIT,
                    "siblings": [{"rfilename": row["path"]} for row in files],
                }
            )
            content, extra = json.dumps(answer).encode(), {}
        else:
            content = (NANO / Path(self.path).name).read_bytes()
            extra = {"ETag": f'"{Path(self.path).name}"', "X-Repo-Commit": COMMIT}
        self.send_response(200)
        for name, value in (
            {"Content-Length": str(len(content)), "Content-Type": "application/json"} | extra
        ).items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_model_from_the_hub_becomes_a_ladder_of_the_predicted_sizes(hub, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    folder = lab.ladder.fetch_real("lab/nano", endpoint=hub, cache_dir=tmp_path / "cache", token=False)
    assert (folder / "model.safetensors").read_bytes() == (NANO / "model.safetensors").read_bytes()
    made = lab.ladder.files_of(folder, ["F16", "Q5_K_M"])
    assert {quant: file.bytes for quant, file in made.items()} == {
        q: export.predict_folder(folder, q).bytes for q in ("F16", "Q5_K_M")
    }


def test_without_the_hub_there_is_one_message(tmp_path):
    with pytest.raises(LabError, match=r"Could not fetch LiquidAI/LFM2\.5-1\.2B-Base.*leave FETCH at False"):
        lab.ladder.fetch_real(cache_dir=tmp_path)


def test_a_hub_that_refuses_is_one_message(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with pytest.raises(LabError, match="Could not fetch"):
        lab.ladder.fetch_real("lab/nano", endpoint="http://127.0.0.1:9", cache_dir=tmp_path, token=False)
