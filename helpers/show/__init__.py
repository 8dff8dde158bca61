"""Figures and widgets. `primitives` holds the five figures of the series, `figures` what every figure goes through.

The others serve a notebook each until it draws with the primitives: `quantization` and `picker` 11, `runtimes` 12,
`report` 14.
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
from helpers.show.picker import offers_table, phone_map, pick_file
from helpers.show.primitives import bars, dots, forest, heatmap, lines, source
from helpers.show.quantization import (
    StepGuess,
    bits_map,
    close_calls,
    error_by_bits,
    file_costs,
    ladder_levels,
    ladder_table,
    other_models,
    predict_step,
)
from helpers.show.report import document, ledger_table, verdict_bars, why_not_tested
from helpers.show.runtimes import fault_matrix, odds_apart, page_portrait, parity_table, side_by_depth

__all__ = [
    "Prediction",
    "StepGuess",
    "answer_card",
    "bars",
    "bits_map",
    "close_calls",
    "color_of",
    "compare_answers",
    "document",
    "dots",
    "error_by_bits",
    "fault_matrix",
    "file_costs",
    "finding",
    "forest",
    "gates",
    "heatmap",
    "ladder_levels",
    "ladder_table",
    "ledger_table",
    "lines",
    "odds_apart",
    "offers_table",
    "other_models",
    "page_portrait",
    "parity_table",
    "phone_map",
    "pick_file",
    "predict",
    "predict_step",
    "present",
    "running_mean",
    "side_by_depth",
    "source",
    "stamp_text",
    "static",
    "table",
    "verdict_bars",
    "why_not_tested",
]
