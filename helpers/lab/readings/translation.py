"""Sentences of notebook 01: what was dropped, what the checks caught and missed, what chrF can and cannot say, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from helpers.evaluate import Rate, wilson
from helpers.statistics import bootstrap
from helpers.translate import Trial


def dropped_text(articles: int, dropped: Mapping[str, int]) -> str:
    """What the filter on false claims took away."""
    total = sum(dropped.values())
    if not total:
        return f"All {articles:,} articles carry the verdict *true*: **nothing had to be dropped**. Look twice before you believe that."
    listed = ", ".join(
        f"{count:,} {label}" for label, count in sorted(dropped.items(), key=lambda pair: -pair[1])
    )
    return (
        f"**{total:,} of {articles:,} articles dropped** ({total / articles:.0%}): {listed}. Had they stayed, every one of these claims would "
        "have been translated, and the student would have read it as medical text."
    )


def checks_text(first: Rate, passed: Rate, glossary: Rate, numbers: Rate) -> str:
    """What the first answers kept, and what the second request was worth."""
    kept = f"Of the rows that use a term of the glossary {glossary} obey it at once; of those with a number {numbers} keep every one."
    head = f"At the first attempt {first} of all rows pass every check."
    if first.value == 1:
        return f"{head} **Nothing had to be sent back in this run.** {kept}"
    if passed.value == 1:
        return f"{head} The others were sent back once, with their problems named, and **every one came back clean**. {kept}"
    if passed.value > first.value:
        return f"{head} After one more request it is {passed}; **the rest is lost**, and no half-checked row slips into the corpus. {kept}"
    return f"{head} **Sending back mended nothing in this run**: {passed}. {kept}"


def caught_text(planted: Sequence[bool], refused: Sequence[bool]) -> str:
    """Of the offline teacher's own mistakes, how many were refused, and how many clean answers were refused with them."""
    if not planted:
        return (
            "This teacher does not say where it erred, so nobody can count what the checks missed. A person who reads Spanish and medicine, "
            "with rows drawn at random, is the only instrument for that."
        )
    mistaken = [alarm for bad, alarm in zip(planted, refused, strict=True) if bad]
    clean = [alarm for bad, alarm in zip(planted, refused, strict=True) if not bad]
    if not mistaken:
        return f"The offline teacher planted no mistake in {len(planted):,} rows: **nothing could be caught in this run**."
    caught, alarms = wilson(sum(mistaken), len(mistaken)), wilson(sum(clean), len(clean))
    verdict = (
        "**No planted mistake got through**"
        if caught.value == 1
        else f"**{len(mistaken) - sum(mistaken)} planted mistakes got through**"
    )
    false = "no clean answer was refused" if not any(clean) else f"{sum(clean)} clean answers were refused"
    return (
        f"The offline teacher planted a mistake in {len(mistaken)} of {len(planted):,} first answers; the checks refused {caught}. {verdict}, and "
        f"{false} (false alarms {alarms}). Before you celebrate: these are mistakes that the checks were written for."
    )


def alarms_text(alarms: Rate) -> str:
    """Correct references that the checks refuse."""
    if alarms.value == 0:
        return f"**No correct reference is refused** (false alarms: {alarms})."
    return f"**{alarms} of the correct references are refused**: every one of them would be paid for twice, or lost."


def pooled(trials: Sequence[Trial]) -> Rate:
    """The share noticed over several kinds; n counts mistakes, the interval resamples rows, since one row serves several kinds."""
    rows: dict[str, list[bool]] = {}
    for trial in trials:
        for (row, _), hit in zip(trial.examples, trial.caught, strict=True):
            rows.setdefault(row.id, []).append(hit)
    share = bootstrap(list(rows.values()), lambda drawn: sum(map(sum, drawn)) / sum(map(len, drawn)))
    return replace(share, n=sum(map(len, rows.values())))


def in_group(trials: Sequence[Trial], *groups: str) -> list[Trial]:
    """The trials of these groups ("looked for", "not looked for", "control")."""
    return [trial for trial in trials if trial.group in groups]


def trial_text(trials: Sequence[Trial], caught: Mapping[str, Rate]) -> str:
    """What the checks see, what they do not, and whether chrF sees the rest."""
    known, unknown = pooled(in_group(trials, "looked for")), pooled(in_group(trials, "not looked for"))
    head = f"Mistakes that a check was written for: {known} noticed. Mistakes that none was written for: {unknown}."
    leaks = [
        f"{sum(not hit for hit in t.caught)} of {len(t.caught)} times {t.mistake}"
        for t in in_group(trials, "looked for")
        if not all(t.caught)
    ]
    leak = f" Even of the first group some got through: {', '.join(leaks)}." if leaks else ""
    gap = " The two groups do not differ clearly here." if known.low <= unknown.high else ""
    blind = [t for t in in_group(trials, "looked for", "not looked for") if caught[t.key].high < 0.25]
    if not blind:
        return f"{head}{leak}{gap} **No kind of mistake went unseen in this run.**"
    worst = min(blind, key=lambda t: t.chrf_lost)
    harmless = min((t.chrf_lost for t in in_group(trials, "control")), default=0.0)
    if worst.chrf_lost <= harmless:
        score = f"chrF is no help: {worst.mistake} costs {worst.chrf_lost:.1f} of its 100 points, a correct synonym {harmless:.1f}"
    else:
        score = f"chrF falls by {worst.chrf_lost:.1f} points for {worst.mistake}, by {harmless:.1f} for a correct synonym"
    return (
        f"{head}{leak}{gap} **Hardly ever noticed: {' and '.join(t.mistake for t in blind)}.** And {score}."
    )


def chrf_text(untranslated: Rate, passed: Rate | None, offline: bool) -> str:
    """chrF beside the score of not translating at all."""
    score = lambda rate: f"{rate.value:.1f} [{rate.low:.1f}–{rate.high:.1f}]"  # noqa: E731
    if passed is None:
        return (
            "These rows have no reference Spanish: **no chrF**. A score without a reference would be made up."
        )
    head = f"The accepted rows reach chrF {score(passed)} (mean over {passed.n:,} rows); the English itself, untouched, scores {score(untranslated)}."
    if offline:
        return (
            f"{head} **That says nothing about translation**: the offline teacher copies the reference, and what is missing to 100 are the words "
            "it changed for the country. Keep the lower figure: even text that nobody translated does not score zero."
        )
    if passed.low > untranslated.high:
        return f"{head} The teacher translates; whether it translates *well* no single score can tell."
    return f"{head} **No better than leaving the text alone**: look at the rows before anything else."


def cost_text(per_thousand: float | None, rows: int, what: str, notional: bool) -> str:
    """Dollars for a thousand rows, and for as many as the blog had."""
    if per_thousand is None:
        return "The price of this teacher is unknown, so the cost is too. Give `price_in` and `price_out`."
    head = f"${per_thousand:.2f} for a thousand rows like these, checks and second requests included, so ${per_thousand * rows / 1000:.2f} for {rows:,}."
    if notional:
        return (
            f"{head} **Notional**: nobody was charged; it is MiniMax’s price for the tokens that went back and forth here, counted by length. A model "
            "that thinks before it answers bills its thinking too, and real articles may be longer: expect a higher bill."
        )
    return f"{head} That is what {what} charged."


def regions_text(sentences: Sequence[Mapping[str, Mapping[str, str]]]) -> str:
    """How many of the rows differ between countries: for each row, its Spanish fields by country."""
    differ = sum(
        len({tuple(fields.values()) for fields in by_country.values()}) > 1 for by_country in sentences
    )
    if not differ:
        return f"All {len(sentences)} rows came out the same for every country: **no regional word in this run**."
    return (
        f"{differ} of {len(sentences)} rows differ between countries. The same disease, medicine or place has another name; "
        "a text that says it in the neighbour’s word is not wrong, but it is not *for* the reader."
    )


def translation_summary(first: Rate, passed: Rate, trials: Sequence[Trial], cost: float | None) -> str:
    """Notebook 01 in three sentences, each one saying what this run showed."""
    known, unknown = pooled(in_group(trials, "looked for")), pooled(in_group(trials, "not looked for"))
    mended = (
        f"and {passed.value:.0%} after one more request"
        if passed.value > first.value
        else "and no more after sending back"
    )
    price = f" A thousand rows cost ${cost:.2f} at the price table." if cost is not None else ""
    reach = (
        f"The checks notice {known.value:.0%} of the mistakes they were written for and {unknown.value:.0%} of those they were not"
        if known.low > unknown.high
        else f"The checks notice {known.value:.0%} and {unknown.value:.0%} of the two groups of planted mistakes: no clear difference"
    )
    return f"{first.value:.0%} of the rows passed every check at the first attempt {mended}. {reach}.{price}"
