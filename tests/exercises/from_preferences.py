"""Exercises of notebooks 08 to 14."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from helpers.statistics import wilson
from helpers.triage import LEVELS, UNKNOWN, country_of, render

from .to_distillation import Problems, close


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
        f"{sum(chosen)} of {len(chosen)} chosen and {sum(rejected)} of {len(rejected)} rejected should give "
        f"{expected(chosen, rejected):.3f}, not {given!r}"
        for chosen, rejected in cases
        if not close(given := function(list(chosen), list(rejected)), expected(chosen, rejected))
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
        if not close(given, expected):
            found.append(
                f"log-probabilities {chosen}, {rejected} against {ref_chosen}, {ref_rejected} at β = {beta} "
                f"should give {expected:.4f}, not {given!r}"
            )
    return found


def with_number(function: Callable[..., Any]) -> Problems:
    """A near miss: the same answer that calls another number in every line, and not one other character
    changed.
    """
    # an alarm sign with the right number in it
    rule = UNKNOWN.model_copy(update={"alarm_signs": ("fiebre de más de 112 horas", "confusión")})
    problems = []
    for level, country, wrong in (("AZUL", "ES", "911"), ("VERDE", "CL", "061"), ("ROJO", "GT", "112")):
        good = render(level, country, rule)
        calls = good.rpartition("Emergencias:")[0].replace(
            f"al {country_of(country).numbers[0]}", f"al {wrong}"
        )
        expected = f"{calls}Emergencias: {wrong}."
        if (given := function(good, wrong)) != expected:
            problems.append(
                f"{good.splitlines()[-1]!r} with {wrong} should become {expected.splitlines()[-1]!r}, with "
                f"«al {wrong}» in the other lines "
                f"and nothing else changed: got {given!r}"
            )
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
        f"p = {p:g}, under = {under:g}, correct = {correct:g} should give {expected:g}, not "
        f"{function(p, under, correct)!r}"
        for (p, under, correct), expected in cases.items()
        if not close(function(p, under, correct), expected)
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
        f"truth {level} and the answer {answer[:60]!r}… should give {expected:g}, not "
        f"{function(level, answer)!r}"
        for (level, answer), expected in cases.items()
        if not close(function(level, answer), expected)
    ]


def unpack_q4_0(function: Callable[..., Any]) -> Problems:
    """The 32 weights of a Q4_0 block of 18 bytes: a 16-bit scale, then two weights a byte, low halves first."""
    from gguf import GGMLQuantizationType, quants  # of notebook 11: the notebooks before it do without

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


def could_be(function: Callable[..., Any]) -> Problems:
    """Can a rate, written with so many decimals, be a whole number of n patients?"""
    cases = {
        (33.0, 0, 30): True,
        (6.7, 1, 30): True,
        (6.7, 1, 20): False,
        (37.0, 0, 15): False,
        (0.0, 0, 7): True,
        (100.0, 0, 3): True,
        (33.3, 1, 3): True,
        (33.0, 1, 3): False,
        (12.5, 1, 8): True,
    }
    return [
        f"could_be({percent:g}, {decimals}, {n}) should be {expected}, not {given!r}"
        for (percent, decimals, n), expected in cases.items()
        if (given := function(percent, decimals, n)) != expected
    ]


def passes_gate(function: Callable[..., Any]) -> Problems:
    """Is the lower end of the Wilson interval (95 %) at the bound or above it?"""
    cases = [
        (hits, n, bound)
        for hits, n in ((10, 10), (96, 100), (460, 480), (480, 480), (35, 40))
        for bound in (0.5, 0.72, 0.9, 0.95)
    ]
    return [
        f"{hits} of {n} against a bound of {bound:g} should give {expected}, not {given!r}: the interval "
        f"starts at {wilson(hits, n).low:.3f}"
        for hits, n, bound in cases
        if (given := function(hits, n, bound)) != (expected := wilson(hits, n).low >= bound)
    ]


def after_trimming(function: Callable[..., Any]) -> Problems:
    """A vocabulary's rows are cut: `width` parameters for every token that goes."""
    cases = [(100, 2, 20, 10), (268_098_176, 640, 262_144, 52_385), (50, 5, 4, 4)]
    return [
        f"{parameters:,} parameters, {tokens:,} tokens of width {width}, {kept:,} kept: "
        f"{parameters - width * (tokens - kept):,} remain, not {given!r}"
        for parameters, width, tokens, kept in cases
        if (given := function(parameters, width, tokens, kept)) != parameters - width * (tokens - kept)
    ]
