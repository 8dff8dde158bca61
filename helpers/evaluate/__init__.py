"""Evaluate: generate answers, score them, and say how sure the figures are.

`statistics` holds intervals and tests, `scoring` turns answers into figures, `generation` makes the answers and looks inside the
model, `baselines` is what any model has to beat.
"""

from helpers.evaluate.baselines import always, keyword_rules, tfidf
from helpers.evaluate.generation import Answer, ask, generate, label_probabilities, load, token_losses
from helpers.evaluate.scoring import COSTS, Scores, confusion, score
from helpers.evaluate.statistics import Rate, bootstrap_mean, paired_test, wilson

__all__ = [
    "COSTS",
    "Answer",
    "Rate",
    "Scores",
    "always",
    "ask",
    "bootstrap_mean",
    "confusion",
    "generate",
    "keyword_rules",
    "label_probabilities",
    "load",
    "paired_test",
    "score",
    "tfidf",
    "token_losses",
    "wilson",
]
