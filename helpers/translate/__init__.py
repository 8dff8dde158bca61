"""Translate: `rows` loads, `glossary` and `numbers` say what to keep, `checks` judges, `pipeline` asks."""

from helpers.translate.checks import CHECKS, check_row, row_chrf
from helpers.translate.glossary import COUNTRIES, glossary
from helpers.translate.numbers import numbers_in
from helpers.translate.pipeline import read_answer, read_request, request, send_back, translate
from helpers.translate.rows import Row, check_hub, drop_false_claims, load_rows, read_sample
