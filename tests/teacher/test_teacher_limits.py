"""How fast the client asks, and the file that survives every crash: bucket, line, backoff, Retry-After,
journal.
"""

import asyncio
import random
import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate

import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st
from servers import Scripted, always, chats, completion, lines

from helpers import teacher
from helpers.files import LabError
from helpers.teacher.journal import Journal
from helpers.teacher.limits import Line, TokenBucket, backoff, retry_after
from helpers.teacher.offline.server import Gateway


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
    times = sent_by(TokenBucket(600, clock=clock), clock, 240)
    assert sum(at < 6 for at in times) <= 61  # no burst at the start
    assert 580 <= most_in_a_minute(times) <= 594 and len(times) >= 0.96 * 4 * 600


def test_a_short_stall_is_made_up_for_without_overrunning_the_servers_window():
    clock = Clock()
    stalls = [(70 + 10 * i, 71 + 10 * i) for i in range(17)]
    times = sent_by(TokenBucket(600, clock=clock), clock, 240, stalls)
    assert most_in_a_minute(times) <= 600
    assert sum(120 <= at < 240 for at in times) >= 0.95 * 1200


def test_idle_time_is_not_saved_up():
    clock = Clock()
    bucket = TokenBucket(600, clock=clock)
    clock.now = 1000
    assert sum(at < 1000.01 for at in sent_by(bucket, clock, 1001)) <= 13


def test_a_request_larger_than_the_bucket_passes_and_is_paid_off_afterwards():
    clock = Clock()
    bucket = TokenBucket(1000, clock=clock)
    clock.now = 60
    assert bucket.delay(2000) == 0
    bucket.take(2000)
    assert bucket.delay(1) >= 60


def test_who_came_first_goes_first():
    async def order():
        line, done = Line(6000, minute=6), []

        async def ask(number):
            await line.enter()
            done.append(number)

        await asyncio.gather(*(ask(number) for number in range(6)))
        return done

    assert asyncio.run(order()) == list(range(6))


def test_nobody_leaves_a_shared_pause_early_nor_all_at_once():
    async def leave():
        line, moments, started = Line(None, minute=6), [], time.monotonic()
        line.stop_for(0.2)
        line.stop_for(0.05)  # a shorter pause does not cut a longer one

        async def worker():
            await line.enter()
            moments.append(time.monotonic() - started)

        await asyncio.gather(*(worker() for _ in range(30)))
        return moments

    moments = asyncio.run(leave())
    assert min(moments) >= 0.199 and max(moments) - min(moments) > 0.05


def test_a_request_waits_for_its_tokens_and_a_large_one_for_a_full_bucket():
    async def enter():
        started, line = time.monotonic(), Line(None, minute=6, tokens=60_000)  # 9,700 a second, 1,200 at most
        await line.enter(2000)
        return time.monotonic() - started, line.tokens.level

    seconds, level = asyncio.run(enter())
    assert seconds >= 1200 / 9700 and level == pytest.approx(-800)  # the rest is a debt


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
        ({"retry-after": formatdate(0, usegmt=True)}, 0),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "99 GMT"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_all_its_forms_and_nonsense_is_ignored(headers, seconds):
    assert retry_after(headers) == seconds


def test_retry_after_may_be_a_moment_of_the_clock():
    moment = formatdate(time.time() + 9000, usegmt=True)
    assert retry_after({"retry-after": moment}) == pytest.approx(9000, abs=900)


def test_a_gateway_lets_a_burst_in_and_tells_everybody_else_the_same_second():
    gateway = Gateway(60, burst=5, second=1.0)
    assert [gateway.wait(0.25) for _ in range(5)] == [0] * 5
    told = [0.25 + gateway.wait(0.25), 0.9 + gateway.wait(0.9)]
    assert told == [pytest.approx(2.0)] * 2  # one permit a second: the next is there at 1.25


# ---------------------------------------------------------------------------------------------------- journal
def test_a_cut_last_line_is_removed_and_the_others_stay(tmp_path):
    path = tmp_path / "answers.jsonl"
    path.write_bytes(b'{"key": "a", "cost_usd": 0.5}\n{"key": "b"}\n{"key": "c", "te')
    journal = Journal(path)
    assert list(journal) == ["a", "b"] and journal.repaired and journal["a"]["cost_usd"] == 0.5
    journal.append({"key": "c", "text": "ñ \ud83d"})
    journal.file.close()
    assert [row["key"] for row in lines(path)] == ["a", "b", "c"]


@given(st.binary(max_size=300))
def test_any_bytes_at_all_can_be_opened_and_appended_to(tmp_path_factory, raw):
    path = tmp_path_factory.mktemp("journal") / "answers.jsonl"
    path.write_bytes(b'{"key": "a"}\n' + raw)
    journal = Journal(path)
    journal.append({"key": "z", "text": "fin"})
    assert journal["z"]["text"] == "fin" and "a" in journal
    journal.file.close()
    again = Journal(path)
    assert again == journal and not again.repaired
    again.file.close()


class Full:
    """A file on a disk that takes five bytes more."""

    def __init__(self, file):
        self.file = file

    def write(self, raw):
        return self.file.write(raw[:5])

    def __getattr__(self, name):
        return getattr(self.file, name)


def test_a_full_disk_is_one_message_and_leaves_no_half_line(tmp_path):
    journal = Journal(tmp_path / "answers.jsonl")
    journal.append({"key": "a"})
    journal.file = Full(journal.file)
    with pytest.raises(OSError, match="No space left"):
        journal.append({"key": "b"})
    journal.file.close()
    assert lines(tmp_path / "answers.jsonl") == [{"key": "a"}] and "b" not in journal


def test_a_disk_that_fills_up_during_a_job_is_one_message(tmp_path, monkeypatch):
    real = Journal.append

    def full(self, record):
        if len(self) == 3:
            raise OSError(28, "No space left on device")
        real(self, record)

    monkeypatch.setattr(Journal, "append", full)
    with Scripted(always(200, completion())) as server, pytest.raises(LabError, match="disk is full"):
        teacher.Client(server.endpoint()).run(chats(9), tmp_path / "job", label=None)
    assert len(lines(tmp_path / "job" / "answers.jsonl")) == 3


def test_two_runs_cannot_write_to_one_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("helpers.teacher.client.LOCK_S", 0.1)
    (tmp_path / "job").mkdir()
    endpoint = teacher.described("offline", base_url="http://127.0.0.1:9/v1")
    with FileLock(tmp_path / "job" / ".lock"), pytest.raises(LabError, match="Another run is writing"):
        teacher.Client(endpoint).run(chats(1), tmp_path / "job", label=None)


def test_two_workers_that_read_a_finished_job_at_once_both_get_it(tmp_path):
    # Workers that start in the same millisecond once met at the lock, and the second was told that somebody
    # writes.
    with Scripted(always(200, completion())) as server:
        client = teacher.Client(server.endpoint())
        client.run(chats(3), tmp_path, label=None)
        with ThreadPoolExecutor(4) as pool:
            jobs = list(pool.map(lambda _: client.run(chats(3), tmp_path, label=None), range(4)))
    assert [job.resumed for job in jobs] == [3] * 4
