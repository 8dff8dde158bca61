"""What is counted about a client: the server's and the client's own figures, on runs made up by hand and on a small real one."""

import pytest

from helpers import cases, lab, teacher
from helpers.lab import ClientRun


def _run(let_in, **changes):
    series = [
        {"second": s, "accepted": a, "broken": 0, "limited": 0, "in_flight": 1} for s, a in enumerate(let_in)
    ]
    values = {
        "name": "x",
        "rows": 10,
        "lost": 0,
        "invalid": 0,
        "requests": 10,
        "limited": 0,
        "minutes": 1.0,
        "limit": 600,
        "timeline": [],
    }
    return ClientRun(**values | changes, series=series)


def test_the_pace_leaves_out_filling_and_the_last_few_rows():
    run = _run([0] * 5 + [0] * 10 + [2] * 5 + [10] * 100 + [0] * 20 + [1] * 3)
    assert run.requests_per_minute.value == pytest.approx(600, rel=0.03)
    assert run.limit_share.value == pytest.approx(1, rel=0.03)
    assert run.limit_share.low <= run.limit_share.value <= run.limit_share.high


def test_a_run_too_short_for_a_steady_state_is_counted_whole():
    assert _run([2] * 10).requests_per_minute.value == pytest.approx(120)


def test_a_run_without_traffic_does_not_divide_by_nothing():
    assert _run([0] * 5).busy == []
    assert _run([0] * 5).requests_per_minute.n == 0


def test_shares_come_with_their_n():
    run = _run([1] * 10, lost=2, invalid=3, requests=20, limited=5)
    assert (run.lost_share.value, run.lost_share.n) == (0.2, 10)
    assert (run.invalid_share.value, run.invalid_share.n) == (3 / 8, 8)
    assert (run.rejected_share.value, run.rejected_share.n) == (0.25, 20)
    assert run.answers_per_minute == 8


def test_both_clients_are_counted_on_a_real_server(tmp_path):
    rows = cases.write_diverse(40, 0)
    prompts, problem = (
        [teacher.triage_prompt(row) for row in rows],
        teacher.triage_validator(rows, right_level=True),
    )
    server = {"minute": 0.6, "requests_per_minute": 10_000, "faults": teacher.Faults(language=0.5)}
    naive = lab.try_client(
        "naive", lambda e, p: teacher.run_naive(e, p, tmp_path / "n.json"), prompts, problem, **server
    )

    def client(endpoint, prompts):
        return teacher.Client(endpoint, invalid_attempts=12).run(
            prompts, tmp_path / "r", validate=problem, label=None
        )

    resilient = lab.try_client("resilient", client, prompts, problem, **server)
    assert naive.rows == resilient.rows == 40 and naive.lost == resilient.lost == 0
    assert naive.invalid > 5 and resilient.invalid == 0
    assert resilient.requests > 40 == naive.requests
    assert sum(row["accepted"] + row["broken"] for row in resilient.series) == resilient.requests
    assert naive.limit == 10_000 and naive.minutes > 0
