"""The micro-world: findings, the two prompt writers, the hand-written vignettes, and everyday texts to compare with.

`loader` reads and checks `data/cases/*.yaml`; `writers` turns findings into prompts, `pairs` two answers into a preference;
`general` reads the everyday texts that hold no medicine. This module re-exports what callers use.
"""

from helpers.cases.general import general_texts
from helpers.cases.loader import SPLITS, Finding, Presentation, findings, load_presentations, presentations
from helpers.cases.pairs import KINDS, Pair, hard_pairs, near_miss, pair_rows, set_part, usable, weak_pairs, with_disclaimers
from helpers.cases.writers import (
    BLOG_PRIOR,
    Example,
    chat_rows,
    evaluation_prompts,
    leave_out,
    load_vignettes,
    put_in_frame,
    vignettes,
    write_diverse,
    write_from_templates,
)

__all__ = [
    "BLOG_PRIOR",
    "KINDS",
    "SPLITS",
    "Example",
    "Finding",
    "Pair",
    "Presentation",
    "chat_rows",
    "evaluation_prompts",
    "findings",
    "general_texts",
    "hard_pairs",
    "leave_out",
    "load_presentations",
    "load_vignettes",
    "near_miss",
    "pair_rows",
    "presentations",
    "put_in_frame",
    "set_part",
    "usable",
    "vignettes",
    "weak_pairs",
    "with_disclaimers",
    "write_diverse",
    "write_from_templates",
]
