"""The runtimes: the same prompts in, the same answers out, and a damaged file is one message."""

import contextlib
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tools import rewrite_gguf

from helpers.cases import Example, evaluation_prompts
from helpers.evaluate import generate, label_probabilities
from helpers.export import export, quantize, read_header
from helpers.files import DATA, ROOT, LabError
from helpers.runtimes import LENGTH, LlamaCpp, Server, Transformers
from helpers.runtimes.llama import checked
from helpers.train import load_tokenizer
from helpers.triage import LEVELS

BASE = DATA / "nano-base"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return export(BASE, tmp_path_factory.mktemp("gguf") / "base.gguf").path


@pytest.fixture(scope="module")
def llama(whole):
    with LlamaCpp(whole) as runtime:
        yield runtime


@pytest.fixture(scope="module")
def examples():
    return evaluation_prompts("dev")[::40]


# -------------------------------------------------------------------------------------------------- llama.cpp
def test_llama_cpp_puts_the_prompt_that_the_tokenizer_puts_token_for_token(llama, examples):
    tokenizer = load_tokenizer(BASE)
    for example, reply in zip(examples, llama.complete(examples, max_new_tokens=1), strict=True):
        rendered = tokenizer.apply_chat_template(example.prompt, add_generation_prompt=True, tokenize=False)
        assert reply.prompt == rendered
        assert reply.tokens == tuple(tokenizer.encode(rendered, add_special_tokens=False))


def test_the_context_is_emptied_between_prompts(llama, examples):
    together = llama.complete(examples[:3], max_new_tokens=30)
    assert together == [llama.complete([example], max_new_tokens=30)[0] for example in examples[:3]]


def test_a_cut_answer_says_so_and_has_as_many_tokens_as_were_allowed(llama, examples):
    (reply,) = llama.complete(examples[:1], max_new_tokens=4)
    assert reply.finish_reason == LENGTH and 1 <= len(llama.encode(reply.text)) <= 4


def test_the_logits_stand_where_the_level_is_said(llama, examples):
    tokenizer = load_tokenizer(BASE)
    logits = llama.label_logits(examples)
    assert logits.shape == (len(examples), len(tokenizer)) and np.isfinite(logits).all()
    levels = [tokenizer.encode(f" {level}", add_special_tokens=False)[0] for level in LEVELS]
    for row, belief in zip(logits, label_probabilities(BASE, examples), strict=True):
        odds = np.exp(row[levels] - row[levels].max())
        np.testing.assert_allclose(odds / odds.sum(), list(belief.values()), atol=2e-3)


def test_a_prompt_longer_than_the_context_is_refused_with_its_length(llama):
    with pytest.raises(LabError, match="does not fit the context"):
        llama.complete([Example("ay " * 3000, LEVELS[0], (LEVELS[0],), "ES")])


def test_llama_cpp_and_transformers_answer_alike(llama, examples):
    texts = [answer.text for answer in generate(BASE, examples, max_new_tokens=30)]
    same = sum(
        reply.text == text
        for reply, text in zip(llama.complete(examples, max_new_tokens=30), texts, strict=True)
    )
    assert same >= 0.8 * len(examples)


# ----------------------------------------------------------------------------------------- the other runtimes
@pytest.fixture(scope="module")
def server(whole):
    with Server(whole) as runtime:
        yield runtime


def test_the_server_renders_tokenizes_and_answers_as_llama_cpp_does(server, llama, examples):
    for ours, theirs in zip(
        llama.complete(examples[:4], max_new_tokens=20),
        server.complete(examples[:4], max_new_tokens=20),
        strict=True,
    ):
        assert (theirs.prompt, theirs.tokens, theirs.text, theirs.finish_reason) == (
            ours.prompt,
            ours.tokens,
            ours.text,
            ours.finish_reason,
        )


def test_the_server_can_be_asked_with_any_client_and_says_what_it_fed(server, llama, examples):
    direct = openai.DefaultHttpxClient(trust_env=False)
    client = openai.OpenAI(base_url=server.url, api_key=server.key, max_retries=0, http_client=direct)
    answer = client.chat.completions.create(model="any", messages=examples[0].prompt, max_tokens=2)
    prompt, tokens = llama.prompt(examples[0])
    assert server.fed() == (prompt, tuple(tokens)) and answer.usage.prompt_tokens == len(tokens)


def test_the_servers_key_is_asked_for_and_stands_in_no_argument_and_no_environment(server):
    url, key = server.url, server.key
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=url, api_key="guess", max_retries=0).models.list()
    assert url.startswith("http://127.0.0.1:")
    proc = Path(f"/proc/{server._process.pid}")
    if proc.exists():
        assert key.encode() not in (proc / "cmdline").read_bytes() + (proc / "environ").read_bytes()


def test_a_stopped_server_is_gone_and_says_so(whole, examples):
    runtime = Server(whole)
    runtime.stop()
    runtime.stop()
    assert runtime._process.poll() is not None
    with pytest.raises(LabError, match="has ended"):
        runtime.complete(examples[:1])


def test_a_server_whose_owner_is_killed_ends_too(whole, tmp_path):
    script = f"from helpers.runtimes.server import Server; s = Server({str(whole)!r}); print(s._process.pid, flush=True); import time; time.sleep(60)"
    owner = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=ROOT, text=True)
    pid = int(owner.stdout.readline())
    owner.kill()
    owner.communicate()
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        if Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":  # ended, and nobody is left to ask how
            return
        time.sleep(0.05)
    pytest.fail("the server outlived its owner")


def test_a_server_that_cannot_start_says_its_last_words(whole, monkeypatch, tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text("raise ImportError('no fastapi here')")
    monkeypatch.setattr("helpers.runtimes.server._SCRIPT", broken)
    with pytest.raises(LabError, match="no fastapi here"):
        Server(whole)


def test_a_prompt_too_long_for_the_server_is_one_message(server):
    with pytest.raises(LabError, match="refused a request"):
        server.complete([Example("ay " * 3000, LEVELS[0], (LEVELS[0],), "ES")])


def test_transformers_is_the_model_that_is_evaluated(examples):
    runtime = Transformers(BASE)
    replies = runtime.complete(examples[:3], max_new_tokens=20)
    assert [reply.text for reply in replies] == [
        answer.text for answer in generate(BASE, examples[:3], max_new_tokens=20)
    ]
    tokenizer = load_tokenizer(BASE)
    assert all(tokenizer.decode(reply.tokens) == reply.prompt for reply in replies)
    logits = runtime.label_logits(examples[:3])
    levels = [tokenizer.encode(f" {level}", add_special_tokens=False)[0] for level in LEVELS]
    assert set(np.argsort(logits[0])[-3:]) <= set(levels)


def test_the_level_stands_behind_the_heading_without_its_blank(llama):
    assert llama.place == tuple(llama.encode("Nivel de Urgencia:"))
    assert llama.encode("Nivel de Urgencia: ") != list(llama.place)


# ---------------------------------------------------------------------------------------------- damaged files
def _opened(path, tmp_path):
    """What each door says about a file."""
    doors = {
        "header": lambda: read_header(path),
        "quantize": lambda: quantize(path, tmp_path / "small.gguf", "Q4_K_M"),
        "llama.cpp": lambda: LlamaCpp(path),
        "server": lambda: Server(path),
    }
    said = {}
    for name, door in doors.items():
        with pytest.raises(LabError) as caught:
            door()
        said[name] = str(caught.value)
    return said


@pytest.mark.parametrize("share", [0.0, 0.00001, 0.001, 0.01, 0.3, 0.9, 0.99999])
def test_a_cut_file_is_refused_at_every_door_by_name(whole, tmp_path, share):
    raw, path = whole.read_bytes(), tmp_path / "cut.gguf"
    path.write_bytes(raw[: int(share * len(raw))])
    for said in _opened(path, tmp_path).values():
        assert "cut.gguf" in said and "\n" not in said
    assert not (tmp_path / "small.gguf").exists()


@pytest.mark.parametrize(
    "start", [b"GGML", b"\x00\x00\x00\x00", b"PK\x03\x04", b"GGUF\x07\x00\x00\x00", b"GGUF\x00\x00\x00\x03"]
)
def test_another_magic_or_version_is_refused_at_every_door(whole, tmp_path, start):
    path = tmp_path / "other.gguf"
    path.write_bytes(start + whole.read_bytes()[len(start) :])
    _opened(path, tmp_path)


def test_a_folder_a_missing_file_and_a_text_are_refused_at_every_door(tmp_path):
    (tmp_path / "text.gguf").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 8\n")
    (tmp_path / "folder.gguf").mkdir()
    for name in ("text.gguf", "folder.gguf", "absent.gguf"):
        assert all(name in said for said in _opened(tmp_path / name, tmp_path).values())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("lfm2.attention.layer_norm_rms_epsilon", float("nan")),
        ("lfm2.attention.layer_norm_rms_epsilon", -1.0),
        ("lfm2.rope.freq_base", float("inf")),
        ("lfm2.attention.head_count_kv", [0, 2, 0]),
        ("lfm2.attention.head_count", 0),
        ("lfm2.vocab_size", 99),
        ("tokenizer.ggml.tokens", ["a"] * 4096),
        ("tokenizer.ggml.tokens", ["a"]),
        ("tokenizer.ggml.model", "llama"),
        ("tokenizer.chat_template", ""),
        ("tokenizer.chat_template", "{% if"),
        ("tokenizer.ggml.token_type", [1] * 9),
    ],
)
def test_metadata_on_which_llama_cpp_would_end_the_process_is_one_message(whole, tmp_path, key, value):
    """Most of these are failed assertions in llama.cpp: without the check this test takes the whole suite
    with it.
    """
    path = tmp_path / "odd.gguf"
    rewrite_gguf(whole, path, {key: value})
    for runtime in (LlamaCpp, Server):
        with pytest.raises(LabError, match=r"odd\.gguf"):
            runtime(path)


def test_a_template_that_fails_on_a_conversation_is_one_message(whole, tmp_path, examples):
    rewrite_gguf(
        whole,
        tmp_path / "odd.gguf",
        {"tokenizer.chat_template": "{{ raise_exception('roles must alternate') }}"},
    )
    with LlamaCpp(tmp_path / "odd.gguf") as runtime, pytest.raises(LabError, match="roles must alternate"):
        runtime.complete(examples[:1])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_cut_and_no_flipped_bytes_get_past_the_header_with_anything_but_a_lab_error(whole, tmp_path, data):
    raw = bytearray(whole.read_bytes())
    for _ in range(data.draw(st.integers(0, 3))):
        place = data.draw(st.one_of(st.integers(0, 2000), st.integers(0, 103_000)))
        raw[place : place + 4] = data.draw(st.binary(min_size=1, max_size=4))
    path = tmp_path / "noise.gguf"
    path.write_bytes(raw[: data.draw(st.one_of(st.just(len(raw)), st.integers(0, len(raw))))])
    with contextlib.suppress(LabError):
        checked(path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_flipped_bytes_in_the_header_never_end_the_process(whole, tmp_path, examples):
    """In a child, because that is what is at stake."""
    raw, dice, path = whole.read_bytes(), random.Random(0), tmp_path / "noise.gguf"
    child = os.fork()
    if child == 0:
        code = 1
        with contextlib.suppress(BaseException):
            for _ in range(80):
                noise, place = (
                    bytearray(raw),
                    dice.choice(
                        (dice.randrange(900), dice.randrange(102_000), dice.randrange(100_000, 102_400))
                    ),
                )
                noise[place] ^= 1 << dice.randrange(8)
                path.write_bytes(noise)
                with contextlib.suppress(LabError), LlamaCpp(path) as runtime:
                    runtime.complete(examples[:1], max_new_tokens=2)
            code = 0
        os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
