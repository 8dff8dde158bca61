"""The teacher: limits, journal, resilient client and offline server, with the accidents that befall them."""

import asyncio
import contextlib
import copy
import dataclasses
import json
import os
import pickle
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import cases, teacher, translate
from helpers.files import ROOT, LabError
from helpers.teacher.journal import Folder, Journal
from helpers.teacher.limits import Bucket, Limiter, Meter, Pause, backoff, retry_after
from helpers.teacher.offline import answers
from helpers.teacher.offline.faults import Window, tokens_in
from helpers.triage import PARTS, parse

KEY = "sk-test-0123456789abcdef"
ROWS = cases.write_diverse(40, 0)
PROMPTS = [teacher.triage_prompt(row) for row in ROWS]
VALID = teacher.triage_validator(ROWS)


@pytest.fixture(scope="module")
def quick():
    """An offline teacher without limits worth mentioning and without faults."""
    with teacher.OfflineTeacher(
        minute=0.6, requests_per_minute=100_000, tokens_per_minute=None, latency=(0.5, 1.5)
    ) as server:
        yield server


def chats(n, word="hola"):
    return [[{"role": "user", "content": f"{word} {index}"}] for index in range(n)]


class Scripted:
    """A loopback server that answers each request with what `script(number, body, headers)` returns: (status, headers, body)."""

    def __init__(self, script):
        self.requests, self.times, outer = [], [], self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with outer.lock:
                    outer.requests.append(body)
                    outer.times.append(time.monotonic())
                    number = len(outer.requests)
                status, headers, content = script(number, body, dict(self.headers))
                raw = content.encode() if isinstance(content, str) else json.dumps(content).encode()
                self.send_response(status)
                for name, value in {
                    "content-type": "application/json",
                    "content-length": str(len(raw)),
                    **headers,
                }.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_):
                pass

        self.lock = threading.Lock()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True

    def __enter__(self):
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()

    def endpoint(self, **changes):
        url = f"http://127.0.0.1:{self.http.server_address[1]}/v1"
        fields = {
            "base_url": url,
            "model": "m",
            "key": teacher.Secret(KEY),
            "minute": 0.6,
            "timeout_s": 5,
            "price_in": 1.0,
            "price_out": 1.0,
        }
        return teacher.described("compatible", **fields | changes)


def completion(text="bien", finish="stop", prompt=10, answer=5, **more):
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    usage = {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [choice],
        "usage": usage,
    } | more


def always(status, body, **headers):
    return lambda number, asked, sent: (status, headers, body)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


# ------------------------------------------------------------------------------------------------------------- limits
class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def sent_by(bucket, clock, seconds, stalls=()):
    """When a client that always has more to send would send, on a clock that jumps over the stalls."""
    times = []
    while clock.now < seconds:
        delay = bucket.delay(1)
        if delay <= 1e-9:
            bucket.take(1)
            times.append(clock.now)
        else:
            clock.now += max(delay, 1e-6)
        for begin, end in stalls:
            if begin <= clock.now < end:
                clock.now = end
    return times


def most_in_a_minute(times):
    return max(sum(at - 60 < other <= at for other in times) for at in times)


def test_a_bucket_starts_empty_and_no_minute_holds_more_than_the_limit():
    clock = Clock()
    times = sent_by(Bucket(600, clock=clock), clock, 240)
    assert sum(at < 6 for at in times) <= 61  # no burst at the start
    assert 585 <= most_in_a_minute(times) <= 594 and len(times) >= 0.97 * 4 * 600


def test_what_a_stall_left_unused_is_made_up_for_without_overrunning_the_servers_window():
    clock = Clock()
    stalls = [(70 + 10 * i, 72 + 10 * i) for i in range(17)]
    times = sent_by(Bucket(600, clock=clock), clock, 240, stalls)
    assert most_in_a_minute(times) <= 594
    assert sum(120 <= at < 240 for at in times) >= 0.95 * 1200


def test_idle_time_is_not_saved_up():
    clock = Clock()
    bucket = Bucket(600, clock=clock)
    clock.now = 1000
    assert sum(at < 1000.01 for at in sent_by(bucket, clock, 1001)) <= 31


def test_a_request_larger_than_the_bucket_passes_and_is_paid_off_afterwards():
    clock = Clock()
    bucket = Bucket(1000, clock=clock)
    clock.now = 60
    assert bucket.delay(2000) == 0
    bucket.take(2000)
    assert bucket.delay(1) >= 60


def test_a_large_request_is_not_overtaken_by_small_ones():
    async def order():
        limiter = Limiter(None, Bucket(6000, minute=0.6), Pause())
        done = []

        async def ask(size):
            await limiter.enter(size)
            done.append(size)

        await asyncio.gather(ask(10), ask(900), ask(20), ask(30))
        return done

    assert asyncio.run(order()) == [10, 900, 20, 30]


@pytest.mark.parametrize("jitter", [True, False])
def test_nobody_leaves_a_shared_pause_early_and_with_jitter_not_all_at_once(jitter):
    async def leave():
        pause = Pause(jitter=jitter, widest=0.2)
        pause.begin(0.2)
        started = time.monotonic()
        moments = []

        async def worker():
            await pause.over()
            moments.append(time.monotonic() - started)

        await asyncio.gather(*(worker() for _ in range(30)))
        return moments

    moments = asyncio.run(leave())
    assert min(moments) >= 0.199
    assert (max(moments) - min(moments) > 0.08) == jitter


def test_a_shorter_pause_does_not_cut_a_longer_one():
    clock = Clock()
    pause = Pause(clock=clock)
    pause.begin(10)
    pause.begin(2)
    assert pause.left() == 10 and pause.count == 1


def test_backoff_is_spread_over_the_whole_interval_and_bounded():
    random.seed(0)
    draws = [backoff(3) for _ in range(500)]
    assert min(draws) < 0.2 and 3.8 < max(draws) <= 4
    assert max(backoff(50) for _ in range(200)) <= 30
    assert backoff(50, minute=0.6) <= 0.3


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:00 GMT"}, 50),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
        (None, None),
    ],
)
def test_retry_after_is_read_in_all_its_forms_and_nonsense_is_ignored(headers, seconds):
    assert retry_after(headers, now=lambda: 10.0) == seconds


def test_the_meter_learns_what_a_request_costs():
    meter = Meter()
    for _ in range(100):
        meter.learn(1000, 250, 80)
    assert meter.guess(1000) == pytest.approx(330, rel=0.02)


def test_the_servers_window_never_lets_more_than_its_limit_into_any_minute():
    window, let_in = Window(5, 1.0), []
    for step in range(400):
        now = step * 0.03
        if window.wait(1, now) == 0:
            window.add(1, now)
            let_in.append(now)
    assert all(sum(at - 1.0 < other <= at for other in let_in) <= 5 for at in let_in)
    assert len(let_in) >= 55


# ------------------------------------------------------------------------------------------------------------ journal
def test_a_cut_last_line_is_removed_and_the_others_stay(tmp_path):
    path = tmp_path / "answers.jsonl"
    path.write_bytes(b'{"key": "a", "cost_usd": 0.5}\n{"key": "b"}\n{"key": "c", "te')
    journal = Journal(path)
    assert list(journal.keys()) == ["a", "b"] and "cut off" in journal.repaired and journal.cost_usd == 0.5
    journal.append({"key": "c", "text": "ñ \ud83d"})
    journal.close()
    assert [row["key"] for row in lines(path)] == ["a", "b", "c"]


def test_a_last_line_that_only_lacks_its_end_is_kept(tmp_path):
    path = tmp_path / "answers.jsonl"
    path.write_bytes(b'{"key": "a"}\n{"key": "b"}')
    journal = Journal(path)
    journal.append({"key": "c"})
    assert journal.get("b") == {"key": "b"} and journal.get("c") == {"key": "c"}
    journal.close()
    assert len(lines(path)) == 3


@given(st.binary(max_size=300))
def test_any_bytes_at_all_can_be_opened_and_appended_to(tmp_path_factory, raw):
    path = tmp_path_factory.mktemp("journal") / "answers.jsonl"
    path.write_bytes(b'{"key": "a"}\n' + raw)
    journal = Journal(path)
    journal.append({"key": "z", "text": "fin"})
    assert journal.get("z")["text"] == "fin" and "a" in journal
    journal.close()
    again = Journal(path)
    assert again.get("z")["text"] == "fin" and again.repaired is None
    again.close()


def test_a_full_disk_is_one_message_and_leaves_no_half_line(tmp_path, monkeypatch):
    journal = Journal(tmp_path / "answers.jsonl")
    journal.append({"key": "a"})
    real = os.write

    def full(file, raw):
        real(file, raw[:5])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("helpers.teacher.journal.os.write", full)
    with pytest.raises(LabError, match="disk is full"):
        journal.append({"key": "b"})
    monkeypatch.undo()
    journal.close()
    assert lines(tmp_path / "answers.jsonl") == [{"key": "a"}]


def test_two_runs_cannot_write_to_one_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("helpers.teacher.journal.PATIENCE", 0.1)
    with Folder(tmp_path / "job"), pytest.raises(LabError, match="Another run is writing"):
        Folder(tmp_path / "job")
    with Folder(tmp_path / "job"):
        pass


def test_two_workers_that_open_a_finished_job_at_once_both_get_it(tmp_path):
    # Workers that start in the same millisecond once met at the lock, and the second was told that somebody writes.
    opened = threading.Event()

    def read():
        with Folder(tmp_path / "job"):
            opened.set()
            time.sleep(0.3)

    other = threading.Thread(target=read)
    other.start()
    assert opened.wait(5)
    with Folder(tmp_path / "job") as second:
        assert len(second.answers) == 0
    other.join()


# ------------------------------------------------------------------------------------------------------------- client
def test_every_prompt_gets_its_answer_and_equal_prompts_are_asked_once(quick, tmp_path):
    before = quick.stats()["accepted"]
    job = teacher.Client(quick.endpoint).run(
        [*PROMPTS, *PROMPTS[:10]], tmp_path, validate=lambda text, i: VALID(text, i % 40), label=None
    )
    assert quick.stats()["accepted"] - before == 40
    assert (job.answered, job.duplicates, job.failed) == (40, 10, 0)
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
        assert {record["problem"] for record in job.errors().values()} == {"invalid: wrong"} and len(
            job.errors()
        ) == 4
        assert len({body["temperature"] for body in server.requests}) == 3  # other sampling each time
    with Scripted(always(200, completion("bien"))) as server:
        job = teacher.Client(server.endpoint()).run(
            chats(4), tmp_path, validate=lambda text, _: None, label=None
        )
        assert job.answered == 4 and job.errors() == {}


def test_a_cut_answer_never_counts_and_is_asked_again_with_more_room(tmp_path):
    def script(number, body, sent):
        return 200, {}, completion("corto", "length") if body["max_tokens"] < 4000 else completion("entero")

    with Scripted(script) as server:
        job = teacher.Client(server.endpoint()).run(chats(1), tmp_path, label=None)
    assert (
        job.answers()[0].text == "entero"
        and job.problems == Counter(cut=1)
        and job.answers()[0].attempts == 2
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("<think>veo</think>bien", "bien"),
        ("veo\n</think>\nbien", "bien"),
        ("bien", "bien"),
        ("<think>nunca acaba", None),
        ("   ", None),
    ],
)
def test_thinking_is_stripped_in_all_its_forms_before_an_answer_counts(tmp_path, content, expected):
    with Scripted(always(200, completion(content))) as server:
        job = teacher.Client(server.endpoint(), invalid_attempts=2).run(chats(1), tmp_path, label=None)
    answer = job.answers()[0]
    assert (answer.text if answer else None) == expected


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (401, {"error": {"message": "no", "code": "invalid_api_key"}}, "key was refused"),
        (402, {"error": {"message": "pay"}}, "no credit"),
        (
            429,
            {"error": {"message": "x", "code": "insufficient_quota", "type": "insufficient_quota"}},
            "no credit",
        ),
        (404, {"error": {"message": "no such model"}}, "no such address or model"),
        (200, completion(base_resp={"status_code": 1004, "status_msg": "login fail"}), "key was refused"),
        (200, completion(base_resp={"status_code": 1008, "status_msg": "insufficient balance"}), "no credit"),
    ],
)
def test_a_refused_key_or_no_credit_stops_the_job_at_once(tmp_path, status, body, said):
    with Scripted(always(status, body)) as server:
        codes = teacher.described("minimax").codes
        client = teacher.Client(server.endpoint(codes=codes), concurrency=4)
        with pytest.raises(LabError, match=said):
            client.run(chats(200), tmp_path, label=None)
        assert len(server.requests) <= 8


def test_what_was_answered_before_the_credit_ended_is_kept_and_not_paid_again(tmp_path):
    with teacher.OfflineTeacher(
        minute=0.6, requests_per_minute=None, latency=(0.1, 0.3), credit=12
    ) as server:
        with pytest.raises(LabError, match=r"no credit.*12 answers are kept"):
            teacher.Client(server.endpoint, concurrency=4).run(PROMPTS, tmp_path, label=None)
    with teacher.OfflineTeacher(minute=0.6, requests_per_minute=None, latency=(0.1, 0.3)) as server:
        job = teacher.Client(server.endpoint).run(PROMPTS, tmp_path, label=None)
        assert (job.resumed, job.answered, server.stats()["accepted"]) == (12, 28, 28)


def test_a_429_pauses_every_worker_for_as_long_as_the_server_asks(tmp_path):
    refused = []

    def script(number, body, sent):
        if number == 10:
            refused.append(time.monotonic())
            return (
                429,
                {"retry-after": "0.7"},
                {"error": {"message": "slow down", "code": "rate_limit_exceeded"}},
            )
        time.sleep(0.02)
        return 200, {}, completion()

    with Scripted(script) as server:
        job = teacher.Client(server.endpoint(minute=6), concurrency=8).run(chats(60), tmp_path, label=None)
        gap = [at - refused[0] for at in server.times if at > refused[0] + 0.1]
    assert job.answered == 60 and job.limited == 1 and job.pauses == 1
    assert min(gap) >= 0.69
    assert Counter(body["messages"][0]["content"] for body in server.requests).most_common(1)[0][1] == 2


def test_a_server_that_asks_for_hours_is_not_waited_for(tmp_path):
    with Scripted(always(429, {"error": {"message": "daily limit"}}, **{"retry-after": "86400"})) as server:
        with pytest.raises(LabError, match="asks to wait 86,400 s"):
            teacher.Client(server.endpoint()).run(chats(3), tmp_path, label=None)


def test_the_budget_stops_the_job_cleanly_and_is_never_exceeded(tmp_path):
    with Scripted(always(200, completion(prompt=100_000, answer=100_000))) as server:  # $0.20 each
        client = teacher.Client(
            server.endpoint(max_completion_tokens=100_000, price_in=1.0), max_cost_usd=1.0, concurrency=4
        )
        prompts = [[{"role": "user", "content": f"{i}" + "x" * 200_000}] for i in range(20)]
        job = client.run(prompts, tmp_path, label=None)
        assert 0.79 <= job.cost_usd <= 1.0 and "budget of $1" in job.stopped and job.failed == 0
        asked = len(server.requests)
        again = client.run(prompts, tmp_path, label=None)
        assert "budget" in again.stopped and len(server.requests) == asked  # what was spent before counts


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
        assert (job.answered, job.failed) == (19, 1) and "too long" in next(iter(job.errors().values()))[
            "problem"
        ]
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
    assert job.answers()[0].text == "bien" and job.problems.total() == 2


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
    assert job.answered == 1 and job.problems == Counter(timeout=1)


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


# ---------------------------------------------------------------------------------------------------------- the storm
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
    assert missing == set(job.errors()) and missing and job.answered + job.failed == 150
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
endpoint = teacher.described("offline", base_url=sys.argv[1], key=teacher.Secret("x"), minute=0.6, requests_per_minute=30000, tokens_per_minute=None)
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
    with teacher.OfflineTeacher(
        minute=0.6, requests_per_minute=None, tokens_per_minute=None, latency=(2, 5)
    ) as server:
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
        "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\nfrom helpers.files import LabError\ntry:\n"
        + "".join(f"    {line}\n" for line in KILLED.strip().splitlines())
        + "except LabError as error:\n    print(error, flush=True)\n"
    )
    with teacher.OfflineTeacher(
        minute=6, requests_per_minute=None, tokens_per_minute=None, latency=(2, 5)
    ) as server:
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


# ------------------------------------------------------------------------------------------------------------ secrets
def test_a_key_shows_itself_nowhere():
    endpoint = teacher.described("minimax", key=teacher.Secret(KEY))
    shown = [
        repr(endpoint),
        str(endpoint),
        f"{endpoint.key}",
        repr(dataclasses.asdict(endpoint)),
        endpoint._repr_markdown_(),
        repr(endpoint.__dict__),
    ]
    shown.append(repr(copy.deepcopy(endpoint)) + json.dumps(dataclasses.asdict(endpoint), default=str))
    assert not any(KEY in text for text in shown)
    with pytest.raises(TypeError):
        pickle.dumps(endpoint)
    assert endpoint.key.reveal() == KEY


LEAKY = """
import logging, os, sys, traceback
from pathlib import Path
logging.basicConfig(level=logging.DEBUG)
from helpers import teacher
endpoint = teacher.remote_endpoint("compatible")
import dataclasses
endpoint = dataclasses.replace(endpoint, minute=0.6)
for status in (200, 400, 401, 429, 500):
    prompts = [[{"role": "user", "content": f"{status} {i}"}] for i in range(8)]
    try:
        job = teacher.Client(endpoint, concurrency=2, attempts=2).run(prompts, Path(sys.argv[1]) / str(status), label="x")
        print(job, job.errors(), job.answers())
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


# ------------------------------------------------------------------------------------------------------------- config
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
        endpoint = dataclasses.replace(
            teacher.described("minimax", key=teacher.Secret(KEY)),
            base_url=server.endpoint().base_url,
            minute=0.6,
        )
        teacher.Client(endpoint).run(chats(1), tmp_path, label=None)
        body = server.requests[0]
    assert (
        body["reasoning_split"] is True
        and body["max_completion_tokens"] == 4096
        and body["temperature"] > 0
        and "max_tokens" not in body
    )


# ---------------------------------------------------------------------------------------------------- offline teacher
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


def test_the_offline_teacher_ends_with_its_owner_even_when_that_is_killed():
    code = "from helpers.teacher import OfflineTeacher; t = OfflineTeacher().start(); print(t.pid, flush=True); input()"
    owner = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
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
        pid, port = server.pid, int(server.url.rsplit(":", 1)[1])
        listening = [
            row.split()[1]
            for row in Path("/proc/net/tcp").read_text().splitlines()
            if f":{port:04X} 00000000" in row
        ]
        assert listening == [f"0100007F:{port:04X}"]
    assert _gone(pid)


def test_a_plain_openai_client_is_limited_with_a_retry_after_that_holds_and_told_who_answers():
    import openai

    with teacher.OfflineTeacher(minute=4, requests_per_minute=5, latency=(0, 0)) as server:
        api = openai.OpenAI(base_url=server.endpoint.base_url, api_key="any", max_retries=0)
        answers_ = [api.chat.completions.create(model="MiniMax-M2.5", messages=PROMPTS[0]) for _ in range(5)]
        assert {answer.model for answer in answers_} == {"offline-teacher"}
        assert answers_[0].usage.total_tokens > answers_[0].usage.completion_tokens > 20
        with pytest.raises(openai.RateLimitError) as caught:
            api.chat.completions.create(model="x", messages=PROMPTS[0])
        time.sleep(float(caught.value.response.headers["retry-after"]) + 0.01)
        assert api.chat.completions.create(model="x", messages=PROMPTS[0]).choices[0].finish_reason == "stop"
        assert (server.stats()["accepted"], server.stats()["limited"]) == (6, 1)


def test_tokens_are_limited_as_well_as_requests():
    import openai

    with teacher.OfflineTeacher(
        minute=60, requests_per_minute=None, tokens_per_minute=1000, latency=(0, 0)
    ) as server:
        api = openai.OpenAI(base_url=server.endpoint.base_url, api_key="any", max_retries=0)

        def ask_ten_times():
            for _ in range(10):
                api.chat.completions.create(model="x", messages=PROMPTS[0])

        with pytest.raises(openai.RateLimitError):
            ask_ten_times()
        assert 700 <= server.stats()["tokens"] <= 1300


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


@pytest.mark.parametrize("payment", [False, True])
def test_an_empty_purse_is_said_in_both_ways(payment, tmp_path):
    with teacher.OfflineTeacher(minute=0.6, credit=0, payment=payment) as server:
        with pytest.raises(LabError, match=rf"no credit \(HTTP {402 if payment else 429}"):
            teacher.Client(server.endpoint).run(PROMPTS[:2], tmp_path, label=None)


def test_a_wrong_key_is_refused_by_the_offline_teacher_too(tmp_path):
    with teacher.OfflineTeacher(key=KEY, minute=0.6) as server:
        assert teacher.Client(server.endpoint).run(PROMPTS[:1], tmp_path, label=None).answered == 1
        with pytest.raises(LabError, match="key was refused"):
            teacher.Client(dataclasses.replace(server.endpoint, key=teacher.Secret("other-key"))).run(
                PROMPTS[1:2], tmp_path, label=None
            )


def test_every_wording_of_the_micro_world_is_recognised_in_its_frame():
    for split in ("dev", "test"):
        rows = cases.evaluation_prompts(split)
        wrong = [row.text for row in rows if answers.recognise(row.text) != row.finding]
        assert not wrong, wrong[:3]


def test_the_offline_teacher_writes_only_the_parts_it_is_asked_for_with_the_countrys_number():
    row = dataclasses.replace(ROWS[0], country="GT")
    text = answers.answer(teacher.triage_prompt(row, parts=("actions", "alarms")))
    assert parse(text).missing() == ("disclaimer", "number") and parse(text).level == row.level
    assert parse(answers.answer(teacher.triage_prompt(row))).missing("GT") == ()
    assert teacher.triage_problem(text, "GT", ("actions", "alarms")) is None


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
    found = teacher.triage_problem(change(text), "ES", PARTS, ("NARANJA",))
    assert (found is None) if problem is None else problem in found


# -------------------------------------------------------------------------------------------------------------- naive
def test_the_naive_client_loses_rows_pays_for_repeats_and_takes_anything(tmp_path):
    faults = teacher.Faults(error=0.5, cut=0.3)
    with teacher.OfflineTeacher(
        minute=0.6, requests_per_minute=None, latency=(0.5, 1), faults=faults
    ) as server:
        job = teacher.run_naive(
            server.endpoint, [*PROMPTS, *PROMPTS[:5]], tmp_path / "naive.json", concurrency=10, retry_delay=1
        )
        assert server.stats()["accepted"] + server.stats()["broken"] == job.requests > 45
    assert job.lost > 0 and any(teacher.triage_problem(text, "ES") for text in job.texts if text)
    assert json.loads((tmp_path / "naive.json").read_text()) == job.texts


# ---------------------------------------------------------------------------------------------- translation, together
def test_the_offline_teachers_mistakes_are_found_named_and_mended(tmp_path):
    rows = translate.load_rows("sample").rows[:60]
    with teacher.OfflineTeacher(
        minute=0.6, requests_per_minute=20_000, latency=(0.5, 1), mistakes=0.4
    ) as server:
        result = translate.translate(rows, teacher.Client(server.endpoint), "MX", out="t")
        again = translate.translate(rows, teacher.Client(server.endpoint), "MX", out="t")
    assert result.failed == [] and len(result.passed) == 60
    assert 12 <= len(result.sent_back) <= 36 and {
        p.check for item in result.sent_back for p in item.sent_back
    } >= {
        "numbers",
        "glossary",
        "language",
    }
    assert again.requests == 0 and [item.spanish for item in again.passed] == [
        item.spanish for item in result.passed
    ]
    assert result.cost_usd > 0 == again.cost_usd and result.total_cost_usd == pytest.approx(
        again.total_cost_usd
    )
