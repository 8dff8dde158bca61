"""The resilient client: every row once, whatever the server does; budget, refusals, kill -9 and Ctrl-C."""

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from itertools import pairwise

import pytest
from servers import Scripted, always, chats, completion, lines

from helpers import cases, teacher
from helpers.files import ROOT, LabError
from helpers.teacher.journal import Journal
from helpers.teacher.limits import TokenBucket
from helpers.triage import parse

ROWS = cases.write_diverse(40, 0)
PROMPTS = [teacher.triage_prompt(row) for row in ROWS]
VALID = teacher.triage_validator(ROWS)


def test_every_prompt_gets_its_answer_and_equal_prompts_are_asked_once(quick, tmp_path):
    before = quick.stats()["accepted"]
    job = teacher.Client(quick.endpoint).run(
        [*PROMPTS, *PROMPTS[:10]], tmp_path, validate=lambda text, i: VALID(text, i % 40), label=None
    )
    assert quick.stats()["accepted"] - before == 40
    assert (job.answered, len(job.keys), job.failed, job.left) == (40, 50, 0, 0)
    got = job.answers()
    assert got[:10] == got[40:] and len(lines(tmp_path / "answers.jsonl")) == 40
    assert all(parse(answer.text).level == row.level for answer, row in zip(got, ROWS, strict=False))
    assert {answer.model for answer in got} == {"offline-teacher"}


def test_a_second_run_asks_nothing_again_even_when_the_rows_are_shuffled(quick, tmp_path):
    client = teacher.Client(quick.endpoint)
    first = client.run(PROMPTS, tmp_path, label=None)
    order = random.Random(1).sample(range(40), 40)
    second = client.run([PROMPTS[i] for i in order], tmp_path, label=None)
    assert (second.requests, second.resumed, second.cost_usd) == (0, 40, 0)
    assert second.answers() == [first.answers()[i] for i in order]
    assert second.total_cost_usd == pytest.approx(first.cost_usd) and first.cost_usd > 0


def test_it_works_inside_a_running_event_loop(quick, tmp_path):
    async def cell():
        return teacher.Client(quick.endpoint).run(PROMPTS[:3], tmp_path, label=None)

    assert asyncio.run(cell()).answered == 3


def test_an_answer_counts_only_when_valid_and_the_rest_goes_to_the_errors_file_and_is_asked_again(tmp_path):
    with Scripted(always(200, completion("mal"))) as server:
        client = teacher.Client(server.endpoint(), invalid_attempts=3)
        job = client.run(
            chats(4), tmp_path, validate=lambda text, _: "wrong" if text == "mal" else None, label=None
        )
        assert (job.answered, job.failed, job.requests) == (0, 4, 12)
        assert [record["problem"] for record in lines(tmp_path / "errors.jsonl")] == ["invalid: wrong"] * 4
        assert len({body["temperature"] for body in server.requests}) == 3  # other sampling each time
    with Scripted(always(200, completion("bien"))) as server:
        job = teacher.Client(server.endpoint()).run(
            chats(4), tmp_path, validate=lambda text, _: None, label=None
        )
        assert job.answered == 4 and len(lines(tmp_path / "answers.jsonl")) == 4


def test_a_cut_answer_never_counts_and_is_asked_again_with_more_room(tmp_path):
    def script(number, body, sent):
        return 200, {}, completion("corto", "length") if body["max_tokens"] < 4000 else completion("entero")

    with Scripted(script) as server:
        job = teacher.Client(server.endpoint()).run(chats(1), tmp_path, label=None)
    assert job.answers()[0].text == "entero" and job.answers()[0].attempts == 2


def test_what_was_answered_before_the_credit_ended_is_kept_and_not_paid_again(tmp_path):
    def script(number, body, sent):
        if number > 12:
            return (
                429,
                {},
                {"error": {"message": "You exceeded your current quota.", "code": "insufficient_quota"}},
            )
        time.sleep(0.05 * (number % 3))
        return 200, {}, completion()

    with Scripted(script) as server:
        with pytest.raises(LabError, match=r"no credit.*12 answers are kept"):
            teacher.Client(server.endpoint(), concurrency=4).run(chats(40), tmp_path, label=None)
    with Scripted(always(200, completion())) as server:
        job = teacher.Client(server.endpoint()).run(chats(40), tmp_path, label=None)
        assert (job.resumed, job.answered, len(server.requests)) == (12, 28, 28)


def test_a_client_that_opens_all_its_connections_at_once_loses_none(tmp_path):
    with Scripted(always(200, completion())) as server:
        jobs = [
            teacher.Client(server.endpoint()).run(chats(200), tmp_path / str(k), label=None) for k in "ab"
        ]
    assert [(job.answered, job.requests) for job in jobs] == [(200, 200)] * 2


def test_a_429_pauses_every_worker_for_as_long_as_the_server_asks(tmp_path):
    def script(number, body, sent):
        if number == 10:
            return 429, {"retry-after": "0.7"}, {"error": {"message": "slow down"}}
        time.sleep(0.02)
        return 200, {}, completion()

    with Scripted(script) as server:
        job = teacher.Client(server.endpoint(minute=6), concurrency=8).run(chats(60), tmp_path, label=None)
        silence = max(later - earlier for earlier, later in pairwise(server.times))
    assert job.answered == 60 and job.requests == 61
    assert silence >= 0.65  # nobody knocked
    assert Counter(body["messages"][0]["content"] for body in server.requests).most_common(1)[0][1] == 2


def test_a_limit_in_tokens_is_kept_and_counts_what_the_answers_took(tmp_path, monkeypatch):
    real, taken = TokenBucket.take, []

    def take(self, amount=1):
        taken.append(amount)
        real(self, amount)

    monkeypatch.setattr(TokenBucket, "take", take)
    with Scripted(always(200, completion(prompt=400, answer=600))) as server:
        endpoint = server.endpoint(minute=2, tokens_per_minute=60_000, max_completion_tokens=1000)
        job = teacher.Client(endpoint, concurrency=8).run(chats(60), tmp_path, label=None)
    assert job.answered == 60 and sum(taken) == pytest.approx(60 * (1 + 400 + 600))  # each is one request
    assert job.usual == pytest.approx(600, rel=0.01)  # the guess has learned what an answer takes
    assert (
        server.times[-1] - server.times[0] > 1.7
    )  # a minute's tokens, less the bucket and what is in flight


def test_a_server_that_asks_for_hours_is_not_waited_for(tmp_path):
    with Scripted(always(429, {"error": {"message": "slow down"}}, **{"retry-after": "86400"})) as server:
        with pytest.raises(LabError, match="asks to wait 86,400 s"):
            teacher.Client(server.endpoint()).run(chats(3), tmp_path, label=None)


def test_the_budget_stops_the_job_cleanly_and_is_never_exceeded(tmp_path):
    with Scripted(always(200, completion(prompt=100_000, answer=100_000))) as server:  # $0.20 each
        client = teacher.Client(
            server.endpoint(max_completion_tokens=100_000), max_cost_usd=1.0, concurrency=4
        )
        prompts = [[{"role": "user", "content": f"{i}" + "x" * 200_000}] for i in range(20)]
        job = client.run(prompts, tmp_path, label=None)
        assert 0.79 <= job.cost_usd <= 1.0 and "budget of $1" in job.stopped and job.failed == 0
        asked = len(server.requests)
        again = client.run(prompts, tmp_path, label=None)
        assert "budget" in again.stopped and len(server.requests) == asked  # what was spent before counts


def test_a_row_that_fails_in_two_runs_counts_against_the_budget_with_both(tmp_path):
    with Scripted(always(200, completion("", prompt=100_000, answer=100_000))) as server:  # $0.20 each
        client = teacher.Client(server.endpoint(), max_cost_usd=0.5, invalid_attempts=1)
        first, second, third = (client.run(chats(1), tmp_path, label=None) for _ in range(3))
        assert first.total_cost_usd == pytest.approx(0.2) and second.total_cost_usd == pytest.approx(0.4)
        assert third.before == pytest.approx(0.4)


def test_a_budget_without_a_price_is_refused():
    with pytest.raises(LabError, match="price of an OpenAI-compatible endpoint is unknown"):
        teacher.Client(
            teacher.described("compatible", base_url="http://127.0.0.1:9/v1", model="m"), max_cost_usd=1
        )


def test_one_rows_fault_is_its_own_but_a_fault_of_all_rows_stops_the_job(tmp_path):
    def script(number, body, sent):
        bad = body["messages"][0]["content"] == "hola 3"
        return (400, {}, {"error": {"message": "too long"}}) if bad else (200, {}, completion())

    with Scripted(script) as server:
        job = teacher.Client(server.endpoint()).run(chats(20), tmp_path / "one", label=None)
        (lost,) = lines(tmp_path / "one" / "errors.jsonl")
        assert (job.answered, job.failed) == (19, 1) and "too long" in lost["problem"]
    with Scripted(always(400, {"error": {"message": "unknown parameter"}})) as server:
        with pytest.raises(LabError, match="unknown parameter"):
            teacher.Client(server.endpoint(), concurrency=5).run(chats(300), tmp_path / "all", label=None)
        assert len(server.requests) <= 20


@pytest.mark.parametrize(
    "body",
    [
        '{"id": "x", "choi',
        "[]",
        "null",
        "{}",
        '"hola"',
        '{"choices": []}',
        '{"choices": [{"message": {"content": null}}]}',
        "<html>hola</html>",
        "\x00",
    ],
)
def test_garbage_with_status_200_is_tried_again_and_never_accepted(tmp_path, body):
    with Scripted(lambda number, asked, sent: (200, {}, body if number <= 2 else completion())) as server:
        job = teacher.Client(server.endpoint()).run(chats(1), tmp_path, label=None)
    assert job.answers()[0].text == "bien" and job.requests == 3


def test_a_network_that_refuses_ends_in_one_message_that_names_the_address(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    endpoint = teacher.described(
        "compatible", base_url=f"http://user:hunter2@127.0.0.1:{port}/v1", model="m", minute=0.6
    )
    with pytest.raises(LabError, match=rf"127.0.0.1:{port}/v1: \d+ requests in a row failed") as caught:
        teacher.Client(endpoint, concurrency=12).run(chats(50), tmp_path, label=None)
    assert "hunter2" not in str(caught.value) + repr(endpoint)


def test_a_server_that_hangs_is_given_up_and_the_row_is_tried_again(tmp_path):
    def script(number, body, sent):
        if number == 1:
            time.sleep(2)
        return 200, {}, completion()

    with Scripted(script) as server:
        job = teacher.Client(server.endpoint(timeout_s=0.4)).run(chats(1), tmp_path, label=None)
    assert job.answered == 1 and job.requests == 2


def test_a_validator_that_breaks_is_reported_and_not_held_against_the_answers(quick, tmp_path):
    with pytest.raises(ZeroDivisionError):
        teacher.Client(quick.endpoint).run(
            PROMPTS[:5], tmp_path, validate=lambda text, _: str(1 / 0), label=None
        )
    assert lines(tmp_path / "errors.jsonl") == []


def test_a_proxy_in_the_environment_is_not_used_for_loopback(quick, tmp_path, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    assert teacher.Client(quick.endpoint).run(PROMPTS[:2], tmp_path, label=None).answered == 2


# -------------------------------------------------------------------------------------------------- the storm
def test_a_fault_storm_loses_nothing_and_accepts_nothing_invalid(tmp_path):
    rows = cases.write_diverse(150, 3)
    valid = teacher.triage_validator(rows, right_level=True)
    with teacher.OfflineTeacher(
        minute=0.6, requests_per_minute=20_000, latency=(0.5, 2), faults=teacher.Faults.storm(0.5)
    ) as server:
        job = teacher.Client(server.endpoint, invalid_attempts=2).run(
            [teacher.triage_prompt(row) for row in rows], tmp_path, validate=valid, label=None
        )
        stats = server.stats()
    got = job.answers()
    assert min(stats["faults"].values()) >= 3 and len(stats["faults"]) == 7
    assert all(valid(answer.text, index) is None for index, answer in enumerate(got) if answer)
    missing = {key for key, answer in zip(job.keys, got, strict=True) if answer is None}
    assert missing == {row["key"] for row in lines(tmp_path / "errors.jsonl")} and missing
    assert job.answered + job.failed == 150
    assert (
        len({row["key"] for row in lines(tmp_path / "answers.jsonl")})
        == len(lines(tmp_path / "answers.jsonl"))
        == job.answered
    )


KILLED = """
import sys
from pathlib import Path
from helpers import teacher
prompts = [[{"role": "user", "content": f"hola {i}"}] for i in range(160)]
endpoint = teacher.described("offline", base_url=sys.argv[1], key="x", minute=0.6, requests_per_minute=30000)
job = teacher.Client(endpoint, concurrency=16).run(prompts, Path(sys.argv[2]), validate=lambda text, _: None if "modelo" in text else "other", label=None)
print(job.answered, job.resumed, flush=True)
"""


def wait_for_answers(folder, count):
    """Until the job has so many answers on disk."""
    path, deadline = folder / "answers.jsonl", time.monotonic() + 30
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert time.monotonic() < deadline, "the job does not get on"
        time.sleep(0.01)


def test_killed_again_and_again_the_job_ends_with_every_row_exactly_once(tmp_path):
    script = tmp_path / "job.py"
    script.write_text(KILLED)
    dice, so_far = random.Random(4), 0
    with teacher.OfflineTeacher(minute=0.6, requests_per_minute=None, latency=(2, 5)) as server:
        command = [sys.executable, str(script), server.endpoint.base_url, str(tmp_path / "job")]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        for _ in range(3):
            process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
            wait_for_answers(tmp_path / "job", so_far + dice.randint(5, 35))
            process.kill()
            process.wait()
            so_far = len(Journal(tmp_path / "job" / "answers.jsonl"))
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    rows = lines(tmp_path / "job" / "answers.jsonl")
    assert len(rows) == 160 == len({row["key"] for row in rows})
    assert done.stdout.split() == [str(160 - so_far), str(so_far)] and 0 < so_far < 160


def test_ctrl_c_keeps_the_answers_and_is_one_message(tmp_path):
    script = tmp_path / "job.py"
    script.write_text(
        "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\nfrom helpers.files import "
        "LabError\ntry:\n"
        + "".join(f"    {line}\n" for line in KILLED.strip().splitlines())
        + "except LabError as error:\n    print(error, flush=True)\n"
    )
    with teacher.OfflineTeacher(minute=6, requests_per_minute=None, latency=(2, 5)) as server:
        command = [sys.executable, str(script), server.endpoint.base_url, str(tmp_path / "job")]
        process = subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_for_answers(tmp_path / "job", 5)
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=20)
    assert "Interrupted." in out and "answers are kept" in out and "Traceback" not in error
    assert 5 <= len(lines(tmp_path / "job" / "answers.jsonl")) < 160
