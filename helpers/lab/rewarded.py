"""What reward training came to: the runs of one reward taken together, on the same people as the model before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from helpers.cases import Example
from helpers.evaluate import Rate, Scores, bootstrap_mean, spanned, wilson
from helpers.evaluate.scoring import cost
from helpers.lab.arms import ArmOutcome
from helpers.lab.results import record_rate
from helpers.rewards import Reward
from helpers.triage import parse


def figures(runs: Sequence[Scores]) -> dict[str, Rate]:
    """Accuracy, ROJO's share and every part of the answers, taken together over runs."""
    own = [{"accuracy": run.accuracy, "rojo_share": run.shares["ROJO"], **run.parts} for run in runs]
    return {name: spanned([one[name] for one in own]) for name in own[0]}


def coherent(texts: Sequence[str]) -> Rate:
    """Share of answers whose level goes with its own name ("ROJO — Emergencia")."""
    return wilson(sum(parse(text).name_agrees is True for text in texts), len(texts))


def pay(reward: Reward, prompts: Sequence[Example], answers: Sequence[Sequence[str]]) -> Rate:
    """Mean reward of the answers of one or several runs, with a bootstrap interval over people (in units of reward, not a share)."""
    earned = [
        [reward.of(example, text) for example, text in zip(prompts, texts, strict=True)] for texts in answers
    ]
    return bootstrap_mean([sum(row) / len(row) for row in zip(*earned, strict=True)])


def change_of_cost(prompts: Sequence[Example], before: Scores, after: Sequence[Scores]) -> Rate:
    """How the mean asymmetric cost a person changed, in levels: negative is better. The same people before and after, so paired."""
    costs = [
        [cost(example, given) for example, given in zip(prompts, run.given, strict=True)]
        for run in (before, *after)
    ]
    return bootstrap_mean([sum(row[1:]) / len(row[1:]) - row[0] for row in zip(*costs, strict=True)])


def record_outcomes(
    key: str, reward: Reward | None, runs: Sequence[ArmOutcome], start: Sequence[str]
) -> dict[str, Rate]:
    """Keep every figure of an arm's runs under `key`, and hand them back.

    Args:
        key: `grpo_naive`, … reward: what they were paid by; `reward_first` and `reward_last` are the test answers' mean pay before and after.
        start: the answers of the model before.
    """
    prompts = runs[0].prompts
    found = figures([run.scores for run in runs]) | {"cost": spanned([run.scores.cost for run in runs])}
    found["under"] = spanned([run.scores.under for run in runs])
    found["coherent"] = spanned([coherent(run.texts) for run in runs])
    if reward is not None:
        found["reward_first"], found["reward_last"] = (
            pay(reward, prompts, [start]),
            pay(reward, prompts, [run.texts for run in runs]),
        )
    units: Mapping[str, str] = {"cost": "levels", "reward_first": "reward", "reward_last": "reward"}
    for name, rate in found.items():
        record_rate(f"{key}.{name}", rate, seeds=len(runs), unit=units.get(name, "rate"))
    return found
