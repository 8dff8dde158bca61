"""The micro-world: findings, two prompt writers, the vignettes, and everyday texts to compare with.

`loader` reads and checks `data/cases/*.yaml`; `writers` turns findings into prompts, `pairs` two answers into
a preference; `general` reads the everyday texts that hold no medicine.
"""

from helpers.cases.general import general_texts
from helpers.cases.loader import SPLITS, Finding, Wording, findings, held_out, load_held_out
from helpers.cases.pairs import (
    KINDS,
    Pair,
    hard_pairs,
    near_miss,
    pair_rows,
    usable,
    weak_pairs,
    with_disclaimers,
)
from helpers.cases.syndromes import load_syndromes, syndrome_of, syndromes
from helpers.cases.writers import (
    BLOG_PRIOR,
    COLUMNS,
    Example,
    chat_rows,
    columns,
    evaluation_prompts,
    leave_out,
    load_vignettes,
    put_in_frame,
    vignettes,
    write_diverse,
    write_from_templates,
)
