"""What is wrong with a data set, before anything is trained on it. Nothing here knows about models.

`diversity` is about prompts and their labels, `phrases` about what a corpus must not say, `preferences` about
pairs of answers and what training on them will push.
"""

from helpers.audit.diversity import (
    conflicting,
    duplicate_rate,
    entropy,
    families,
    guess_new_texts,
    jaccard,
    near_pairs,
    predictability,
    shingles,
    sketch,
)
from helpers.audit.phrases import PhraseIndex, together, words
from helpers.audit.preferences import FEATURES, Side, preferences
