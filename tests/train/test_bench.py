"""`python -m helpers bench-gpu`: refused where it would mean nothing, and run at nano size where there is no GPU."""

from importlib.util import find_spec

import pytest
import torch

from helpers.files import LabError, read_json
from helpers.train import bench


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_the_large_model_is_refused_before_anything_is_made(tmp_path):
    with pytest.raises(LabError, match=r"no CUDA device.*--size nano"):
        bench.report()
    assert not (tmp_path / "build").exists()


def test_the_cost_of_a_token_is_the_papers_for_a_model_of_this_size():
    """1.2 B frozen weights: 4 FLOP each, and 6 for each of the adapter's."""
    assert bench.flops_per_token(1_170_340_608, 11_108_352) == 4_748_012_544
    assert 1e9 < bench.matmul_peak(torch.float32, size=512) < 1e14


def test_at_nano_size_every_installed_engine_trains_and_says_what_it_did(capsys):
    kept = read_json(bench.report("nano", steps=2))
    installed = [name for name in ("transformers", "unsloth") if find_spec(name)]
    assert list(kept["engines"]) == installed and kept["device"] and kept["date"]
    for engine, one in kept["engines"].items():
        assert one["tokens_per_second"] > 0 and 0 < one["share_of_matmul_peak"] < 1
        assert one["trainable"] == 303_104 and one["peak_memory_gb"] is None
        assert [step for step, _ in one["losses"]] == [1, 2] and engine in one["versions"]
    said = capsys.readouterr().out
    assert "tokens/s" in said and ("unsloth: " in said or "Unsloth is not installed" in said)
