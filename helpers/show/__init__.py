"""Figures and widgets. `primitives` holds the five figures of the series, `figures` what every figure goes through.

The others serve a notebook each until it draws with the primitives: `adaptation` 02, `distillation` 07, `preferences` 08,
`negatives` 09, `rewards` 10, `quantization` and `picker` 11, `report` 14.
"""

from helpers.show.adaptation import perplexities, word_prices
from helpers.show.distillation import bill, herd, throughput
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
from helpers.show.negatives import gates_moved, left_out, told_apart
from helpers.show.picker import offers_table, phone_map, pick_file
from helpers.show.preferences import Dose, before_after, dose_response, while_margins_rise
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
from helpers.show.rewards import (
    alive_groups,
    best_answers,
    bill_table,
    crossing,
    drift,
    explore_prices,
    policy_map,
    price_lists,
    training,
)

__all__ = [
    "Dose",
    "Prediction",
    "StepGuess",
    "alive_groups",
    "answer_card",
    "bars",
    "before_after",
    "best_answers",
    "bill",
    "bill_table",
    "bits_map",
    "close_calls",
    "color_of",
    "compare_answers",
    "crossing",
    "document",
    "dose_response",
    "dots",
    "drift",
    "error_by_bits",
    "explore_prices",
    "file_costs",
    "finding",
    "forest",
    "gates",
    "gates_moved",
    "heatmap",
    "herd",
    "ladder_levels",
    "ladder_table",
    "ledger_table",
    "left_out",
    "lines",
    "offers_table",
    "other_models",
    "perplexities",
    "phone_map",
    "pick_file",
    "policy_map",
    "predict",
    "predict_step",
    "present",
    "price_lists",
    "running_mean",
    "source",
    "stamp_text",
    "static",
    "table",
    "throughput",
    "told_apart",
    "training",
    "verdict_bars",
    "while_margins_rise",
    "why_not_tested",
    "word_prices",
]
