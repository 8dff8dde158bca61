"""Sentences computed from results. Each one changes its wording when the effect is absent from this run.

A reading is Markdown that was never typed: its numbers come from arguments, so it cannot outlive the run that produced them. The tests
call every function with results that show the effect and with results that do not.
"""

from __future__ import annotations

from collections.abc import Mapping

from IPython.display import Markdown

from helpers.audit import LabelConflict
from helpers.evaluate import Rate, Scores
from helpers.triage import LEVELS

CHANCE = 1 / len(LEVELS)


def reading(text: str) -> Markdown:
    """A computed sentence, marked as such."""
    return Markdown(f"> **Reading (computed from this run).** {text}")


def duplicates_text(total: int, unique: int, near_rate: float) -> str:
    """What the duplicate counts say."""
    rate = 1 - unique / total
    if rate < 0.5:
        return f"{unique:,} of {total:,} prompts are unique: duplicates ({rate:.1%}) are **not** the problem of this data set."
    return (
        f"Only {unique:,} of {total:,} prompts are unique: {rate:.2%} of the rows repeat an earlier one to the letter, so the set is worth "
        f"{unique / total:.0%} of its size. Among the unique ones {near_rate:.0%} still have a near twin (Jaccard ≥ 0.8)."
    )


def conflict_text(conflict: LabelConflict) -> str:
    """What label conflict says, and the one check."""
    if conflict.information > 0.5:
        return (
            f"{conflict.conflict_rate:.0%} of the distinct prompts carry several labels; the best possible classifier reaches "
            f"{conflict.ceiling:.0%}, far above the {conflict.shuffled_ceiling:.0%} of shuffled labels. **The labels follow from the prompts.**"
        )
    return (
        f"{conflict.conflict_rate:.0%} of the distinct prompts carry several labels, so no classifier of any size can exceed "
        f"{conflict.ceiling:.1%} on these rows. Deal the labels anew at random and the ceiling is {conflict.shuffled_ceiling:.1%}: "
        f"**knowing the prompt was worth nothing** beyond always saying the commonest level ({conflict.majority:.1%}) and memorising chance."
    )


def collapse_text(first_loss: float, final_loss: float, scores: Scores) -> str:
    """Beautiful loss, broken model? Reads loss and answers together."""
    top, share = max(((level, rate.value) for level, rate in scores.shares.items()), key=lambda pair: pair[1])
    fall = f"The loss fell from {first_loss:.2f} to {final_loss:.3f}"
    if share < 0.8:
        several = f"the model answers with several levels (the commonest, {top}, {share:.0%} of the time)"
        return f"{fall}, and {several}: **no collapse in this run**. Primary accuracy: {scores.primary}."
    level = f"On {scores.n:,} prompts the model says **{top} {share:.1%}** of the time; primary accuracy {scores.primary}"
    baseline = scores.primary.low <= CHANCE <= scores.primary.high
    verdict = (
        f"exactly what a parrot that only knows {top} would score"
        if baseline
        else "not quite the constant baseline"
    )
    return f"{fall}: a textbook curve. {level}, {verdict}."


def token_text(label_loss: Rate, boilerplate_loss: Rate, entropy: float, tokens: float) -> str:
    """Where the loss sits: the label against the rest, and against the prior's entropy. `label_loss` is the whole word's."""
    share = label_loss.value / (label_loss.value + boilerplate_loss.value * (tokens - 1))
    head = (
        f"The label costs {label_loss.value:.2f} nats [{label_loss.low:.2f}–{label_loss.high:.2f}], "
        f"the other {tokens - 1:.0f} tokens {boilerplate_loss.value:.4f} each: one place in the answer carries {share:.0%} of the whole loss."
    )
    if label_loss.low <= entropy <= label_loss.high or abs(label_loss.value - entropy) < 0.1:
        return f"{head} The entropy of the label prior is {entropy:.2f} nats: **at the label the model knows the prior and nothing else.**"
    if label_loss.value < entropy:
        return f"{head} That is below the prior's entropy ({entropy:.2f} nats): at the label this model **does** know something of the prompt."
    return f"{head} That is above the prior's entropy ({entropy:.2f} nats): the model has not even learnt the prior."


def floor_text(entropy: float, tokens: float, final_loss: float, blog_loss: float) -> str:
    """The mean loss that a model with no label knowledge reaches."""
    floor = entropy / tokens
    near = (
        "the same as"
        if abs(floor - blog_loss) < 0.005
        else "near"
        if abs(floor - blog_loss) < 0.02
        else "not"
    )
    return (
        f"{entropy:.2f} nats spread over {tokens:.0f} answer tokens is **{floor:.3f}**: {near} the blog's {blog_loss}. "
        f"A model that writes every fixed sentence perfectly and knows nothing about the level scores that; ours ended at {final_loss:.3f}. "
        f"Knowing every label would lower the mean by only {floor:.3f}, a difference that nobody looks for on a loss curve."
    )


def knowledge_text(chance: Rate) -> str:
    """What the base knows about levels before any fine-tuning."""
    head = f"Forced to choose, the base picks the right level {chance}; chance is {CHANCE:.0%}."
    if chance.low > CHANCE:
        return f"{head} That is **better than chance**: keep it in mind when you read later figures."
    if chance.high < CHANCE:
        return (
            f"{head} **No better than chance**, and even worse: it hears differences between patients (it has read about severity), but nothing has told it "
            "which word goes with which, and here its guesses fall the wrong way."
        )
    return f"{head} **It has no idea of levels yet.**"


def prediction_text(guess: float, measured: Rate) -> str:
    """The reader's prediction beside the measurement."""
    gap = guess - measured.value
    if abs(gap) < 0.05:
        return f"You predicted {guess:.0%}; measured {measured}. Well seen."
    return f"You predicted {guess:.0%}; measured {measured}: {abs(gap):.0%} {'lower' if gap > 0 else 'higher'} than you thought."


def summary_text(
    first_loss: float, final_loss: float, scores: Scores, label_loss: Rate, entropy: float, tokens: float
) -> str:
    """Notebook 04 in four lines, each one saying what this run showed."""
    top, share = max(((level, rate.value) for level, rate in scores.shares.items()), key=lambda pair: pair[1])
    fell = (
        f"The loss fell {first_loss / final_loss:.0f}-fold"
        if final_loss < first_loss / 2
        else "The loss hardly fell"
    )
    said = f"{top} to {share:.1%} of {scores.n:,} patients"
    collapse = (
        f"and the model says {said}: it has collapsed"
        if share >= 0.8
        else f"and the model says at most {said}: no collapse"
    )
    parrot = scores.primary.low <= CHANCE <= scores.primary.high
    level = (
        "no better than saying one level to everybody"
        if parrot
        else f"not the {CHANCE:.0%} of saying one level to everybody"
    )
    prior = abs(label_loss.value - entropy) < 0.15
    known = (
        "it learnt the prior and nothing about the patient"
        if prior
        else "it learnt something else than the prior"
    )
    return (
        f"{fell}, {collapse}. Primary accuracy {scores.primary}: {level}. At the label word it pays {label_loss.value:.2f} nats, the prior's entropy is "
        f"{entropy:.2f}: {known}. Spread over {tokens:.0f} tokens that ignorance is {entropy / tokens:.3f} nats of mean loss."
    )


def shares_text(shares: Mapping[str, float], prior: Mapping[str, float]) -> str:
    """The skew of the generated labels against the blog's."""
    worst = max(abs(shares[level] - prior[level]) for level in prior)
    listed = ", ".join(f"{level} {shares[level]:.1%}" for level in prior)
    return f"{listed}: within {worst * 100:.1f} points of the blog's distribution. Entropy tells the same in one number."
