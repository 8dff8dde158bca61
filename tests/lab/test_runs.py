"""Many small runs side by side: what names a result, what is kept, what is asked again, and what a reader is
told when it stops.
"""

import importlib
import json
import os

import pytest

from helpers import lab
from helpers.files import LabError, build_dir

runner = importlib.import_module("helpers.lab.runs")  # `lab.runs` is the function


class Calls(list):
    """What was called. Its text names a place in memory, so it is no part of what names a result."""

    __repr__ = object.__repr__


CALLS = Calls()
FACTOR = 2


def double(number, seed=0):
    CALLS.append(number)
    return {"twice": FACTOR * number, "seed": seed}


def helped(number):
    return double(number)["twice"] + 1


@pytest.fixture(autouse=True)
def _fresh():
    CALLS.clear()


def cells(*numbers):
    return [{"number": number} for number in numbers]


def test_results_come_in_the_order_of_the_cells():
    assert [one["twice"] for one in lab.runs(double, cells(3, 1, 2), workers=1)] == [6, 2, 4]


def test_a_finished_run_is_read_and_not_made_again():
    lab.runs(double, cells(1, 2), workers=1)
    lab.runs(double, cells(1, 2, 3), workers=1)
    assert CALLS == [1, 2, 3]


def test_a_changed_value_or_helper_of_the_notebook_asks_for_new_runs(monkeypatch):
    lab.runs(helped, cells(1), workers=1)
    monkeypatch.setitem(globals(), "FACTOR", 3)
    assert lab.runs(helped, cells(1), workers=1) == [4]
    assert CALLS == [1, 1]


def test_the_sources_of_a_run_hold_what_it_uses_of_its_own_notebook():
    assert set(runner.sources(helped)) == {"helped", "double", "FACTOR"}
    assert "2" in runner.sources(helped)["FACTOR"]


def test_a_default_value_taken_from_a_global_is_part_of_what_names_a_result():
    def asking(rows):
        def asked(number, rows=rows):
            return number

        return asked

    assert runner.sources(asking(350)) != runner.sources(asking(100))


def test_an_attribute_that_is_called_like_a_global_of_the_notebook_is_not_one():
    assert "FACTOR" not in runner._names((lambda row: row.FACTOR).__code__)


def test_an_interrupted_experiment_keeps_what_is_finished(monkeypatch):
    def stops_at_two(number):
        if number == 2:
            raise KeyboardInterrupt
        return number

    with pytest.raises(LabError, match="1 of 3 runs are finished and kept"):
        lab.runs(stops_at_two, cells(1, 2, 3), workers=1)
    assert len(list((build_dir() / "runs" / "nano").glob("stops_at_two-*.json"))) == 1


def test_a_cut_off_result_is_one_clear_message():
    lab.runs(double, cells(1), workers=1)
    (path,) = (build_dir() / "runs" / "nano").glob("double-*.json")
    for broken in ('{"cell"', json.dumps({"cell": {}})):
        path.write_text(broken)
        with pytest.raises(LabError, match="Delete it"):
            lab.runs(double, cells(1), workers=1)


@pytest.mark.training
def test_two_workers_have_one_thread_each_and_see_the_readers_settings(monkeypatch):
    monkeypatch.setattr(runner, "cpu_count", lambda: 2)
    monkeypatch.setenv("TRIAGE_SEEN_BY_WORKERS", "yes")
    jobs = ["TRIAGE_SEEN_BY_WORKERS", "TRIAGE_THREADS"]
    assert dict(runner.side_by_side(os.getenv, jobs, 2)) == {0: "yes", 1: "1"}


@pytest.mark.training
def test_a_worker_that_dies_is_one_clear_message(monkeypatch):
    monkeypatch.setattr(runner, "cpu_count", lambda: 2)
    with pytest.raises(LabError, match=r"A worker died.* of 2 runs are finished and kept.*workers: 1"):
        list(runner.side_by_side(os._exit, [1, 1], 2))
