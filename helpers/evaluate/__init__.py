"""Evaluate: generate answers, score them, and say how sure the figures are.

`scoring` turns answers into figures, `generation` makes the answers and looks inside the model, `ches` scores
preference pairs with it, `perplexity` prices texts, `baselines` is what any model has to beat, `effects`
compares models and recipes, `gates` accepts or rejects.
"""

from helpers.evaluate import gates
from helpers.evaluate.baselines import always, baselines, keyword_rules, naive_bayes, tfidf
from helpers.evaluate.ches import ches
from helpers.evaluate.effects import Effect, over_seeds, paired_change
from helpers.evaluate.gates import gate_changes, held_by_gate
from helpers.evaluate.generation import (
    Answer,
    answer_logprobs,
    ask,
    belief,
    generate,
    label_probabilities,
    load,
    next_logits,
    pair_margins,
    prompt_ids,
    rendered_prompt,
    token_losses,
)
from helpers.evaluate.perplexity import TextLoss, text_losses
from helpers.evaluate.scoring import COSTS, Scores, confusion, score
from helpers.statistics import Rate, bootstrap_mean, paired_test, wilson
