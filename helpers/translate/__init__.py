"""Translate: `rows` loads, `glossary` and `numbers` say what must be kept, `checks` judges, and `pipeline`
asks a teacher for a set of rows.
"""

from helpers.translate.checks import CHECKS, check_row, row_chrf
from helpers.translate.glossary import COUNTRIES, glossary
from helpers.translate.numbers import numbers_in
from helpers.translate.pipeline import read_answer, read_request, request, send_back, translate
from helpers.translate.rows import Row, check_hub, drop_false_claims, load_rows, read_sample

__all__ = [
    "CHECKS",
    "COUNTRIES",
    "Row",
    "check_hub",
    "check_row",
    "drop_false_claims",
    "glossary",
    "load_rows",
]
__all__ += ["numbers_in", "read_answer", "read_request", "read_sample", "request", "row_chrf", "send_back"]
__all__ += ["translate"]
