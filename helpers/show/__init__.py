"""Figures and widgets. `primitives` holds the five figures of the series, `figures` what every figure goes through.

The others serve a notebook each until it draws with the primitives: `adaptation` 02, `distillation` 07, `preferences` 08,
`negatives` 09, `rewards` 10, `quantization` and `picker` 11, `runtimes` 12.
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
from helpers.show.runtimes import fault_matrix, odds_apart, page_portrait, parity_table, side_by_depth

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
    "dose_response",
    "dots",
    "drift",
    "error_by_bits",
    "explore_prices",
    "fault_matrix",
    "file_costs",
    "finding",
    "forest",
    "gates",
    "gates_moved",
    "heatmap",
    "herd",
    "ladder_levels",
    "ladder_table",
    "left_out",
    "lines",
    "odds_apart",
    "offers_table",
    "other_models",
    "page_portrait",
    "parity_table",
    "perplexities",
    "phone_map",
    "pick_file",
    "policy_map",
    "predict",
    "predict_step",
    "present",
    "price_lists",
    "running_mean",
    "side_by_depth",
    "source",
    "stamp_text",
    "static",
    "table",
    "throughput",
    "told_apart",
    "training",
    "while_margins_rise",
    "word_prices",
]
