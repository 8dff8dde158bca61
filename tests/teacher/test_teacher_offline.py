"""Who is asked and with which key, and the offline teacher: what it limits, breaks, answers, and how it ends."""

import contextlib
import dataclasses
import json
import os
import pickle
import subprocess
import sys
import time
import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers import KEY, Scripted, always, chats, completion

from helpers import cases, teacher, translate
from helpers.files import ROOT, LabError
from helpers.teacher.offline import answers
from helpers.teacher.offline.server import tokens_in
from helpers.triage import parse

ROWS = cases.write_diverse(40, 0)
PROMPTS = [teacher.triage_prompt(row) for row in ROWS]
VALID = teacher.triage_validator(ROWS)


# ---------------------------------------------------------------------------------------------------- secrets
def test_a_key_shows_itself_nowhere():
    endpoint = teacher.described("minimax", key=KEY)
    shown = [
        repr(endpoint),
        str(endpoint),
        f"{endpoint.key}",
        repr(endpoint.model_dump()),
        endpoint._repr_markdown_(),
        repr(endpoint.__dict__),
    ]
    shown.append(repr(endpoint.model_copy()) + endpoint.model_dump_json())
    assert not any(KEY in text for text in shown)
    with pytest.raises(TypeError):
        pickle.dumps(endpoint)
    assert endpoint.key.get_secret_value() == KEY


LEAKY = """
import logging, os, sys, traceback
from pathlib import Path
logging.basicConfig(level=logging.DEBUG)
from helpers import teacher
endpoint = teacher.remote_endpoint("compatible")
endpoint = endpoint.model_copy(update={"minute": 0.6})
for status in (200, 400, 401, 429, 500):
    prompts = [[{"role": "user", "content": f"{status} {i}"}] for i in range(8)]
    try:
        job = teacher.Client(endpoint, concurrency=2, attempts=2).run(prompts, Path(sys.argv[1]) / str(status), label="x")
        print(job, job.lost, job.answers())
    except Exception as error:
        traceback.print_exc()
        print(repr(error), error.__cause__, error.__context__, vars(error))
"""


def test_a_server_that_echoes_the_key_does_not_make_it_leak_into_files_logs_or_exceptions(tmp_path):
    def script(number, body, sent):
        status, row = map(int, body["messages"][0]["content"].split())
        echo = sent["authorization"] if "authorization" in sent else sent["Authorization"]
        if status == 200:
            return 200, {}, completion(f"su clave es {echo}")
        if status == 429 and row > 3:
            return 402, {}, {"error": {"message": f"pay, {echo}"}}
        return (
            status,
            {"retry-after": "0.01", "x-echo": echo},
            {"error": {"message": f"bad {echo}", "headers": sent}},
        )

    with Scripted(script) as server:
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "OPENAI_API_KEY": KEY,
            "OPENAI_MODEL": "m",
            "OPENAI_LOG": "debug",
        }
        environment |= {"OPENAI_BASE_URL": server.endpoint().base_url}
        command = [sys.executable, "-c", LEAKY, str(tmp_path / "job")]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=30
        )
    left = (
        done.stdout + done.stderr + "".join(file.read_text() for file in (tmp_path / "job").rglob("*.jsonl"))
    )
    assert left.count("•••") > 20 and "HTTP Request" in left and KEY not in left
    assert {body["messages"][0]["content"][:3] for body in server.requests} == {
        "200",
        "400",
        "401",
        "429",
        "500",
    }


# ----------------------------------------------------------------------------------------------------- config
def test_the_environment_chooses_the_teacher(monkeypatch):
    for name in ("TRIAGE_TEACHER", "MINIMAX_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    assert teacher.chosen() == "offline"
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert teacher.chosen() == "offline"  # a key lying about is no wish to spend money
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1")
    assert teacher.chosen() == "compatible"
    with pytest.raises(LabError, match="OPENAI_MODEL is not"):
        teacher.remote_endpoint("compatible")
    monkeypatch.setenv("MINIMAX_API_KEY", KEY)
    assert teacher.chosen() == "minimax"
    endpoint = teacher.remote_endpoint("minimax")
    assert (endpoint.base_url, endpoint.model, endpoint.extra_body) == (
        "https://api.minimax.io/v1",
        "MiniMax-M2.5",
        {"reasoning_split": True},
    )
    assert (endpoint.requests_per_minute, endpoint.tokens_per_minute) == (500, 20_000_000)
    assert endpoint.cost(4_500_000, 0) == pytest.approx(1.35) and endpoint.temperature > 0
    monkeypatch.setenv("TRIAGE_TEACHER", "offline")
    assert teacher.chosen() == "offline"
    monkeypatch.setenv("TRIAGE_TEACHER", "claude")
    with pytest.raises(LabError, match="no teacher 'claude'"):
        teacher.chosen()


def test_a_broken_key_is_refused_without_being_shown(monkeypatch):
    monkeypatch.setenv("MINIMAX_API_KEY", KEY + "\nexport")
    with pytest.raises(LabError, match="Copy the key again") as caught:
        teacher.remote_endpoint("minimax")
    assert KEY not in "".join(traceback.format_exception(caught.value))


def test_the_request_carries_the_endpoints_own_settings(tmp_path):
    with Scripted(always(200, completion())) as server:
        endpoint = teacher.described("minimax", key=KEY, base_url=server.endpoint().base_url, minute=0.6)
        teacher.Client(endpoint).run(chats(1), tmp_path, label=None)
        body = server.requests[0]
    assert (
        body["reasoning_split"] is True
        and body["max_completion_tokens"] == 4096
        and body["temperature"] > 0
        and "max_tokens" not in body
    )


# -------------------------------------------------------------------------------------------- offline teacher
def _gone(pid, seconds=4.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        time.sleep(0.05)
    return False


OWNER = """
from helpers.teacher import OfflineTeacher
with OfflineTeacher() as server:
    print(server.process.pid, flush=True)
    input()
"""


def test_the_offline_teacher_ends_with_its_owner_even_when_that_is_killed():
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    pid = int(owner.stdout.readline())
    os.kill(pid, 0)
    owner.kill()
    owner.wait()
    assert _gone(pid)
    owner.stdin.close()
    owner.stdout.close()


def test_the_offline_teacher_ends_with_its_block_and_listens_on_loopback_alone():
    with teacher.OfflineTeacher() as server:
        pid, port = server.process.pid, int(server.url.rsplit(":", 1)[1])
        listening = [
            row.split()[1]
            for row in Path("/proc/net/tcp").read_text().splitlines()
            if f":{port:04X} 00000000" in row
        ]
        assert listening == [f"0100007F:{port:04X}"]
    assert _gone(pid)


def test_a_plain_openai_client_is_limited_with_a_retry_after_that_holds_and_told_who_answers():
    import openai

    with teacher.OfflineTeacher(minute=20, requests_per_minute=5, burst=5, latency=(0, 0)) as server:
        api = openai.OpenAI(base_url=server.endpoint.base_url, api_key="any", max_retries=0)
        answers_ = [api.chat.completions.create(model="MiniMax-M2.5", messages=PROMPTS[0]) for _ in range(5)]
        assert {answer.model for answer in answers_} == {"offline-teacher"}
        assert answers_[0].usage.total_tokens > answers_[0].usage.completion_tokens > 20
        with pytest.raises(openai.RateLimitError) as caught:
            api.chat.completions.create(model="x", messages=PROMPTS[0])
        time.sleep(float(caught.value.response.headers["retry-after"]) + 0.01)
        assert api.chat.completions.create(model="x", messages=PROMPTS[0]).choices[0].finish_reason == "stop"
        assert (server.stats()["accepted"], server.stats()["limited"]) == (6, 1)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"messages": []}',
        b'{"messages": [{"role": "user"}]}',
        b'{"messages": [3]}',
        b"[" * 5000,
    ],
)
def test_a_malformed_request_is_a_400_and_the_server_lives_on(quick, body):
    import urllib.error
    import urllib.request

    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(
            urllib.request.Request(f"{quick.url}/v1/chat/completions", data=body, method="POST"), timeout=5
        )
    assert caught.value.code == 400 and json.loads(caught.value.read())["error"]["message"]


def test_every_wording_of_the_micro_world_is_recognised_in_its_frame():
    for split in ("dev", "test"):
        rows = cases.evaluation_prompts(split)
        wrong = [row.text for row in rows if answers.recognise(row.text) != row.finding]
        assert not wrong, wrong[:3]


def test_the_offline_teacher_writes_every_part_with_the_countrys_number():
    row = dataclasses.replace(ROWS[0], country="GT")
    text = answers.answer(teacher.triage_prompt(row))
    assert parse(text).missing("GT") == () and parse(text).level == row.level
    assert teacher.triage_problem(text, "GT") is None


@given(st.text(max_size=80))
def test_anything_at_all_gets_a_text(said):
    text = answers.answer([{"role": "system", "content": said}, {"role": "user", "content": said}])
    assert text and tokens_in(text) > 0


def test_what_is_no_triage_and_no_translation_is_told_what_this_teacher_is():
    assert "no soy un modelo" in answers.answer([{"role": "user", "content": "¿Quién ganó el mundial?"}])


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda text: text, None),
        (lambda text: text.replace("no sustituye", "acompaña"), "lacks disclaimer"),
        (lambda text: text.replace("112", "911"), "lacks number"),
        (lambda text: text.replace("NARANJA — Muy urgente", "NARANJA — Emergencia"), "another level's name"),
        (
            lambda text: text.replace("NARANJA — Muy urgente", "AZUL — No urgente"),
            "gives AZUL where the rubric accepts",
        ),
        (lambda text: "", "lacks level"),
    ],
)
def test_a_triage_answer_counts_only_when_it_is_complete_and_right(change, problem):
    text = cases.Example("x", "NARANJA", ("NARANJA",), "ES").answer
    found = teacher.triage_problem(change(text), "ES", ("NARANJA",))
    assert (found is None) if problem is None else problem in found


# -------------------------------------------------------------------------------------- translation, together
def test_the_offline_teachers_mistakes_are_found_named_and_mended(tmp_path):
    rows = translate.load_rows("sample").rows[:60]
    with teacher.OfflineTeacher(
        minute=0.6, requests_per_minute=20_000, latency=(0.5, 1), mistakes=0.4
    ) as server:
        result = translate.translate(rows, teacher.Client(server.endpoint), "MX")
        asked = server.stats()["accepted"]
        again = translate.translate(rows, teacher.Client(server.endpoint), "MX")
        assert server.stats()["accepted"] == asked
    assert len(result.passed) == len(result.items) == 60
    assert 12 <= len(result.sent_back) <= 36 and {
        p.check for item in result.sent_back for p in item.sent_back
    } >= {
        "numbers",
        "glossary",
        "language",
    }
    assert [item.spanish for item in again.passed] == [item.spanish for item in result.passed]
    assert 0 < result.total_cost_usd == pytest.approx(again.total_cost_usd)
