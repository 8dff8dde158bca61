"""Sentences of notebook 07: the blog's figures put through a calculator, and what each client did to the same server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from helpers.evaluate import Rate
from helpers.lab.plumbing import ClientRun


def pace_text(rows: float, minutes: float, low: float, high: float) -> str:
    """Do a count, a duration and a throughput agree?"""
    pace = rows / minutes
    head = f"{rows:,.0f} examples in {minutes:.0f} minutes is **{pace:.0f} a minute**; the blog says {low:.0f} to {high:.0f}"
    if low <= pace <= high:
        return f"{head}: the two agree."
    if pace > high:
        return (
            f"{head}: **the two disagree**; at its own rate the job takes at least {rows / high:.0f} minutes."
        )
    return (
        f"{head}. At its own rate the job takes {rows / high:.0f} to {rows / low:.0f} minutes: **the blog disagrees with itself**, by a factor of "
        f"{low / pace:.1f} at least. Both can be true only if most of the time went into something else than asking (restarts, waiting, rows asked again)."
    )


def in_flight_text(before: float, rate: float, after: float, low: float, high: float, pace: float) -> str:
    """Little's law on the blog's figures: in flight = rate × seconds per answer."""
    seconds = before / rate * 60
    alone = after / before * rate
    head = (
        f"{before:.0f} in flight at {rate:.0f} a minute means that each request held its place for {seconds:.0f} s; with {after:.0f} in flight and nothing "
        f"else changed the rate would be {alone:.0f} a minute"
    )
    if low <= alone <= high:
        return f"{head}: concurrency alone explains the blog's {low:.0f} to {high:.0f}."
    if alone > high:
        return f"{head}, more than the blog's {low:.0f} to {high:.0f}: something else slowed it down."
    near = "; that is nearer to what its own minutes give" if abs(alone - pace) < abs(low - pace) else ""
    return (
        f"{head}, not {low:.0f} to {high:.0f}{near}. For {low:.0f} to {high:.0f} a request may hold its place for {after / high * 60:.0f} to "
        f"{after / low * 60:.0f} s only: **concurrency alone does not explain the gain**; the old script must have spent most of those seconds on waiting and "
        "asking again."
    )


def bill_text(tokens: float, said: float, price_in: float, price_out: float, ours: float, rows: float) -> str:
    """Can so many tokens cost what the blog says?"""
    millions = tokens / 1e6
    least, cost = millions * price_in, millions * (price_in + ours * (price_out - price_in))
    head = (
        f"{tokens / rows:,.0f} tokens an example. At ${price_in:.2f} read and ${price_out:.2f} written per million, {millions:.1f} million cost ${least:.2f} "
        "even if the teacher wrote nothing"
    )
    if said < least - 0.005:
        return f"{head}: ${said:.2f} is **less than the least possible**."
    written = (said / millions - price_in) / (price_out - price_in)
    if abs(cost - said) <= 0.15:
        return f"{head}; with the share that was written here ({ours:.0%}) it is ${cost:.2f}: **the blog's ${said:.2f} is plausible**."
    return (
        f"{head}. For ${said:.2f} it may have written {written:.1%} of the tokens, **{written * tokens / rows:.0f} an example**: not a triage answer. With the "
        f"share that was written here ({ours:.0%}) the same tokens cost ${cost:.2f}. The blog's sum is about what one gets "
        "by counting every token at the price for reading; whether it was paid, only the provider's invoice can say."
    )


def clients_text(naive: ClientRun, hurried: ClientRun, resilient: ClientRun) -> str:
    """Who got how far, and what it cost in rows."""
    factor = resilient.requests_per_minute.value / naive.requests_per_minute.value
    used = f"In steady state {naive.name} gets {naive.limit_share.value:.0%} of the server's limit, {resilient.name} {resilient.limit_share.value:.0%}"
    if factor > 1.2:
        speed = (
            f"{used}: **{factor:.0f} times as much**"
            if factor >= 2
            else f"{used}: {factor:.1f} times as much"
        )
    else:
        speed = f"{used}: **the resilient client was not faster in this run**"
    if resilient.limit_share.value < 0.9:
        speed += " (short of the limit: this machine was too busy to send faster, or too few requests were in flight)"
    met = (
        f"{naive.name}, never met the limit: not one 429."
        if naive.limited == 0
        else f"{naive.name}, met the limit all the same: {naive.limited:,} requests were answered 429."
    )
    if hurried.lost > resilient.lost:
        haste = (
            f"With {hurried.name.split(',')[-1].strip()} the same script meets it: {hurried.rejected_share} of its requests are answered 429, "
            f"and **{hurried.lost:,} of {hurried.rows:,} rows are lost** without a word, their attempts used up while everybody had to wait"
        )
    else:
        haste = f"The hurried script has {hurried.rejected_share} of its requests answered 429 and lost {hurried.lost:,} rows, no more than the resilient client"
    met = met[0].upper() + met[1:]
    quick = ""
    if hurried.lost > resilient.lost and hurried.answers_per_minute > resilient.answers_per_minute:
        quick = " Over so short a run the hurried script even ends first: it pays in holes, not in minutes."
    return (
        f"{speed}. {met} {haste}; the resilient client lost {resilient.lost:,} of {resilient.rows:,}.{quick}"
    )


def invalid_text(naive: ClientRun, resilient: ClientRun) -> str:
    """What stands among the accepted answers that should not."""
    if naive.invalid == 0:
        head = f"Nothing invalid got past the naive client in this run ({naive.invalid_share})"
    else:
        head = f"The naive client kept {naive.invalid:,} answers that are no answers (cut in half, in English, thinking aloud): {naive.invalid_share}"
    if resilient.invalid == 0:
        return f"{head}. The resilient one kept none: {resilient.invalid_share}; what fails the check is asked again."
    return f"{head}. **The resilient one kept {resilient.invalid:,} as well**: {resilient.invalid_share}."


def herd_text(hurried: ClientRun, free: ClientRun, paced: ClientRun) -> str:
    """Does pacing tame the herd?"""
    head = f"Answered 429: {hurried.name} {hurried.rejected_share}; {free.name} {free.rejected_share}; {paced.name} {paced.rejected_share}"
    if (
        paced.rejected_share.high < free.rejected_share.low
        and paced.rejected_share.high < hurried.rejected_share.low
    ):
        alone = ""
        if free.rejected_share.high < hurried.rejected_share.low:
            alone = " The shared pause alone helps already (a 429 that one worker gets stops them all), but they stop and start together."
        return f"{head}. **Pacing ends the herd**: who knows the limit need not find it out by running into it.{alone}"
    if paced.rejected_share.value < free.rejected_share.value:
        return f"{head}. Pacing had fewer, though the intervals do not keep the three apart in this run."
    return f"{head}. **In this run pacing did not lower the share of 429s.**"


@dataclass(frozen=True)
class Crash:
    """A job killed several times and then left to end: what was on disk after each kill, what is there at the end, and what was paid.

    Attributes:
        rows: distinct prompts of the job. given: answers that the teacher had given by each kill (over all runs so far).
        kept: rows on disk after each kill. lines, distinct: rows on disk at the end, and how many different ones. paid: answers given in all.
    """

    rows: int
    given: list[int]
    kept: list[int]
    lines: int
    distinct: int
    paid: int

    @property
    def lost(self) -> int:
        """Rows that are missing at the end."""
        return self.rows - self.distinct

    @property
    def duplicated(self) -> int:
        """Rows that stand there more than once."""
        return self.lines - self.distinct

    @property
    def paid_twice(self) -> int:
        """Answers paid for beyond one a row."""
        return self.paid - self.rows


def crash_text(naive: Crash, resilient: Crash) -> str:
    """What `kill -9` costs either client."""

    def told(crash: Crash) -> str:
        at_kill = ", ".join(
            f"{kept:,} of {given:,}" for kept, given in zip(crash.kept, crash.given, strict=True)
        )
        return f"{at_kill} answers were on disk after the kills; {crash.paid:,} answers were paid for {crash.rows:,} rows, {crash.paid_twice:,} too many"

    head = f"Naive: {told(naive)}. Resilient: {told(resilient)}"
    whole = resilient.lost == 0 and resilient.duplicated == 0
    end = (
        "At the end every row is there once: **nothing lost, nothing doubled**"
        if whole
        else (f"At the end **{resilient.lost:,} rows are missing and {resilient.duplicated:,} doubled**")
    )
    if resilient.paid_twice < naive.paid_twice:
        return f"{head}. {end}; only what was in the air at the moment of a kill is paid again."
    return f"{head}. {end}, but **it paid no less than the naive client** in this run."


def budget_text(spent: float, cap: float, stopped: str | None, answered: int, left: int) -> str:
    """Did the cap hold, and did the job stop in good order?"""
    if stopped is None:
        return f"The job ended within its budget (${spent:.4f} of ${cap:.4f}); the cap had nothing to do in this run ({left:,} rows left)."
    held = "the cap held" if spent <= cap + 1e-9 else "**the cap did not hold**"
    return (
        f"Stopped after ${spent:.4f} of ${cap:.4f}: {held}. {answered:,} answers were added, {left:,} rows are left; "
        "the next run goes on from there. (What was in the air at the stop is counted.)"
    )


def chosen_text(
    rows: int,
    left: int,
    cost: float | None,
    requests: int,
    blog_rows: float,
    shares: Sequence[float],
    teacher: str,
) -> str:
    """The set that notebook 08 gets."""
    whole = f"**{rows - left:,} chosen answers**, every one complete and at a level that the rubric accepts"
    if left:
        whole += f"; {left:,} rows have none (errors.jsonl says why)"
    price = (
        "price unknown"
        if cost is None
        else f"${cost:.3f} at the price list, ${cost / max(1, rows - left) * blog_rows:.2f} for {blog_rows:,.0f}"
    )
    asked = f", {requests:,} requests in the last run" if requests else ""
    return f"{whole}. Teacher: {teacher}{asked}; {price}. Level shares from {min(shares):.0%} to {max(shares):.0%}."


def distill_summary_text(
    naive: ClientRun,
    hurried: ClientRun,
    resilient: ClientRun,
    crashes: tuple[Crash, Crash],
    rows: float,
    minutes: float,
) -> str:
    """Notebook 07 in a few lines, each one saying what this run showed."""
    fast, slow = resilient.requests_per_minute.value, naive.requests_per_minute.value
    lines = [
        f"{naive.name}: {slow:.0f} requests a minute ({naive.limit_share.value:.0%} of the limit), {naive.invalid_share.value:.0%} of what it kept invalid",
        f"{hurried.name}: {hurried.lost_share.value:.0%} of the rows lost, {hurried.rejected_share.value:.0%} of its requests answered 429",
        f"{resilient.name}: {fast:.0f} a minute ({resilient.limit_share.value:.0%}), {resilient.lost:,} lost, {resilient.invalid:,} invalid, "
        f"{resilient.rejected_share.value:.1%} answered 429",
        f"after the kills the naive client had paid {crashes[0].paid_twice:,} answers too many, the resilient one {crashes[1].paid_twice:,}",
    ]
    better = (
        fast > slow
        and resilient.lost <= hurried.lost
        and resilient.invalid_share.value <= naive.invalid_share.value
    )
    same = (
        "The teacher was the same and the prompts were the same; the plumbing made the difference."
        if better
        else ("**In this run the plumbing did not make the difference it should.**")
    )
    pace = f"{rows:,.0f} rows would take {rows / fast:.0f} minutes at this pace and {rows / slow:.0f} at the naive one; the blog took {minutes:.0f}."
    said = "; ".join(lines)
    return f"{said[0].upper()}{said[1:]}. {same} {pace}"


def pace_prediction_text(guess: float, measured: Rate) -> str:
    """The reader's guess of the share of the limit beside the measurement."""
    gap = guess - measured.value
    head = f"You predicted {guess:.0%} of the limit; measured {measured.value:.1%} [{measured.low:.1%}–{measured.high:.1%}]"
    return (
        f"{head}. Well seen."
        if abs(gap) < 0.05
        else f"{head}: {abs(gap) * 100:.0f} points {'lower' if gap > 0 else 'higher'} than you thought."
    )
