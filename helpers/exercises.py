"""Checks for the notebooks' exercises. A check takes the reader's function and says what is still wrong, in words.

The tests hold that every starter fails its check and every solution passes it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType, quants
from IPython.display import Markdown, display

from helpers import audit, cases
from helpers.statistics import wilson
from helpers.triage import LEVELS, UNKNOWN, country_of, render

Problems = list[str]


def _close(given: Any, expected: float) -> bool:
    return isinstance(given, int | float) and math.isclose(given, expected, rel_tol=1e-6, abs_tol=1e-9)


def perplexity_of_labels(function: Callable[..., Any]) -> Problems:
    """exp(entropy): how many equally likely labels would be as uncertain."""
    cases = {("ROJO",) * 4: 1.0, LEVELS: 5.0, ("ROJO", "ROJO", "ROJO", "AZUL"): 4 / 27**0.25}
    return [
        f"{list(labels)} should give {expected:g}, not {function(list(labels))!r}"
        for labels, expected in cases.items()
        if not _close(function(list(labels)), expected)
    ]


def unique_after(function: Callable[..., Any]) -> Problems:
    """Expected number of distinct prompts after n uniform draws from k possible ones."""
    cases = {(1, 10): 1.0, (2, 2): 1.5, (1920, 10000): 1920 * (1 - (1 - 1 / 1920) ** 10000)}
    return [
        f"k = {k:,}, n = {n:,} should give {expected:,.4g}, not {function(k, n)!r}"
        for (k, n), expected in cases.items()
        if not _close(function(k, n), expected)
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
        if not _close(function(prior, tokens), expected)
    ]


def balanced_accuracy(function: Callable[..., Any]) -> Problems:
    """Mean of the recalls of the levels that occur."""
    cases = {
        (("ROJO", "AZUL"), ("ROJO", "AZUL")): 1.0,
        (("ROJO", "ROJO", "ROJO", "AZUL"), ("ROJO",) * 4): 0.5,
        (LEVELS, ("ROJO",) * 5): 0.2,
    }
    return [
        f"truth {list(truth)}, given {list(given)} should give {expected:g}, not {function(list(truth), list(given))!r}"
        for (truth, given), expected in cases.items()
        if not _close(function(list(truth), list(given)), expected)
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
        f"truth {list(truth)}, told {list(told)} should give {expected:g}, not {function(list(truth), list(told))!r}"
        for (truth, told), expected in cases.items()
        if not _close(function(list(truth), list(told)), expected)
    ]


def main_effect(function: Callable[..., Any]) -> Problems:
    """Mean outcome of the runs with a factor minus the mean of those without."""
    runs = {(0, 0): 0.8, (1, 0): 0.6, (0, 1): 0.3, (1, 1): 0.2}
    cases = {0: -0.15, 1: -0.45}
    return [
        f"factor {factor} of {runs} should give {expected:g}, not {function(dict(runs), factor)!r}"
        for factor, expected in cases.items()
        if not _close(function(dict(runs), factor), expected)
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
        if not isinstance(given, dict) or not _close(given.get(level), expected):
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
        if not _close(function(*given), expected)
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
        f"{limit} a minute at {seconds:g} s an answer should give {expected}, not {function(limit, seconds)!r}"
        for (limit, seconds), expected in cases.items()
        if function(limit, seconds) != expected
    ]


def still_to_ask(function: Callable[..., Any]) -> Problems:
    """Which keys a resumed run must ask: what the file answers not, each once, in order; a cut last line answers nothing."""
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


def corpus_perplexity(function: Callable[..., Any]) -> Problems:
    """Perplexity of several texts from their token losses: every token counts once, not every text."""
    cases = {
        ((0.0,),): 1.0,
        ((math.log(4), math.log(4)),): 4.0,
        ((math.log(2),), (math.log(8),) * 3): 2.0**2.5,
        ((1.0, 2.0), ()): math.exp(1.5),
    }
    return [
        f"losses {[[round(loss, 2) for loss in text] for text in texts]} should give {expected:.3f}, not {given!r}"
        for texts, expected in cases.items()
        if not _close(given := function([list(text) for text in texts]), expected)
    ]


def with_replay(function: Callable[..., Any]) -> Problems:
    """A training set in which a given share of the texts is old ones, all new ones are kept, and nothing is changed in place."""
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
                f"at a share of {share:.0%} there should be {share / (1 - share) * len(new):.0f} old texts among the new ones, not {len(replayed)}"
            )
    return found


def odds_ratio(function: Callable[..., Any]) -> Problems:
    """The odds ratio of a feature between chosen and rejected, ½ added to each of the four counts."""

    def expected(chosen: list[bool], rejected: list[bool]) -> float:
        a, b, c, d = sum(chosen), chosen.count(False), sum(rejected), rejected.count(False)
        return (a + 0.5) / (b + 0.5) / ((c + 0.5) / (d + 0.5))

    cases = [
        ([True, False], [True, False]),
        ([True] * 3, [False] * 3),
        ([False] * 9 + [True], [True] * 3 + [False] * 7),
        ([False], [True]),
    ]
    return [
        f"{sum(chosen)} of {len(chosen)} chosen and {sum(rejected)} of {len(rejected)} rejected should give {expected(chosen, rejected):.3f}, not {given!r}"
        for chosen, rejected in cases
        if not _close(given := function(list(chosen), list(rejected)), expected(chosen, rejected))
    ]


def dpo_loss(function: Callable[..., Any]) -> Problems:
    """DPO's loss of one pair from four log-probabilities (Rafailov et al. 2023, equation 7)."""
    cases = [
        (-10.0, -12.0, -10.0, -12.0, 0.1),
        (-8.0, -12.0, -10.0, -12.0, 0.1),
        (-10.0, -9.0, -10.0, -12.0, 0.5),
        (-10.0, -30.0, -10.0, -12.0, 0.3),
    ]
    found = []
    for chosen, rejected, ref_chosen, ref_rejected, beta in cases:
        expected = math.log1p(math.exp(-beta * ((chosen - ref_chosen) - (rejected - ref_rejected))))
        given = function(chosen, rejected, ref_chosen, ref_rejected, beta)
        if not _close(given, expected):
            found.append(
                f"log-probabilities {chosen}, {rejected} against {ref_chosen}, {ref_rejected} at β = {beta} should give {expected:.4f}, not {given!r}"
            )
    return found


def with_number(function: Callable[..., Any]) -> Problems:
    """A near miss: the same answer that calls another number in every line, and not one other character changed."""
    rule = replace(
        UNKNOWN, alarm_signs=("fiebre de más de 112 horas", "confusión")
    )  # an alarm sign with the right number in it
    problems = []
    for level, country, wrong in (("AZUL", "ES", "911"), ("VERDE", "AR", "061"), ("ROJO", "GT", "112")):
        good = render(level, country, rule)
        calls = good.rpartition("Emergencias:")[0].replace(
            f"al {country_of(country).numbers[0]}", f"al {wrong}"
        )
        expected = f"{calls}Emergencias: {wrong}."
        if (given := function(good, wrong)) != expected:
            problems.append(
                f"{good.splitlines()[-1]!r} with {wrong} should become {expected.splitlines()[-1]!r}, with «al {wrong}» in the other lines "
                f"and nothing else changed: got {given!r}"
            )
    return problems


def what_is_wrong(function: Callable[..., Any]) -> Problems:
    """The one part in which a near miss is worse than the good answer: level, alarms, disclaimer or number."""
    row = cases.evaluation_prompts("dev")[0]
    named = {
        "off_by_one": "level",
        "no_alarms": "alarms",
        "no_disclaimer": "disclaimer",
        "wrong_number": "number",
    }
    problems = []
    for kind, part in named.items():
        (pair,) = cases.hard_pairs([row], 0, [kind])
        if (given := function(pair.chosen, pair.rejected)) != part:
            problems.append(f"the pair of kind {kind} should give {part!r}, not {given!r}")
    return problems


def over_price(function: Callable[..., Any]) -> Problems:
    """The price of a level of over-triage from which ROJO, against AZUL, is best from a given probability on."""
    cases = {
        (0.5, 1.0, 1.0): 1.0,
        (0.5, 0.25, 1.0): 0.25,
        (0.8, 0.0, 1.0): 0.75,
        (0.1, 0.0, 1.0): 0.0,
        (0.6, 0.5, 2.0): 1.0,
    }
    return [
        f"p = {p:g}, under = {under:g}, correct = {correct:g} should give {expected:g}, not {function(p, under, correct)!r}"
        for (p, under, correct), expected in cases.items()
        if not _close(function(p, under, correct), expected)
    ]


def safe_reward(function: Callable[..., Any]) -> Problems:
    """A reward for the one right level and the notice, each counted once."""
    notice = "Aviso: esta orientación no sustituye la valoración de un profesional sanitario."
    line = "Nivel de Urgencia: {}\n"
    cases = {
        ("ROJO", line.format("ROJO")): 1.0,
        ("ROJO", line.format("ROJO") + notice): 1.5,
        ("ROJO", line.format("ROJO") * 5 + notice * 20): 1.5,
        ("ROJO", line.format("AZUL") + notice): 0.5,
        ("ROJO", "".join(line.format(level) for level in LEVELS) + notice): 0.0,
        ("ROJO", notice): 0.0,
        ("ROJO", ""): 0.0,
    }
    return [
        f"truth {level} and the answer {answer[:60]!r}… should give {expected:g}, not {function(level, answer)!r}"
        for (level, answer), expected in cases.items()
        if not _close(function(level, answer), expected)
    ]


def people_needed(function: Callable[..., Any]) -> Problems:
    """How many people must all keep their level before a share is shown: the smallest n whose Wilson interval (n of n) starts there."""
    cases = {
        share: next(n for n in range(1, 5000) if wilson(n, n).low >= share)
        for share in (0.5, 0.9, 0.95, 0.99, 0.999)
    }
    return [
        f"a share of {share:g} should need {expected:,} people, not {given!r}"
        for share, expected in cases.items()
        if (given := function(share)) != expected
    ]


def unpack_q4_0(function: Callable[..., Any]) -> Problems:
    """The 32 weights of a Q4_0 block of 18 bytes: a 16-bit scale, then two weights a byte, low halves first."""
    dice = np.random.default_rng(0)
    weights = [
        np.eye(1, 32, 3, dtype=np.float32)[0],
        dice.normal(size=32).astype(np.float32),
        np.linspace(-4, 4, 32, dtype=np.float32),
    ]
    found = []
    for block in weights:
        raw = quants.quantize(block[None], GGMLQuantizationType.Q4_0)
        expected = quants.dequantize(raw, GGMLQuantizationType.Q4_0)[0]
        given = np.asarray(function(raw[0].tobytes()), dtype=float).ravel()
        if given.shape != expected.shape:
            found.append(f"a block should give 32 weights, not {given.size}")
        elif not np.allclose(given, expected, atol=1e-6):
            place = int(np.abs(given - expected).argmax())
            found.append(f"weight {place} of a block should be {expected[place]:.4f}, not {given[place]:.4f}")
    return found


def first_difference(function: Callable[..., Any]) -> Problems:
    """Where two sequences of tokens part; None where they do not."""
    cases = {
        ((1, 2, 3), (1, 2, 3)): None,
        ((1, 2, 3), (1, 9, 3)): 1,
        ((1, 3, 8), (1, 1, 3, 8)): 1,
        ((1, 2), (1, 2, 4)): 2,
        ((), (5,)): 0,
    }
    return [
        f"{list(one)} and {list(other)} should give {expected}, not {function(list(one), list(other))!r}"
        for (one, other), expected in cases.items()
        if function(list(one), list(other)) != expected
    ]


def odds_moved(function: Callable[..., Any]) -> Problems:
    """KL(p ‖ q) in nats over the five levels; a level that p rules out adds nothing."""
    sure, even, torn = (1.0, 0.0, 0.0, 0.0, 0.0), (0.2,) * 5, (0.5, 0.5, 0.0, 0.0, 0.0)
    cases = {
        (even, even): 0.0,
        (sure, even): math.log(5),
        (sure, torn): math.log(2),
        (torn, even): math.log(2.5),
    }
    return [
        f"p = {p} and q = {q} should give {expected:.4f} nats, not {function(list(p), list(q))!r}"
        for (p, q), expected in cases.items()
        if not _close(function(list(p), list(q)), expected)
    ]


def verdict_of(function: Callable[..., Any]) -> Problems:
    """Three verdicts on a measured number: near the claimed one, at least on its side of a bound, or neither."""
    cases = {
        (0.81, 0.80, 0.05, 0.5): "reproduced",
        (0.97, 0.70, 0.10, 0.5): "direction only",
        (0.40, 0.70, 0.10, 0.5): "not reproduced",
        (0.30, 0.70, 0.50, 0.5): "reproduced",
        (0.75, 0.50, 0.25, 0.9): "reproduced",
        (0.50, 0.70, 0.10, 0.5): "not reproduced",
    }
    return [
        f"measured {measured:g}, claimed {claimed:g}, within {within:g}, direction above {above:g} should be {expected!r}, not {given!r}"
        for (measured, claimed, within, above), expected in cases.items()
        if (given := function(measured, claimed, within, above)) != expected
    ]


def passes_gate(function: Callable[..., Any]) -> Problems:
    """Is the lower end of the Wilson interval (95 %) at the bound or above it?"""
    cases = [
        (hits, n, bound)
        for hits, n in ((10, 10), (96, 100), (460, 480), (480, 480), (35, 40))
        for bound in (0.5, 0.72, 0.9, 0.95)
    ]
    return [
        f"{hits} of {n} against a bound of {bound:g} should give {expected}, not {given!r}: the interval starts at {wilson(hits, n).low:.3f}"
        for hits, n, bound in cases
        if (given := function(hits, n, bound)) != (expected := wilson(hits, n).low >= bound)
    ]


CHECKS: dict[str, Callable[[Callable[..., Any]], Problems]] = {
    check.__name__: check
    for check in (
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
        corpus_perplexity,
        with_replay,
        odds_ratio,
        dpo_loss,
        with_number,
        what_is_wrong,
        over_price,
        safe_reward,
        people_needed,
        unpack_q4_0,
        first_difference,
        odds_moved,
        verdict_of,
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
