"""One report on a reader's own data set: what is wrong with it, row by row, before anything is trained on it.

Rows are streamed: hashes, label and the first characters stay in memory, about 1 KB a row. Rows count from 1.
"""

from __future__ import annotations

import heapq
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse, stats
from sklearn.metrics import balanced_accuracy_score

from helpers.audit import copies
from helpers.audit.diversity import families, guess_new_texts, predictability
from helpers.audit.pushes import pushes
from helpers.audit.reading import Item, about_how_many, items, rows
from helpers.audit.report import Finding, Report
from helpers.files import LabError
from helpers.progress import Progress

CHUNK_ROWS, CHUNK_CHARACTERS = 20_000, 30_000_000
SHOWN = 90  # characters of a row that the report repeats
SAMPLE = 2_000  # rows by which labels are guessed and answers measured
COUNTED = 100_000  # rows whose tokens are counted; the length of further ones is estimated
MOST_LABELS = 100  # with more different labels a column is free text


class Lengths:
    """Tokens of a row as a trainer counts them, with the chat template's own. `tokenizer`: Hugging Face's."""

    def __init__(self, tokenizer: Any, limit: int) -> None:
        self.tokenizer, self.limit, self.counted, self.characters, self.tokens = tokenizer, limit, 0, 0, 0

    @cached_property
    def frame(self) -> tuple[float, int]:
        """Tokens that the template adds: to a message, and after an answer that is trained."""
        if not getattr(self.tokenizer, "chat_template", None):
            return 0.5, 1
        turns = [{"role": "user", "content": ""}, {"role": "assistant", "content": ""}]
        apply, how = self.tokenizer.apply_chat_template, {"tokenize": True, "return_dict": False}
        whole, asked = len(apply(turns, **how)), len(apply(turns[:1], add_generation_prompt=True, **how))
        return whole / 2, whole - asked

    def of(self, texts: list[str]) -> list[int]:
        """Tokens of each text alone."""
        return [len(ids) for ids in self.tokenizer(texts, add_special_tokens=False)["input_ids"]]

    def too_long(self, chunk: list[Item]) -> dict[int, int]:
        """Place in the chunk → tokens, of rows above the limit. A token holds at least a byte."""
        found, longer = {}, {}
        for place, item in enumerate(chunk):
            text = max(item.answer, item.rejected, key=len)
            whole, room = "\n".join((item.system, item.text, text)), self.limit - self.frame[0] * item.turns
            if len(whole) * 4 > room and len(whole.encode()) > room:
                longer[place] = (whole[: 50 * self.limit], room, len(whole))
        if not longer:
            return found
        exactly = dict(list(longer.items())[: max(0, COUNTED - self.counted)])
        counts = self.of([text for text, *_ in exactly.values()]) if exactly else []
        tokens = dict(zip(exactly, counts, strict=True))
        self.counted += len(exactly)
        self.tokens += sum(counts)
        self.characters += sum(len(text) for text, *_ in exactly.values())
        for place, (_, room, characters) in longer.items():
            each = self.tokens / max(1, self.characters)
            needed = tokens[place] if place in tokens else round(characters * each)
            if needed > room:
                found[place] = round(needed + self.limit - room)
        return found


def _chunks(found: Iterator[Item]) -> Iterator[list[Item]]:
    chunk, characters = [], 0
    for item in found:
        chunk.append(item)
        characters += len(item.text) + len(item.answer) + len(item.rejected)
        if len(chunk) == CHUNK_ROWS or characters > CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    yield chunk


def _whole(pair: Item) -> str:
    """A pair as one text that does not tell which side is the preferred one."""
    return "\n".join((pair.text, *sorted((pair.answer, pair.rejected))))


def _first_word(answer: str) -> str:
    """What may be an answer's label: all of it if short, else its heading and the word after that."""
    if len(answer) < 60 and len(answer.split()) <= 3:
        return answer.strip()
    found = re.match(r"\s*([^\n:]{1,40}:\s*\w+)", answer)
    return " ".join(found[1].split()) if found else ""


def audit_file(
    source: str,
    text: str | None = None,
    label: str | None = None,
    pairs: bool = False,
    prior: dict[str, float] | None = None,
    lengths: Lengths | None = None,
    sample: int = SAMPLE,
    encoding: str = "utf-8",
    split: str = "train",
) -> Report:
    """Audit a file or a data set of the hub.

    Args:
        text, label: columns; recognised by their names if not given (see `reading`).
        pairs: rows are preferences, with a chosen and a rejected answer.
        prior: the share that each label should have; equal ones if not given.
        lengths: a tokenizer and the most tokens of a row; without it no tokens are counted.
        sample: rows, drawn at random, on which a classifier is tried.

    Raises Unreadable: the file cannot be read, or a row of it.
    """
    heads, labels, guesses, texts, answers, bags, folded, cut = [], [], [], [], [], [], [], {}
    kept: list[tuple[float, int, Item]] = []
    every: list[Item] = []
    rng, known = np.random.default_rng(0), {}
    found = items(rows(source, encoding, split), source, text, label, pairs)
    with Progress("Reading", about_how_many(source)) as progress:
        for chunk in _chunks(found):
            if not chunk:
                continue
            begin = len(heads)
            heads += [item.text.strip()[:SHOWN] for item in chunk]
            whole = [copies.normal(_whole(item) if pairs else item.text) for item in chunk]
            texts.append(copies.hashes(whole))
            answers.append(copies.hashes([item.answer for item in chunk]))
            bags.append(copies.bags(whole))
            folded.append(copies.bands(bags[-1]))
            labels += [known.setdefault(item.label, item.label) for item in chunk]  # each label is kept once
            words = [_first_word(item.answer) for item in chunk]
            guesses += [known.setdefault(word, word) for word in words]
            for place, tokens in (lengths.too_long(chunk) if lengths else {}).items():
                cut[begin + place] = tokens
            if pairs:
                every += chunk
            drawn = zip(rng.random(len(chunk)), range(begin, begin + len(chunk)), chunk, strict=True)
            kept = heapq.nsmallest(sample, [*kept, *drawn])
            progress.update(len(chunk))
        progress.done(f"{len(heads):,} rows read.")
    report = Report(source, len(heads), [], {}, {}, heads, labels)
    if pairs:
        report.labels = []
    elif not any(labels):
        report.labels = _common_heading(report, guesses)
    bag, bands = sparse.vstack(bags, "csr"), np.concatenate(folded)
    del bags, folded
    reasons = _copies(report, np.concatenate(texts), np.concatenate(answers), bag, bands, pairs)
    for row, tokens in cut.items():
        reasons.setdefault(row, []).append(
            f"a trainer would cut it: {tokens:,} tokens, at most {lengths.limit:,}"
        )
    for row, head in enumerate(heads):
        if not head and not pairs:
            reasons.setdefault(row, []).append("empty text")
        if report.labels and not report.labels[row]:
            reasons.setdefault(row, []).append("no label")
    if lengths:
        _lengths(report, cut, lengths)
    if pairs:
        pushes(report, every, lengths, reasons)
    else:
        _labels(report, prior, [(row, item) for _, row, item in kept], lengths)
    report.measures["empty"] = sum("empty text" in why for why in reasons.values()) / report.count
    report.advice = {row: (_advice(why), why) for row, why in sorted(reasons.items())}
    _sum_up(report)
    return report


def _common_heading(report: Report, guesses: list[str]) -> list[str]:
    """The word after the heading with which nearly all answers begin (`Level: RED …`), as labels; else none."""
    heading, times = Counter(one.rpartition(":")[0] for one in guesses).most_common(1)[0]
    if any(guesses) and len(set(guesses)) <= MOST_LABELS and times >= 0.9 * report.count:
        how = f"the word after “{heading}:” in the answer" if heading else "the answer itself, which is short"
        report.findings.append(Finding("Label", f"No label column is named; taken as label: {how}."))
        return [one.rpartition(":")[2].strip() for one in guesses]
    says = (
        "There is no label, so nothing is said of skew and of label prediction. Name one with --label COLUMN."
    )
    report.findings.append(Finding("Label", says))
    return []


def _copies(
    report: Report, texts: np.ndarray, answers: np.ndarray, bag: Any, bands: np.ndarray, pairs: bool
) -> dict[int, list[str]]:
    """Exact and near copies and contradictions: the reasons they are for each row, and their findings."""
    reasons: dict[int, list[str]] = {}
    order, first = np.unique(texts, return_index=True)
    original = first[np.searchsorted(order, texts)]
    what = "side is preferred" if pairs else "label" if report.labels else "answer"
    given = report.labels or answers
    codes = np.unique(given, return_inverse=True)[1]
    if report.labels:
        codes = np.where(np.array([bool(one) for one in report.labels]), codes, -1)
    against = copies.contradictions(texts, codes)
    different = np.sort(first)
    near = np.full(report.count, -1)
    partner = copies.near_partner(bag[different], bands[different])
    near[different] = np.where(partner >= 0, different[partner], -1)
    for row in np.flatnonzero(against >= 0):
        reasons.setdefault(int(row), []).append(
            f"contradicts row {against[row] + 1}: same text, another {what}"
        )
    for row in np.flatnonzero((original != np.arange(report.count)) & (against < 0)):
        reasons.setdefault(int(row), []).append(f"repeats row {original[row] + 1}")
    for row in np.flatnonzero(near >= 0):
        other = near[row]
        verb = "nearly repeats" if codes[row] == codes[other] or not report.labels else "nearly contradicts"
        reasons.setdefault(int(row), []).append(f"{verb} row {other + 1}")
    counts = {
        "exact_copies": int((original != np.arange(report.count)).sum()),
        "near_copies": int((near >= 0).sum()),
        "contradictions": int((against >= 0).sum()),
    }
    report.measures |= {name: count / report.count for name, count in counts.items()}
    shares = f"of {report.count:,} rows"
    says = (
        f"{counts['exact_copies']:,} {shares} repeat an earlier row (case and spaces do not count): "
        f"{len(different):,} are different.",
        f"{counts['near_copies']:,} of the different rows share {copies.NEAR:.0%} of their words with an "
        "earlier one. Read them: one word may decide.",
        f"{counts['contradictions']:,} {shares} have a text that stands elsewhere with another {what}. "
        "No model can be right about both.",
    )
    titles, others = ("Exact copies", "Near copies", "Contradictions"), (original, near, against)
    report.findings += [
        Finding(title, one, _pairs(report, other))
        for title, one, other in zip(titles, says, others, strict=True)
    ]
    return reasons


def _pairs(report: Report, other: np.ndarray) -> list[tuple[Any, ...]]:
    """The first five rows that have a partner, beside it."""
    some = np.flatnonzero((other >= 0) & (other != np.arange(len(other))))[:5]
    label = report.labels or [""] * report.count
    head = ("row", "text", "label", "other row", "its text", "its label")
    found = [
        (row + 1, report.heads[row], label[row], other[row] + 1, report.heads[other[row]], label[other[row]])
        for row in map(int, some)
    ]
    return [head, *found] if found else []


def _lengths(report: Report, cut: dict[int, int], lengths: Lengths) -> None:
    report.measures["cut"] = len(cut) / report.count
    says = f"{len(cut):,} rows are longer than {lengths.limit:,} tokens: a trainer would cut off their ends."
    if lengths.counted == COUNTED:
        says += f" Tokens were counted in {COUNTED:,} long rows and estimated from the characters of others."
    report.findings.append(Finding("Length", says))


def _labels(
    report: Report, prior: dict[str, float] | None, kept: list[tuple[int, Item]], lengths: Lengths | None
) -> None:
    """Skew, what the label can be of the loss, and whether it follows from the text."""
    if not report.labels:
        return
    counts = Counter(one for one in report.labels if one)
    labelled = counts.total()
    report.measures["unlabelled"] = 1 - labelled / report.count
    if not counts or len(counts) > MOST_LABELS:
        says = (
            f"{len(counts):,} different labels: this is no column of labels, so nothing more is said of it."
        )
        report.findings.append(Finding("Skew", says))
        return
    if prior and (unknown := set(counts) ^ set(prior)):
        raise LabError(
            f"--prior and the labels differ in: {', '.join(sorted(unknown))}. Name every label once."
        )
    expected = {one: (prior or {}).get(one, 1 / len(counts)) for one in counts}
    gaps = {one: counts[one] / labelled - expected[one] for one in counts}
    most = max(gaps, key=lambda one: abs(gaps[one]))
    report.measures["skew"] = abs(gaps[most])
    wanted = "the chosen prior" if prior else "equal shares"
    says = (
        f"{report.count - labelled:,} rows have no label. Farthest from {wanted}: {most} ({gaps[most]:+.1%})."
    )
    shares = [
        (one, f"{n:,}", f"{n / labelled:.1%}", f"{expected[one]:.1%}") for one, n in counts.most_common()
    ]
    report.findings.append(Finding("Skew", says, [("label", "rows", "share", "expected"), *shares]))
    nats = float(stats.entropy(list(counts.values())))
    if lengths and kept:
        answers = [item.answer or report.labels[row] for row, item in kept]
        tokens = float(np.mean(lengths.of(answers))) + lengths.frame[1]
        report.measures |= {"label_entropy": nats, "answer_tokens": tokens, "label_loss": nats / tokens}
        says = (
            f"A model that knows only how frequent each label is pays {nats:.2f} nats for it. Spread over "
            f"{tokens:.0f} trained tokens an answer that is {nats / tokens:.4f}: your loss may look like "
            f"{nats / tokens:.2g}, and the model know nothing of the label."
        )
        report.findings.append(Finding("The label's share of the loss", says))
    _prediction(report, kept)


def _prediction(report: Report, kept: list[tuple[int, Item]]) -> None:
    """Is the label predictable from the words, better than shuffled labels are (notebook 03)?"""
    one_each = {item.text[:1000]: report.labels[row] for row, item in kept if report.labels[row]}
    often = Counter(one_each.values())
    known = [(text, label) for text, label in one_each.items() if often[label] >= 5]
    texts, labels = [text for text, _ in known], [label for _, label in known]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scikit-learn's, of labels with few families
            groups = families(texts)
            score = predictability(labels, guess_new_texts(texts, labels, groups), groups)
            dealt = [np.random.default_rng(n).permutation(labels) for n in range(5)]
            chance = [balanced_accuracy_score(d, guess_new_texts(texts, d, groups)) for d in dealt]
    except ValueError as error:
        says = (
            f"Not tried: {str(error).splitlines()[0].rstrip('.')} ({len(texts):,} different labelled texts)."
        )
        report.findings.append(Finding("Does the label follow from the text?", says))
        return
    report.measures["label_follows"] = score.low - max(chance)
    verdict = "does" if score.low > max(chance) else "is not shown to"
    says = (
        f"A classifier of words, tried on texts unlike those it learnt from, reaches a balanced accuracy of "
        f"{score}; with shuffled labels {min(chance):.1%} to {max(chance):.1%}. The label {verdict} follow from the "
        f"words. Tried on {len(texts):,} different texts drawn at random from {report.count:,} rows."
    )
    report.findings.append(Finding("Does the label follow from the text?", says))


def _advice(reasons: list[str]) -> str:
    gone = all(why.startswith(("repeats", "empty", "nothing to learn")) for why in reasons)
    return "drop" if gone else "look"


def _sum_up(report: Report) -> None:
    counts = Counter(advice for advice, _ in report.advice.values())
    counts["keep"] = report.count - counts.total()
    says = f"Keep {counts['keep']:,} rows, drop {counts['drop']:,}, look at {counts['look']:,} (each with its reason)."
    report.findings.insert(0, Finding("Advice", says))
