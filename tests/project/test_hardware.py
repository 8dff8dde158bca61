"""Device, precision and threads on machines that are not this one."""

import os
import subprocess
import sys

import pytest
import torch

from helpers.files import ROOT, LabError
from helpers.train import hardware

BUILT = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"]


@pytest.fixture
def card(monkeypatch):
    """A CUDA card of this capability in the machine, and a torch that was built for these."""

    def put_in(capability, built=BUILT, profile="colab"):
        monkeypatch.setenv("TRIAGE_PROFILE", profile)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a card")
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
        monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: built)
        hardware.choose_hardware.cache_clear()

    yield put_in
    hardware.choose_hardware.cache_clear()


@pytest.mark.parametrize(
    ("capability", "built", "device", "precision"),
    [
        ((7, 5), BUILT, "cuda", "fp16"),  # a T4
        ((8, 0), BUILT, "cuda", "bf16"),
        ((8, 9), BUILT, "cuda", "bf16"),  # runs what was built for 8.6
        ((9, 0), ["sm_90a"], "cuda", "bf16"),
        ((12, 1), ["sm_80", "compute_120"], "cuda", "bf16"),  # compiled when it is loaded
        ((9, 0), ["gfx90a"], "cuda", "bf16"),  # AMD's names: torch's own business
        ((6, 0), BUILT, "cpu", None),  # Kaggle's P100
        ((7, 0), BUILT, "cpu", None),
        ((11, 0), BUILT, "cpu", None),
        ((8, 0), [], "cpu", None),
    ],
)
def test_a_card_that_this_torch_was_not_built_for_is_left_alone_with_the_reason(
    card, capability, built, device, precision
):
    card(capability, built)
    chosen = hardware.choose_hardware()
    assert chosen.device == device
    assert chosen.arguments()["use_cpu"] is (device == "cpu")
    if device == "cpu":
        number = "".join(map(str, capability))
        assert f"a card (SM {number}) is not used: this torch was built for" in chosen.reason
    else:
        assert chosen.precision == precision


def test_nano_stays_on_the_cpu_beside_a_card_and_says_so(card):
    """Its pages, and every claim on them, are a CPU's; on an H100 notebook 02 took no less time."""
    card((8, 0), profile="nano")
    chosen = hardware.choose_hardware()
    assert chosen.device == "cpu" and chosen.arguments()["use_cpu"]
    assert "a card is not used: nano and its pages are made for a CPU" in chosen.reason


def test_a_containers_quota_counts_and_not_the_hosts_cores(monkeypatch):
    monkeypatch.delenv(hardware.THREADS, raising=False)
    monkeypatch.setattr(hardware, "cpu_count", lambda: 3)  # joblib reads affinity and cgroup
    threads = torch.get_num_threads()
    hardware.choose_hardware.cache_clear()
    try:
        assert "CPU, 3 threads" in hardware.choose_hardware().reason and torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)
        hardware.choose_hardware.cache_clear()


@pytest.mark.parametrize(("before", "after"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")])
def test_threads_that_wait_sleep_from_before_torch_starts_unless_the_reader_chose(before, after):
    """libgomp reads it once; threads that spin make two runs at once ten times slower (tests/bench_shared.py)."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_WAIT", "GOMP"))}
    program = "import helpers, os, sys; print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, env=outside | before, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [after, "False"]


def test_a_number_of_threads_that_is_none_is_one_message(monkeypatch):
    monkeypatch.setenv(hardware.THREADS, "many")
    hardware.choose_hardware.cache_clear()
    with pytest.raises(LabError, match="TRIAGE_THREADS='many' is no number of threads"):
        hardware.choose_hardware()
    hardware.choose_hardware.cache_clear()
