"""What is wrong with a data set, before anything is trained on it. Nothing here knows about models.

`diversity` is about prompts and their labels, `phrases` about what a corpus must not say, `preferences` about
pairs of answers and what training on them will push. `own` puts them to a reader's file (`python -m helpers
audit FILE`): `reading` reads it, `copies` finds copies among a million rows, `pushes` is for pairs, `report`
writes.
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
    sketch,
)
from helpers.audit.phrases import PhraseIndex, together, words
from helpers.audit.preferences import FEATURES, Side, preferences
