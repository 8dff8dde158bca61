"""Figures and widgets. `primitives` holds the five figures of the series, `figures` what every figure goes through."""

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

__all__ = [
    "Prediction",
    "answer_card",
    "bars",
    "color_of",
    "compare_answers",
    "dots",
    "finding",
    "forest",
    "gates",
    "heatmap",
    "lines",
    "predict",
    "present",
    "running_mean",
    "source",
    "stamp_text",
    "static",
    "table",
]
