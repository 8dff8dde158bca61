"""Sentences of notebook 14: the ledger, the blog's own arithmetic, who may be released, and what the blog got right."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from helpers.evaluate.gates import FAILS, PASSES, Report
from helpers.lab import card
from helpers.lab.claims import DIRECTION, DISAGREES, NOT_REPRODUCED, NOT_RUN, REPRODUCED, Entry
from helpers.lab.readings.common import points

RIGHT, NOT_SHOWN, AGAINST, UNMEASURED = "right", "not shown", "against", "not measured yet"
JUDGED = (REPRODUCED, DIRECTION, NOT_REPRODUCED)
Measured = Mapping[str, Mapping[str, Any]]


def tested(lines: Sequence[Entry]) -> list[Entry]:
    """The claims that a measurement judges."""
    return [line for line in lines if line.found is not None and line.verdict in JUDGED]


def ledger_text(lines: Sequence[Entry], guess: float) -> str:
    """How many of the testable numbers were reproduced, how many of those could have come out otherwise, and the reader's guess."""
    held = tested(lines)
    if not held:
        return "Nothing has been measured yet: every verdict waits for its notebook."
    count = {name: sum(line.verdict == name for line in held) for name in JUDGED}
    share = count[REPRODUCED] / len(held)
    near = "close to" if abs(share - guess) <= 0.1 else "fewer than" if share < guess else "more than"
    built = [line for line in held if line.claim.built_in]
    free = [line for line in held if not line.claim.built_in]
    text = (
        f"The blog makes {len(lines)} numerical claims; {len(held)} of them meet a measurement: {count[REPRODUCED]} reproduced, {count[DIRECTION]} in "
        f"direction only, {count[NOT_REPRODUCED]} not reproduced. That is **{share:.0%} reproduced**, {near} the {guess:.0%} on the slider. "
    )
    if built:
        same = sum(line.verdict == REPRODUCED for line in built)
        found = sum(line.verdict == REPRODUCED for line in free)
        text += (
            f"**Do not take that share at its face.** {len(built)} of the {len(held)} numbers were given to our reconstruction (marked ◦), {same} of them "
            f"came out again, which proves only that it does as it was told. Of the {len(free)} numbers that could have come out otherwise, "
            f"**{found} were reproduced**. "
        )
    if waiting := sum(line.verdict == NOT_RUN for line in lines):
        text += f"{waiting} more wait for a notebook that has not been run."
    return text.strip()


def sources_text(lines: Sequence[Entry]) -> str:
    """Whose measurements the ledger stands on: this machine's, or those shipped with the repository."""
    held = [line for line in lines if line.found is not None]
    own = sum(line.own for line in held)
    if not held:
        return "There are no measurements, neither of this machine nor shipped with this profile."
    if own == len(held):
        return f"All {own} measurements in this ledger were made on this machine."
    if own == 0:
        return (
            f"None of the {len(held)} measurements in this ledger was made on this machine: they are the ones shipped in `data/results/`. "
            "Run the other notebooks, and this one again, to put your own in their place."
        )
    return f"{own} of the {len(held)} measurements in this ledger were made on this machine; the other {len(held) - own} are shipped in `data/results/`."


def arithmetic_text(lines: Sequence[Entry]) -> str:
    """Does the blog agree with itself?"""
    following = [line for line in lines if line.claim.follows]
    wrong = [line for line in following if line.verdict == DISAGREES]
    if not wrong:
        return f"{len(following)} of the blog's numbers follow from others of its numbers, and **every one agrees**."
    listed = "; ".join(f"“{line.claim.says}”: {line.because}" for line in wrong)
    return (
        f"{len(following)} of the blog's numbers follow from others of its numbers; {len(following) - len(wrong)} agree, {len(wrong)} "
        f"{'does' if len(wrong) == 1 else 'do'} not. {listed}. Each may be true of a different run; they cannot all be true of one."
    )


def choice_text(name: str, on_dev: Mapping[str, Report]) -> str:
    """Which model was chosen, by which rule, on which items."""
    tally = ", ".join(f"{model} {card.passed(report)}" for model, report in on_dev.items())
    first = next(iter(on_dev.values()))
    return f"Gates passed on {first.n:,} development prompts, of {len(first.rows)}: {tally}. **{name}** is chosen. On the test nothing is chosen any more."


def ship_text(reports: Mapping[str, Report], best: str) -> str:
    """Would you ship one? And what stands in the way of the best."""
    if accepted := [name for name, report in reports.items() if report.passed]:
        return (
            f"By the gates written down before training, **{', '.join(accepted)} would be accepted** in this lab. The gates are no clinical standard: "
            "what comes next is a clinical evaluation, not a release."
        )
    lacking = [row for row in reports[best].rows if row.verdict != PASSES]
    listed = "; ".join(
        f"{row.gate.id} {row.verdict} ({row.measured}, asked for {row.gate.asks})" for row in lacking
    )
    failed = sum(row.verdict == FAILS for row in lacking)
    short = (
        f"{failed} of them {'fails' if failed == 1 else 'fail'} on the point already, so that more test items would not help"
        if failed
        else "on the point each is met: more test items might show it, this many do not"
    )
    return (
        f"**Which one would you ship? None.** No model passes every gate. The best, {best}, passes {card.passed(reports[best])} of "
        f"{len(reports[best].rows)}; what stands in its way: {listed}; {short}."
    )


def parrot_text(reports: Mapping[str, Report], parrot: str) -> str:
    """What the parrot passes, and therefore what those gates do not tell."""
    won = {
        name: {row.gate.id for row in report.rows if row.verdict == PASSES}
        for name, report in reports.items()
    }
    below = [name for name in won if name != parrot and len(won[name]) <= len(won[parrot])]
    text = f"The parrot passes {len(won[parrot])} gates ({', '.join(sorted(won[parrot])) or 'none'}) without reading a word."
    if below:
        return f"{text} **{' and '.join(below)} {'passes' if len(below) == 1 else 'pass'} no more than it does.**"
    return f"{text} Every model passes more."


@dataclass(frozen=True)
class Finding:
    """Something the blog says in words, and the measurements that speak to it.

    Attributes:
        says: the finding, as the blog means it.
        keys: measurements it needs.
        judge: from their rows, whether it holds (None where the intervals do not decide), and the sentence that says what was measured.
    """

    says: str
    keys: tuple[str, ...]
    judge: Callable[..., tuple[bool | None, str]]


def _more(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool | None:
    """Is `one` above `other`? None where their intervals meet."""
    return True if one["low"] > other["high"] else False if one["high"] < other["low"] else None


def _both(one: bool | None, other: bool | None) -> bool | None:
    return False if one is False or other is False else None if one is None or other is None else True


def _agreed(one: bool | None, other: bool | None) -> bool | None:
    """What two outcomes say together: None where they contradict each other, and where one alone speaks for it."""
    return one if one is other else None if True in (one, other) else False


def _first_cause(*effects: Mapping[str, Any]) -> tuple[bool | None, str]:
    """Does skew alone do harm, and more of it than blind labels alone? On accuracy, where harm is below zero, and on the share of ROJO."""
    skew, conflict, skew_rojo, conflict_rojo = effects
    accuracy = _both(True if skew["high"] < 0 else None, _more(conflict, skew))
    rojo = _both(True if skew_rojo["low"] > 0 else None, _more(skew_rojo, conflict_rojo))
    return _agreed(accuracy, rojo), (
        f"alone, skew moves accuracy by {_effect(skew)} and the share of ROJO by {_effect(skew_rojo)}; contradicting labels alone move "
        f"accuracy by {_effect(conflict)} and the share of ROJO by {_effect(conflict_rojo)}"
    )


def _pct(row: Mapping[str, Any]) -> str:
    span = "" if row.get("low") is None else f" [{row['low']:.1%}–{row['high']:.1%}]"
    return f"{row['value']:.1%}{span}{'' if row.get('n') is None else ', n = ' + format(row['n'], ',')}"


def _effect(row: Mapping[str, Any]) -> str:
    return f"{points(row['value'])} points [{points(row['low'])} to {points(row['high'])}]"


FINDINGS: tuple[Finding, ...] = (
    Finding(
        "the skewed, contradicting data make a model that calls everybody ROJO",
        ("imbalanced.share.ROJO",),
        lambda rojo: (
            True if rojo["low"] >= 0.9 else False if rojo["high"] < 0.9 else None,
            f"ROJO in {_pct(rojo)} of the answers",
        ),
    ),
    Finding(
        "the training loss does not show it",
        ("imbalanced.boilerplate_loss", "imbalanced.label_loss", "imbalanced.prior_entropy"),
        lambda rest, label, prior: (
            rest["high"] < 0.1 and abs(label["value"] - prior["value"]) < 0.25,
            f"{rest['value']:.3f} nats a word of boilerplate, while the level costs {label['value']:.2f} nats, where knowing nothing but the shares costs "
            f"{prior['value']:.2f}",
        ),
    ),
    Finding(
        "a few hundred balanced, honest examples mend it",
        ("balanced.accuracy.test", "baseline.always_rojo.accuracy"),
        lambda cured, parrot: (
            _more(cured, parrot),
            f"accepted level {_pct(cured)} against the parrot's {_pct(parrot)}",
        ),
    ),
    Finding(
        "preference tuning on careless pairs improves the form and deletes the disclaimer",
        ("sft_weak.actions", "dpo_weak.actions", "sft_weak.disclaimer", "dpo_weak.disclaimer"),
        lambda before, after, kept, lost: (
            _both(_more(after, before), _more(kept, lost)),
            f"actions {_pct(before)} before and {_pct(after)} after, disclaimer {_pct(kept)} before and {_pct(lost)} after",
        ),
    ),
    Finding(
        "a reward that prizes safety alone amplifies ROJO",
        ("grpo_start.rojo_share", "grpo_naive.rojo_share"),
        lambda before, after: (
            _more(after, before),
            f"ROJO in {_pct(before)} of the answers before and {_pct(after)} after",
        ),
    ),
    Finding(
        "the plumbing of the distillation decides its throughput",
        ("distill.naive.requests_per_minute", "distill.resilient.requests_per_minute"),
        lambda naive, sound: (
            _more(sound, naive),
            f"{naive['value']:.0f} answers a minute with the naive client, {sound['value']:.0f} with the resilient one",
        ),
    ),
    Finding(
        "imbalance is the first cause",
        tuple(
            f"factorial.simple.{cause}.{what}"
            for what in ("accuracy", "rojo_share")
            for cause in ("skew", "conflict")
        ),
        _first_cause,
    ),
    Finding(
        "starting afresh was crucial",
        ("factorial.effect.start.accuracy",),
        lambda start: (
            True if start["high"] < 0 else False if start["low"] > 0 else None,
            f"after the same sound rows, a biased start moves accuracy by {_effect(start)} against a fresh one",
        ),
    ),
)


def findings(measured: Measured) -> list[tuple[str, str, str]]:
    """Each finding with `RIGHT`, `AGAINST`, `NOT_SHOWN` or `UNMEASURED`, and what was measured."""
    judged = []
    for finding in FINDINGS:
        if missing := [key for key in finding.keys if key not in measured]:
            judged.append((finding.says, UNMEASURED, f"`{missing[0]}` has no measurement"))
        else:
            holds, sentence = finding.judge(*(measured[key] for key in finding.keys))
            judged.append((finding.says, {True: RIGHT, False: AGAINST, None: NOT_SHOWN}[holds], sentence))
    return judged


def right_text(measured: Measured) -> str:
    """What the blog got right, what these runs speak against or do not show, and what has not been measured."""
    judged, blocks = findings(measured), []
    heads = {
        RIGHT: "**The blog is right, here too, that …**",
        AGAINST: "**These runs speak against it that …**",
        NOT_SHOWN: "**These runs do not show that …**",
        UNMEASURED: "**Not measured yet:**",
    }
    for verdict, head in heads.items():
        if lines := [f"> - {says}: {sentence}." for says, found, sentence in judged if found == verdict]:
            blocks.append("\n".join([f"> {head}", ">", *lines]))
    return "\n>\n".join(blocks)


def card_text(path_name: str, report: Report, free: Report) -> str:
    """Where the card lies and what it says first."""
    label = {
        on: next(row for row in found.rows if row.gate.measure == "accepted_level")
        for on, found in (("test", report), ("free", free))
    }
    test, hand = label["test"].rate, label["free"].rate
    if hand.high < test.low:
        drop = f"**The vignettes tell another story than the test**: accepted level {test} there, {hand} here"
    else:
        drop = f"Test wordings and vignettes cannot be told apart: accepted level {test} and {hand}"
    missed = next(row.rate for row in free.rows if row.gate.measure == "missed_urgency")
    return f"Written to `{path_name}`. {drop}. Of the vignettes' urgent people it tells {missed} less than they need, or nothing readable."


def report_card_text(
    lines: Sequence[Entry], reports: Mapping[str, Report], best: str, measured: Measured
) -> str:
    """The notebook in four lines."""
    held = tested(lines)
    free = [line for line in held if not line.claim.built_in]
    judged = [found for _, found, _ in findings(measured)]
    wrong = sum(line.verdict == DISAGREES for line in lines)
    accepted = [name for name, report in reports.items() if report.passed]
    numbers = (
        f"**Numbers**: {sum(line.verdict == REPRODUCED for line in held)} of {len(held)} tested ones reproduced, "
        f"{sum(line.verdict == REPRODUCED for line in free)} of the {len(free)} that were not given to the reconstruction."
        if held
        else "**Numbers**: none has been measured."
    )
    known = len(judged) - judged.count(UNMEASURED)
    out = [
        numbers,
        f"**Findings in words**: {judged.count(RIGHT)} of {known} hold."
        + (f" {judged.count(UNMEASURED)} not measured." if known < len(judged) else ""),
        f"**Arithmetic**: {wrong} of the blog's numbers {'disagrees' if wrong == 1 else 'disagree'} with its other numbers."
        if wrong
        else "**Arithmetic**: the blog agrees with itself.",
        f"**Models**: accepted by every gate: {', '.join(accepted)}."
        if accepted
        else f"**Models**: none passes every gate; the best, {best}, passes {card.passed(reports[best])} of {len(reports[best].rows)}.",
    ]
    return "\n".join(f"> - {line}" for line in out)


__all__ = [
    "arithmetic_text",
    "card_text",
    "choice_text",
    "findings",
    "ledger_text",
    "parrot_text",
    "report_card_text",
    "right_text",
    "ship_text",
    "sources_text",
]
