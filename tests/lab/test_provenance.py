"""Where a number of the pages comes from, and a reader's own run beside the shipped one."""

import json
import re

import pytest

from helpers import __main__ as command_line
from helpers import provenance
from helpers.files import NOTEBOOKS, LabError
from helpers.lab import results_path, shipped_path


def _shipped():
    return json.loads(shipped_path().read_text())["measurements"]


def test_every_shipped_number_has_a_cell_that_records_it():
    for key, entry in _shipped().items():
        if not entry["notebook"]:  # of the whole series: its minutes
            continue
        cells = provenance.origin(key, entry["notebook"])
        assert all("lab.record" in cell.source for cell in cells), key
        assert len(cells) <= 4, key


def test_a_number_is_told_with_value_n_interval_cell_models_and_command():
    told = provenance.told("balanced.accuracy.vignettes")
    entry = _shipped()["balanced.accuracy.vignettes"]
    for part in (
        f"{entry['value']:.1%}",
        "n = 200",
        "05_balanced_sft",
        "sft-balanced",
        "helpers run 05",
        "torch",
    ):
        assert part in told, part


@pytest.mark.parametrize("key", ["quant.Q8_0.kl", "parity.llama_cpp.level", "balanced.accuracy.vignettes"])
def test_a_number_names_the_machine_that_its_page_names(key):
    notebook = _shipped()[key]["notebook"]
    page = (NOTEBOOKS / f"{notebook}.ipynb").read_text(encoding="utf-8")
    (machine,) = set(re.findall(r"\*\*Machine\*\*: (.+?)\.  ", page))
    assert f" on {machine};" in provenance.told(key)


def test_minutes_of_the_series_come_from_no_notebook():
    assert "run --write" in provenance.told(next(key for key in _shipped() if key.startswith("series.")))


def test_a_beginning_lists_its_keys_and_a_slip_of_the_pen_offers_similar_ones():
    assert "gates.label: " not in provenance.told("balanced") and "balanced.kappa" in provenance.told(
        "balanced"
    )
    with pytest.raises(LabError, match=r"Similar: .*balanced\.accuracy"):
        provenance.told("balancd.accuracy.test")


def test_a_run_that_agrees_is_compared_without_a_word_and_one_that_does_not_is_named(monkeypatch, capsys):
    own = json.loads(shipped_path().read_text())
    results_path().parent.mkdir(parents=True)
    results_path().write_text(json.dumps(own))
    monkeypatch.setattr("sys.argv", ["helpers", "compare"])
    assert command_line.main() == 0
    own["measurements"]["imbalanced.share.ROJO"] |= {"value": 0.2, "low": 0.1, "high": 0.3}
    results_path().write_text(json.dumps(own))
    assert command_line.main() == 1
    assert "imbalanced.share.ROJO (04_imbalanced_sft): shipped 1, this run 0.2" in capsys.readouterr().out


def test_without_a_run_there_is_nothing_to_compare_and_the_message_says_what_to_do():
    with pytest.raises(LabError, match="make tutorial"):
        provenance.compare()
