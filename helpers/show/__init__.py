"""Figures and widgets. `primitives` holds the five figures of the series, `figures` what every figure goes through.

The others serve a notebook each until it draws with the primitives: `report` 14.
"""

from helpers.show.figures import (
    Prediction,
    answer_card,
    color_of,
    compare_answers,
    finding,
    gates,
    predict,
    present,
    running_mean,
    stamp_text,
    static,
    table,
)
from helpers.show.primitives import bars, dots, forest, heatmap, lines, source
from helpers.show.report import document, ledger_table, verdict_bars, why_not_tested

__all__ = [
    "Prediction",
    "answer_card",
    "bars",
    "color_of",
    "compare_answers",
    "document",
    "dots",
    "finding",
    "forest",
    "gates",
    "heatmap",
    "ledger_table",
    "lines",
    "predict",
    "present",
    "running_mean",
    "source",
    "stamp_text",
    "static",
    "table",
    "verdict_bars",
    "why_not_tested",
]
