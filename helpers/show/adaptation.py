"""Figures of notebook 02: perplexity before and after, and the price of each word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt

from helpers.evaluate import Rate, Word
from helpers.show.figures import present

BEFORE, AFTER = "#78909c", "#283593"


def perplexities(before: Mapping[str, Rate], after: Mapping[str, Rate], uniform: float, seeds: int) -> None:
    """Perplexity of several sets of texts under two models, on one logarithmic axis.

    Args:
        before, after: by set of texts; the same names in both.
        uniform: perplexity of a model that finds every token of the vocabulary equally likely.
        seeds: runs that `after` is the mean of.
    """
    figure, axes = plt.subplots(figsize=(8.5, 0.9 + 0.75 * len(before)))
    for row, name in enumerate(before):
        one, two = before[name], after[name]
        axes.annotate(
            "",
            (two.value, row),
            (one.value, row),
            arrowprops={"arrowstyle": "->", "color": "#b0bec5", "linewidth": 2},
        )
        for rate, color, marker, label in ((one, BEFORE, "s", "before"), (two, AFTER, "o", "after")):
            error = [[max(0.0, rate.value - rate.low)], [max(0.0, rate.high - rate.value)]]
            axes.errorbar(
                [rate.value],
                [row],
                xerr=error,
                fmt=marker,
                color=color,
                capsize=4,
                markersize=8,
                label=label if not row else None,
            )
    axes.axvline(uniform, color="black", linestyle=":", label="every token equally likely")
    axes.set_yticks(range(len(before)), list(before))
    axes.set(
        xscale="log",
        xlabel="perplexity (logarithmic; further left is better)",
        ylim=(-0.6, len(before) - 0.4),
    )
    axes.invert_yaxis()
    axes.set_title("What reading medicine does to a model’s expectations")
    axes.legend(fontsize=9, loc="center left", bbox_to_anchor=(1.01, 0.5))
    listed = "; ".join(f"{name}: {before[name].value:,.1f} → {after[name].value:,.1f}" for name in before)
    present(
        figure,
        f"perplexity before and after continued pre-training, with 95 % intervals over the texts; dotted, a model that guesses blindly: {listed}.",
        n=sum(rate.n for rate in before.values()),
        seeds=seeds,
    )


def word_prices(words: Sequence[Word], terms: Sequence[tuple[int, int]]) -> None:
    """What each word of one text costs before and after; medical terms are marked.

    Args:
        words: as `evaluate.words_of` gives them.
        terms: (start, end) of the medical terms in the text.
    """
    figure, axes = plt.subplots(figsize=(11, 3.8))
    places = range(len(words))
    axes.bar(
        [place - 0.2 for place in places], [word.before for word in words], 0.4, color=BEFORE, label="before"
    )
    axes.bar(
        [place + 0.2 for place in places],
        [word.after for word in words],
        0.4,
        color=AFTER,
        hatch="//",
        edgecolor="white",
        label="after",
    )
    inside = [any(word.start < end and word.end > start for start, end in terms) for word in words]
    axes.set_xticks(
        places,
        [f"▲ {word.word}" if term else word.word for word, term in zip(words, inside, strict=True)],
        rotation=90,
        fontsize=8,
    )
    for tick, term in zip(axes.get_xticklabels(), inside, strict=True):
        tick.set_fontweight("bold" if term else "normal")
    axes.set(ylabel="cost of the word (nats)", xlim=(-0.8, len(words) - 0.2))
    axes.set_title("Word by word")
    axes.legend()
    cheaper = sum(word.gain > 0 for word in words)
    present(
        figure,
        f"cost in nats of every word of one held-out text before and after; ▲ marks the glossary’s terms. {cheaper} of {len(words)} words got cheaper.",
        n=len(words),
    )


__all__ = ["perplexities", "word_prices"]
