"""Translate: the English rows, the glossary, what a teacher is asked, the checks of its answer, and the loop around them.

`rows` loads, `glossary` and `numbers` say what must be kept, `checks` judges, `prompts` asks, `pipeline` does all of it for
a set of rows, and `trial` plants mistakes to see what the checks notice.
"""

from helpers.translate.checks import (
    CHECKS,
    Problem,
    check_field,
    check_row,
    chrf,
    glossary_problems,
    language_of,
    language_problems,
    length_problems,
)
from helpers.translate.glossary import (
    COUNTRIES,
    Glossary,
    Term,
    find_spanish,
    glossary,
    highlights,
    load_glossary,
)
from helpers.translate.numbers import number_problems
from helpers.translate.pipeline import Failed, Translated, Translation, translate
from helpers.translate.prompts import read_answer, read_request, request, send_back
from helpers.translate.rows import FIELDS, LABELS, Loaded, Row, drop_false_claims, load_rows, read_sample
from helpers.translate.trial import Trial, false_alarms, put_on_trial, row_chrf

__all__ = [
    "CHECKS",
    "COUNTRIES",
    "FIELDS",
    "LABELS",
    "Failed",
    "Glossary",
    "Loaded",
    "Problem",
    "Row",
    "Term",
    "Translated",
    "Translation",
    "Trial",
    "check_field",
    "check_row",
    "chrf",
    "drop_false_claims",
    "false_alarms",
    "find_spanish",
    "glossary",
    "glossary_problems",
    "highlights",
    "language_of",
    "language_problems",
    "length_problems",
    "load_glossary",
    "load_rows",
    "number_problems",
    "put_on_trial",
    "read_answer",
    "read_request",
    "read_sample",
    "request",
    "row_chrf",
    "send_back",
    "translate",
]
