"""What is wrong with a data set, before anything is trained on it. Nothing here knows about models.

`diversity` is about prompts and their labels, `phrases` about what a corpus must not say, `preferences` about pairs of answers and what
training on them will push.
"""

from helpers.audit.diversity import (
    NEAR,
    PERMUTATIONS,
    SHINGLE,
    LabelConflict,
    conflict_of,
    distinct_n,
    duplicate_rate,
    entropy,
    jaccard,
    label_conflict,
    near_duplicate_rate,
    near_pairs,
    shingles,
)
from helpers.audit.phrases import PhraseIndex, together, words
from helpers.audit.preferences import FEATURES, FeatureAudit, LengthAudit, PreferenceAudit, Side, preferences

__all__ = [
    "FEATURES",
    "NEAR",
    "PERMUTATIONS",
    "SHINGLE",
    "FeatureAudit",
    "LabelConflict",
    "LengthAudit",
    "PhraseIndex",
    "PreferenceAudit",
    "Side",
    "conflict_of",
    "distinct_n",
    "duplicate_rate",
    "entropy",
    "jaccard",
    "label_conflict",
    "near_duplicate_rate",
    "near_pairs",
    "preferences",
    "shingles",
    "together",
    "words",
]
