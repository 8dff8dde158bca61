"""Checks for the notebooks' exercises. A check takes the reader's function and says what is still wrong, in
words.

The tests hold that every starter fails its check and every solution passes it.
"""

from collections.abc import Callable
from typing import Any

from IPython.display import Markdown, display

from .from_preferences import (
    after_trimming,
    could_be,
    dpo_loss,
    first_difference,
    odds_ratio,
    over_price,
    passes_gate,
    safe_reward,
    unpack_q4_0,
    with_number,
)
from .to_distillation import (
    Problems,
    balanced_accuracy,
    cost_of_rows,
    divide_by_prior,
    fold_lora,
    in_flight_needed,
    keeps_negation,
    loss_without_knowledge,
    main_effect,
    missed_urgency,
    perplexity_of_labels,
    read_level,
    still_to_ask,
    unique_after,
    with_replay,
)

CHECKS: dict[str, Callable[[Callable[..., Any]], Problems]] = {
    check.__name__: check
    for check in (
        read_level,
        perplexity_of_labels,
        unique_after,
        loss_without_knowledge,
        balanced_accuracy,
        missed_urgency,
        main_effect,
        divide_by_prior,
        cost_of_rows,
        keeps_negation,
        in_flight_needed,
        still_to_ask,
        fold_lora,
        with_replay,
        odds_ratio,
        dpo_loss,
        with_number,
        over_price,
        safe_reward,
        unpack_q4_0,
        first_difference,
        could_be,
        after_trimming,
        passes_gate,
    )
}


def problems(name: str, function: Callable[..., Any]) -> Problems:
    """What is still wrong with a reader's function; an exception it raises is one of the answers."""
    try:
        return CHECKS[name](function)
    except Exception as error:  # whatever a half-written function raises is the reader's to see, in one line
        return [f"{type(error).__name__}: {error}"]


def check(name: str, function: Callable[..., Any]) -> None:
    """Show whether the exercise is solved, and the first thing that is wrong if not."""
    found = problems(name, function)
    display(Markdown("✓ **Solved.**" if not found else f"✗ Not yet: {found[0]}."))
