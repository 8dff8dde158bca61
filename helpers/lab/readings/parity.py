"""Sentences of notebook 12: do the programs run one model, which depth sees which fault, and what does a fault cost?"""

from __future__ import annotations

from collections.abc import Mapping

from helpers.evaluate import Rate
from helpers.runtimes.faults import FAULTS
from helpers.runtimes.parity import DEPTHS, KL, Parity, Report


def same_model_text(report: Report) -> str:
    """Is what runs there the model that was tested? Names every drift, and what was not compared."""
    said = []
    for parity, judged in report.rows:
        drifted = [row.depth for row in judged if row.holds is False]
        label, text = parity.agreement["label"], parity.agreement["text"]
        odds = f", odds {parity.kl.value:.1e} nats apart" if parity.kl else ""
        end = f"**drifts in {', '.join(drifted)}**" if drifted else "within every tolerance"
        said.append(
            f"{parity.other} against {parity.reference}: same level on {label.value:.1%} of {parity.n:,} prompts (95 % interval from "
            f"{label.low:.1%}), same text on {text.value:.1%}{odds}; {end}."
        )
    verdict = (
        "**One model, as far as these prompts can tell.**"
        if report.passed
        else "**Not one model: the build fails.**"
    )
    left = sorted({"llama_cpp", "server", "browser"} - {parity.other for parity, _ in report.rows})
    missing = f" Not compared on this machine: {', '.join(left)}." if left else ""
    return f"{' '.join(said)} {verdict}{missing}"


def texts_text(parity: Parity) -> str:
    """Is another text another answer? Shares of differing texts beside differing levels."""
    text, label = (sum(not same for same in parity.same[depth]) for depth in ("text", "label"))
    if not text:
        return (
            f"Not one of {parity.n:,} answers differs by a letter. That is more than you may count on: where two phrasings are equally "
            "likely, the order of a sum decides between them, which is why the tolerance for texts leaves room and the one for levels does not."
        )
    if not label:
        return (
            f"{text:,} of {parity.n:,} answers differ in their text, and none in its level: phrasings that the model finds equally likely. "
            "A comparison of texts alone would have raised an alarm about nothing."
        )
    return f"{text:,} of {parity.n:,} answers differ in their text and {label:,} of them in the level: **this is no matter of phrasing**."


def caught_at(judged: Mapping[str, Report]) -> dict[str, tuple[str, ...]]:
    """For each fault, the depths (and "kl") at which its report drifts."""
    return {
        name: tuple(row.depth for row in report.rows[0][1] if row.holds is False)
        for name, report in judged.items()
    }


def faults_text(judged: Mapping[str, Report], guess: float) -> str:
    """Which depth caught which fault, and the reader's guess: the share of faults that levels alone would notice."""
    caught = caught_at(judged)
    by_level = [name for name, depths in caught.items() if "label" in depths]
    blind = [name for name, depths in caught.items() if depths and "label" not in depths]
    nowhere = [name for name, depths in caught.items() if not depths]
    share = len(by_level) / len(caught)
    off = "as you said" if abs(share - guess) < 0.5 / len(caught) else f"you said {guess:.0%}"
    said = [f"A comparison of levels alone notices {len(by_level)} of {len(caught)} faults ({off})."]
    if blind:
        said.append(
            f"**It is blind to {_listed(blind)}**, which other depths see ({'; '.join(_depths(name, caught) for name in blind)})."
        )
    if nowhere:
        said.append(f"No depth drifts beyond its tolerance for {_listed(nowhere)}.")
    single = [
        depth for depth in (*DEPTHS, KL) if all(depth in depths for depths in caught.values() if depths)
    ]
    said.append(
        f"One depth sees every fault that any sees: {', '.join(single)}."
        if single
        else "No single depth sees every fault that some depth sees: **you need more than one**."
    )
    return " ".join(said)


def _depths(name: str, caught: Mapping[str, tuple[str, ...]]) -> str:
    return f"{FAULTS[name].says}: {', '.join('odds' if depth == KL else depth for depth in caught[name])}"


def _listed(names: list[str]) -> str:
    return "; ".join(FAULTS[name].says for name in names)


def eos_text(named: Parity, trusted: Parity) -> str:
    """One wrong id, two runtimes: one that knows the turn-ending token by its name, and one that trusts the id."""
    unharmed, harmed = named.agreement["text"], trusted.agreement["text"]
    if unharmed.value == 1 and harmed.value < 1:
        return (
            f"The same file with the same wrong id. llama.cpp gives every answer as before ({unharmed.n:,} of {unharmed.n:,}), because it knows "
            f"`<|im_end|>` by name; a loop that trusts the id gives {harmed.value:.0%} of them as before and runs on until it is cut. **A "
            "fault can sleep in a file until somebody opens it with another program.**"
        )
    return f"With the wrong id, {unharmed.value:.0%} of the texts are as before where the name is known, {harmed.value:.0%} where the id is trusted."


def fault_cost_text(accuracies: Mapping[str, Rate], sound: Rate, baseline: Rate) -> str:
    """What each fault does to the accuracy, against the sound file and a baseline."""
    worse = {name: rate for name, rate in accuracies.items() if rate.high < sound.low}
    harmless = [FAULTS[name].says for name, rate in accuracies.items() if name not in worse]
    head = f"The sound file answers {sound} with an accepted level; always saying ROJO scores {baseline.value:.0%}."
    cost = "; ".join(
        f"{FAULTS[name].says} {rate.value:.0%} [{rate.low:.0%}–{rate.high:.0%}]"
        for name, rate in worse.items()
    )
    costly = f" Shown to be worse: **{cost}**." if worse else " No fault is shown to be worse."
    if not harmless:
        return head + costly
    return f"{head}{costly} Not shown to cost accuracy here: {'; '.join(harmless)}. That is no reason to leave them in: the next model may mind."


def parity_text(report: Report, judged: Mapping[str, Report]) -> str:
    """What we saw, in three lines."""
    caught = caught_at(judged)
    found = sum(bool(depths) for depths in caught.values())
    levels = sum("label" in depths for depths in caught.values())
    shallow = sum(any(depth in ("prompt", "tokens") for depth in depths) for depths in caught.values())
    names = ", ".join(parity.other for parity, _ in report.rows)
    lines = [
        f"- {'**One model in every program compared**' if report.passed else '**The programs do not agree**'} ({names}).",
        f"- Of {len(caught)} faults seeded on purpose, {found} drift beyond a tolerance at some depth, {levels} in the level, {shallow} already in "
        "the prompt or its tokens, before the model has computed anything.",
        "- Prompt and tokens cost nothing to compare and say *where* the fault is; level and odds say *whether it matters*.",
    ]
    return "\n".join(f"> {line}" for line in lines)


__all__ = [
    "caught_at",
    "eos_text",
    "fault_cost_text",
    "faults_text",
    "parity_text",
    "same_model_text",
    "texts_text",
]
