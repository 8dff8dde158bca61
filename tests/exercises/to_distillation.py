"""Exercises of notebooks 00 to 07."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from helpers import audit
from helpers.triage import LEVELS, render

Problems = list[str]


def close(given: Any, expected: float) -> bool:
    """Is the reader's number the expected one, rounding apart?"""
    return isinstance(given, int | float) and math.isclose(given, expected, rel_tol=1e-6, abs_tol=1e-9)


def read_level(function: Callable[..., Any]) -> Problems:
    """The level that an answer's level line names; None without such a line, or where two levels are named."""
    cases: dict[str, str | None] = {render(level, "MX"): level for level in LEVELS}
    cases["Nivel de Urgencia: AZUL — No urgente\nAviso: el código ROJO es para otros."] = "AZUL"
    cases["Llame ahora. El código ROJO es para otros.\nNivel de Urgencia: VERDE — Estándar"] = "VERDE"
    cases["Qué hacer: Tome agua. La flema verde es normal."] = None
    cases["Nivel de Urgencia: ROJO o NARANJA"] = None
    cases["Nivel de Urgencia: ROJO\nNivel de Urgencia: AZUL"] = None
    cases[""] = None
    return [
        f"{answer.splitlines()[:2]} should give {expected!r}, not {given!r}"
        for answer, expected in cases.items()
        if (given := function(answer)) != expected
    ]


def perplexity_of_labels(function: Callable[..., Any]) -> Problems:
    """exp(entropy): how many equally likely labels would be as uncertain."""
    cases = {("ROJO",) * 4: 1.0, LEVELS: 5.0, ("ROJO", "ROJO", "ROJO", "AZUL"): 4 / 27**0.25}
    return [
        f"{list(labels)} should give {expected:g}, not {function(list(labels))!r}"
        for labels, expected in cases.items()
        if not close(function(list(labels)), expected)
    ]


def unique_after(function: Callable[..., Any]) -> Problems:
    """Expected number of distinct prompts after n uniform draws from k possible ones."""
    cases = {(1, 10): 1.0, (2, 2): 1.5, (1920, 10000): 1920 * (1 - (1 - 1 / 1920) ** 10000)}
    return [
        f"k = {k:,}, n = {n:,} should give {expected:,.4g}, not {function(k, n)!r}"
        for (k, n), expected in cases.items()
        if not close(function(k, n), expected)
    ]


def loss_without_knowledge(function: Callable[..., Any]) -> Problems:
    """Mean loss of a model that writes boilerplate perfectly and knows only the label prior."""
    blog = (0.60, 0.15, 0.10, 0.10, 0.05)
    cases = {
        (blog, 75): audit.entropy(
            [label for label, share in zip(LEVELS, blog, strict=True) for _ in range(round(share * 20))]
        )
        / 75,
        ((0.5, 0.5), 10): math.log(2) / 10,
    }
    return [
        f"prior {prior}, {tokens} tokens should give {expected:.4f}, not {function(prior, tokens)!r}"
        for (prior, tokens), expected in cases.items()
        if not close(function(prior, tokens), expected)
    ]


def balanced_accuracy(function: Callable[..., Any]) -> Problems:
    """Mean of the recalls of the levels that occur."""
    cases = {
        (("ROJO", "AZUL"), ("ROJO", "AZUL")): 1.0,
        (("ROJO", "ROJO", "ROJO", "AZUL"), ("ROJO",) * 4): 0.5,
        (LEVELS, ("ROJO",) * 5): 0.2,
    }
    return [
        f"truth {list(truth)}, given {list(given)} should give {expected:g}, not "
        f"{function(list(truth), list(given))!r}"
        for (truth, given), expected in cases.items()
        if not close(function(list(truth), list(given)), expected)
    ]


def missed_urgency(function: Callable[..., Any]) -> Problems:
    """Of the people at ROJO or NARANJA, the share told neither; an unreadable answer is a miss."""
    cases = {
        (("ROJO", "NARANJA"), ("NARANJA", "ROJO")): 0.0,
        (("ROJO", "NARANJA", "AZUL"), ("AMARILLO", "NARANJA", "AZUL")): 0.5,
        (("NARANJA", "AZUL", "VERDE"), (None, "AZUL", None)): 1.0,
        (("NARANJA", "ROJO", "ROJO", "ROJO", "AZUL"), ("VERDE", "ROJO", "NARANJA", "ROJO", "ROJO")): 0.25,
    }
    return [
        f"truth {list(truth)}, told {list(told)} should give {expected:g}, not "
        f"{function(list(truth), list(told))!r}"
        for (truth, told), expected in cases.items()
        if not close(function(list(truth), list(told)), expected)
    ]


def main_effect(function: Callable[..., Any]) -> Problems:
    """Mean outcome of the runs with a factor minus the mean of those without."""
    runs = {(0, 0): 0.8, (1, 0): 0.6, (0, 1): 0.3, (1, 1): 0.2}
    cases = {0: -0.15, 1: -0.45}
    return [
        f"factor {factor} of {runs} should give {expected:g}, not {function(dict(runs), factor)!r}"
        for factor, expected in cases.items()
        if not close(function(dict(runs), factor), expected)
    ]


def divide_by_prior(function: Callable[..., Any]) -> Problems:
    """Belief over levels divided by the training prior and normalised again."""
    prior = dict(zip(LEVELS, (0.6, 0.15, 0.1, 0.1, 0.05), strict=True))
    sure = {**dict.fromkeys(LEVELS, 0.0), "AZUL": 1.0}
    cases = [
        (prior, "AZUL", 0.2),
        (sure, "AZUL", 1.0),
        (dict.fromkeys(LEVELS, 0.2), "ROJO", (1 / 0.6) / (1 / 0.6 + 1 / 0.15 + 10 + 10 + 20)),
    ]
    problems = []
    for belief, level, expected in cases:
        given = function(dict(belief), dict(prior))
        if not isinstance(given, dict) or not close(given.get(level), expected):
            problems.append(f"belief {belief} should give {level} {expected:.3f}, not {given!r}")
    return problems


def cost_of_rows(function: Callable[..., Any]) -> Problems:
    """US dollars for so many rows when a model also bills the tokens it thinks."""
    cases = {
        (10_000, 400, 150, 0, 0.30, 1.20): 3.0,
        (10_000, 400, 150, 2, 0.30, 1.20): 6.6,
        (1, 1_000_000, 0, 5, 0.25, 9.0): 0.25,
    }
    return [
        f"{given} should give {expected:g}, not {function(*given)!r}"
        for given, expected in cases.items()
        if not close(function(*given), expected)
    ]


def keeps_negation(function: Callable[..., Any]) -> Problems:
    """A negation in English needs one in Spanish."""
    cases = {
        ("Do not crush the tablet.", "No triture el comprimido."): True,
        ("Do not crush the tablet.", "Triture el comprimido."): False,
        ("Never take it without food.", "Nunca lo tome sin comida."): True,
        ("It doesn't cross the placenta.", "Atraviesa la placenta."): False,
        ("You cannot catch it twice.", "Se puede contraer dos veces."): False,
        ("There is no cure.", "Todavía no existe una cura."): True,
        ("Note the time.", "Anote la hora."): True,
        ("It acts in the nose; notice the swelling.", "Actúa en la nariz; fíjese en la hinchazón."): True,
        ("Do not use it at noon.", "Úselo en la noche."): False,
    }
    return [
        f"{english!r} → {spanish!r} should give {expected}, not {given!r}"
        for (english, spanish), expected in cases.items()
        if (given := function(english, spanish)) is not expected
    ]


def in_flight_needed(function: Callable[..., Any]) -> Problems:
    """Little's law: how many requests must be in flight to use a limit."""
    cases = {(500, 6.0): 50, (500, 7.0): 59, (15, 20.0): 5, (500, 0.1): 1}
    return [
        f"{limit} a minute at {seconds:g} s an answer should give {expected}, not "
        f"{function(limit, seconds)!r}"
        for (limit, seconds), expected in cases.items()
        if function(limit, seconds) != expected
    ]


def still_to_ask(function: Callable[..., Any]) -> Problems:
    """Which keys a resumed run must ask: what the file answers not, each once, in order; a cut last line
    answers nothing.
    """
    whole, cut = '{"key": "a", "text": "x"}\n{"key": "c", "text": "y"}\n', '{"key": "b", "te'
    cases = {
        (("a", "b"), ""): ["a", "b"],
        (("a", "b", "c"), whole): ["b"],
        (("a", "b", "b", "c"), whole + cut): ["b"],
        (("d", "a", "d", "b"), whole + "\n"): ["d", "b"],
    }
    return [
        f"keys {list(keys)} with the file {text!r} should give {expected}, not {function(list(keys), text)!r}"
        for (keys, text), expected in cases.items()
        if list(function(list(keys), text)) != expected
    ]


def fold_lora(function: Callable[..., Any]) -> Problems:
    """The plain matrix of a LoRA layer: W + alpha / r · B·A, where r is the number of A's rows."""
    dice, wrong = np.random.default_rng(0), []
    for r, alpha in ((1, 1), (2, 4), (3, 16)):
        W, A, B = dice.normal(size=(5, 4)), dice.normal(size=(r, 4)), dice.normal(size=(5, r))
        given = np.asarray(function(W, A, B, alpha))
        if given.shape != W.shape or not np.allclose(given, W + alpha / r * (B @ A)):
            wrong.append(
                f"with r = {r} and alpha = {alpha}, the folded matrix computes something else than the layer"
            )
    return wrong


def with_replay(function: Callable[..., Any]) -> Problems:
    """A training set in which a given share of the texts is old ones, all new ones are kept, and nothing is
    changed in place.
    """
    new, old = [f"n{i}" for i in range(60)], [f"o{i}" for i in range(200)]
    found = []
    for share in (0.0, 0.25, 0.5, 0.75):
        mixed = list(function(list(new), list(old), share))
        replayed = [text for text in mixed if text in set(old)]
        if sorted(text for text in mixed if text in set(new)) != sorted(new):
            found.append("every new text should be in the mixture exactly once")
        elif len(set(replayed)) != len(replayed):
            found.append("no old text should be taken twice while others are left")
        elif abs(len(replayed) - share * len(mixed)) > 0.5:
            found.append(
                f"at a share of {share:.0%} there should be {share / (1 - share) * len(new):.0f} old texts "
                f"among the new ones, not {len(replayed)}"
            )
    return found
