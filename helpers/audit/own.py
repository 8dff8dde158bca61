"""One report on a reader's own data set: what is wrong with it, row by row, before anything is trained on it.

Rows are streamed: hashes, label and the first characters stay in memory, about 1 KB a row. Rows count from 1.
"""

import heapq
import re
import sys
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import partial
from itertools import zip_longest
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.metrics import balanced_accuracy_score

from helpers.audit import copies
from helpers.audit.diversity import entropy, families, guess_new_texts, predictability
from helpers.audit.pushes import pushes
from helpers.audit.reading import Item, about_how_many, items, rows
from helpers.audit.report import Finding, Report
from helpers.files import LabError
from helpers.progress import Progress

CHUNK_ROWS, CHUNK_CHARACTERS = 20_000, 30_000_000
SHOWN = 90  # characters of a row that the report repeats
SAMPLE = 2_000  # rows, drawn at random, by which labels are guessed and answers measured
COUNTED = 100_000  # rows whose tokens are counted; the length of further ones is estimated
MOST_LABELS = 100  # with more different labels a column is free text
LOST = ("repeats", "empty", "nothing to learn")  # reasons to drop a row; any other is one to look at it


class Lengths:
    """Tokens of a row as a trainer counts them, with the chat template's own. `tokenizer`: Hugging Face's.

    `frame`: tokens that the template adds to a message, and after an answer that is trained.
    """

    def __init__(self, tokenizer: Any, limit: int) -> None:
        self.tokenizer, self.limit, self.frame = tokenizer, limit, (0.5, 1)
        self.counted = self.characters = self.tokens = 0
        if getattr(tokenizer, "chat_template", None):
            turns = [{"role": "user", "content": ""}, {"role": "assistant", "content": ""}]
            apply = partial(tokenizer.apply_chat_template, tokenize=True, return_dict=False)
            whole, asked = len(apply(turns)), len(apply(turns[:1], add_generation_prompt=True))
            self.frame = whole / 2, whole - asked

    def of(self, texts: list[str]) -> list[int]:
        """Tokens of each text alone."""
        return [len(ids) for ids in self.tokenizer(texts, add_special_tokens=False)["input_ids"]]

    def too_long(self, chunk: list[Item]) -> dict[int, int]:
        """Place in the chunk → tokens, of rows above the limit. A token holds at least a byte."""
        found, long = {}, []
        for place, item in enumerate(chunk):
            text = max(item.answer, item.rejected, key=len)
            whole, room = "\n".join((item.system, item.text, text)), self.limit - self.frame[0] * item.turns
            if len(whole) * 4 > room and len(whole.encode()) > room:
                long.append((place, whole, room))
        texts = [whole[: 50 * self.limit] for _, whole, _ in long[: COUNTED - self.counted]]
        counts = self.of(texts) if texts else []
        self.counted += len(texts)
        self.tokens += sum(counts)
        self.characters += sum(map(len, texts))
        for (place, whole, room), tokens in zip_longest(long, counts):
            needed = round(len(whole) * (self.tokens / self.characters)) if tokens is None else tokens
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
    if chunk:
        yield chunk


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
    encoding: str = "utf-8",
    split: str = "train",
) -> Report:
    """Audit a file or a data set of the hub.

    Args:
        text, label: columns; recognised by their names if not given (see `reading`).
        pairs: rows are preferences, with a chosen and a rejected answer.
        prior: the share that each label should have; equal ones if not given.
        lengths: a tokenizer and the most tokens of a row; without it no tokens are counted.

    Raises Unreadable: the file cannot be read, or a row of it.
    """
    heads, labels, guesses, texts, answers, bags, every = [], [], [], [], [], [], []
    cut, kept, rng = {}, [], np.random.default_rng(0)
    found = items(rows(source, encoding, split), source, text, label, pairs)
    with Progress("Reading", about_how_many(source)) as progress:
        for chunk in _chunks(found):
            begin = len(heads)
            heads += [item.text.strip()[:SHOWN] for item in chunk]
            whole = [item.text for item in chunk]
            if pairs:  # both sides, in an order that does not tell which one is preferred
                whole = ["\n".join((one.text, *sorted((one.answer, one.rejected)))) for one in chunk]
                every += chunk
            whole = [copies.normal(one) for one in whole]
            texts.append(copies.hashes(whole))
            answers.append(copies.hashes([item.answer for item in chunk]))
            bags.append(copies.bags(whole))
            labels += [sys.intern(item.label) for item in chunk]  # each label is kept once
            guesses += [sys.intern(_first_word(item.answer)) for item in chunk]
            if lengths:
                cut |= {begin + place: tokens for place, tokens in lengths.too_long(chunk).items()}
            drawn = zip(rng.random(len(chunk)), range(begin, len(heads)), chunk, strict=True)
            kept = heapq.nsmallest(SAMPLE, [*kept, *drawn])
            progress.update(len(chunk))
        progress.done(f"{len(heads):,} rows read.")
    report = Report(source, len(heads), heads, labels)
    if not any(labels):
        report.labels = [] if pairs else _common_heading(report, guesses)
    bags = sparse.vstack(bags, "csr")
    reasons = _copies(report, np.concatenate(texts), np.concatenate(answers), bags, pairs)
    for row, tokens in cut.items():
        reasons[row].append(f"a trainer would cut it: {tokens:,} tokens, at most {lengths.limit:,}")
    for row, head in enumerate(heads):
        if not head and not pairs:
            reasons[row].append("empty text")
        if report.labels and not report.labels[row]:
            reasons[row].append("no label")
    if lengths:
        report.measures["cut"] = len(cut) / report.count
        most = f"{lengths.limit:,} tokens"
        says = f"{len(cut):,} rows are longer than {most}: a trainer would cut off their ends."
        if lengths.counted == COUNTED:
            counted = f"counted in {COUNTED:,} long rows"
            says += f" Tokens were {counted} and estimated from the characters of others."
        report.findings.append(Finding("Length", says))
    if pairs:
        pushes(report, every, lengths, reasons)
    elif report.labels:
        _labels(report, prior, [(row, item) for _, row, item in kept], lengths)
    report.measures["empty"] = sum("empty text" in why for why in reasons.values()) / report.count
    for row, why in sorted(reasons.items()):
        lost = all(one.startswith(LOST) for one in why)
        report.advice[row] = ("drop" if lost else "look", why)
    advised = Counter(row["advice"] for row in report.rows())
    keep, drop, look = (advised[one] for one in ("keep", "drop", "look"))
    says = f"Keep {keep:,} rows, drop {drop:,}, look at {look:,} (each with its reason)."
    report.findings.insert(0, Finding("Advice", says))
    return report


def _common_heading(report: Report, guesses: list[str]) -> list[str]:
    """The word after the heading with which nearly all answers begin (`Level: RED …`), as labels; else none."""
    heading, times = Counter(one.rpartition(":")[0] for one in guesses).most_common(1)[0]
    labels, lacks = [], "nothing is said of skew and of label prediction"
    says = f"There is no label, so {lacks}. Name one with --label COLUMN."
    if any(guesses) and len(set(guesses)) <= MOST_LABELS and times >= 0.9 * report.count:
        how = f"the word after “{heading}:” in the answer" if heading else "the answer itself, which is short"
        says = f"No label column is named; taken as label: {how}."
        labels = [one.rpartition(":")[2].strip() for one in guesses]
    report.findings.append(Finding("Label", says))
    return labels


def _copies(
    report: Report, texts: np.ndarray, answers: np.ndarray, bags: sparse.csr_matrix, pairs: bool
) -> defaultdict[int, list[str]]:
    """Exact and near copies and contradictions: the reasons they are for each row, and their findings."""
    reasons: defaultdict[int, list[str]] = defaultdict(list)
    what = "side is preferred" if pairs else "label" if report.labels else "answer"
    codes = np.unique(report.labels or answers, return_inverse=True)[1]
    if report.labels:
        codes[[not one for one in report.labels]] = -1
    # for each row the other one that it repeats, nearly repeats or contradicts, or −1
    _, first, which = np.unique(texts, return_index=True, return_inverse=True)
    original = np.where(first[which] < np.arange(report.count), first[which], -1)
    different, near = np.sort(first), np.full(report.count, -1)
    partner = copies.near_partner(bags[different])
    near[different] = np.where(partner >= 0, different[partner], -1)
    against = copies.contradictions(texts, codes)
    for row in np.flatnonzero(against >= 0).tolist():
        reasons[row].append(f"contradicts row {against[row] + 1}: same text, another {what}")
    for row in np.flatnonzero((original >= 0) & (against < 0)).tolist():
        reasons[row].append(f"repeats row {original[row] + 1}")
    for row in np.flatnonzero(near >= 0).tolist():
        same = codes[row] == codes[near[row]] or not report.labels
        reasons[row].append(f"nearly {'repeats' if same else 'contradicts'} row {near[row] + 1}")
    says = {
        "exact_copies": f"of {report.count:,} rows repeat an earlier row (case and spaces do not count): "
        f"{len(different):,} are different.",
        "near_copies": f"of the different rows share {copies.NEAR:.0%} of their words with an earlier one. "
        "Read them: one word may decide.",
        "contradictions": f"of {report.count:,} rows have a text that stands elsewhere with another {what}. "
        "No model can be right about both.",
    }
    labels = report.labels or [""] * report.count
    for (name, rest), other in zip(says.items(), (original, near, against), strict=True):
        found = np.flatnonzero(other >= 0).tolist()
        report.measures[name] = len(found) / report.count
        table = [("row", "text", "label", "other row", "its text", "its label")] if found else []
        for row in found[:5]:
            one, its = ((n + 1, report.heads[n], labels[n]) for n in (row, int(other[row])))
            table.append((*one, *its))
        title = name.replace("_", " ").capitalize()
        report.findings.append(Finding(title, f"{len(found):,} {rest}", table))
    return reasons


def _labels(
    report: Report, prior: dict[str, float] | None, kept: list[tuple[int, Item]], lengths: Lengths | None
) -> None:
    """Skew, what the label can be of the loss, and whether it follows from the text."""
    counts = Counter(one for one in report.labels if one)
    labelled = counts.total()
    report.measures["unlabelled"] = 1 - labelled / report.count
    if not counts or len(counts) > MOST_LABELS:
        says = "different labels: this is no column of labels, so nothing more is said of it."
        report.findings.append(Finding("Skew", f"{len(counts):,} {says}"))
        return
    if prior and (unknown := set(counts) ^ set(prior)):
        what = f"--prior and the labels differ in: {', '.join(sorted(unknown))}"
        raise LabError(f"{what}. Name every label once.")
    expected = prior or dict.fromkeys(counts, 1 / len(counts))
    gaps = {one: n / labelled - expected[one] for one, n in counts.items()}
    most = max(gaps, key=lambda one: abs(gaps[one]))
    report.measures["skew"] = abs(gaps[most])
    far = f"Farthest from {'the chosen prior' if prior else 'equal shares'}: {most} ({gaps[most]:+.1%})."
    table = [("label", "rows", "share", "expected")]
    for one, n in counts.most_common():
        table.append((one, f"{n:,}", f"{n / labelled:.1%}", f"{expected[one]:.1%}"))
    says = f"{report.count - labelled:,} rows have no label. {far}"
    report.findings.append(Finding("Skew", says, table))
    if lengths and kept:
        nats = entropy([one for one in report.labels if one])
        answers = [item.answer or report.labels[row] for row, item in kept]
        tokens = float(np.mean(lengths.of(answers))) + lengths.frame[1]
        report.measures |= {"label_entropy": nats, "answer_tokens": tokens, "label_loss": nats / tokens}
        says = (
            f"A model that knows only how frequent each label is pays {nats:.2f} nats for it. Spread over "
            f"{tokens:.0f} trained tokens an answer that is {nats / tokens:.4f}: your loss may look like "
            f"{nats / tokens:.2g}, and the model know nothing of the label."
        )
        report.findings.append(Finding("The label's share of the loss", says))
    report.findings.append(Finding("Does the label follow from the text?", _prediction(report, kept)))


def _prediction(report: Report, kept: list[tuple[int, Item]]) -> str:
    """Is the label predictable from the words, better than shuffled labels are (notebook 03)?"""
    one_each = {item.text[:1000]: report.labels[row] for row, item in kept if report.labels[row]}
    often = Counter(one_each.values())
    texts = [text for text, label in one_each.items() if often[label] >= 5]
    labels = [one_each[text] for text in texts]
    try:
        with warnings.catch_warnings(action="ignore"):  # scikit-learn's, of labels with few families
            groups = families(texts)
            score = predictability(labels, guess_new_texts(texts, labels, groups), groups)
            dealt = [np.random.default_rng(n).permutation(labels) for n in range(5)]
            chance = [balanced_accuracy_score(d, guess_new_texts(texts, d, groups)) for d in dealt]
    except ValueError as error:
        why = str(error).splitlines()[0].rstrip(".")
        return f"Not tried: {why} ({len(texts):,} different labelled texts)."
    report.measures["label_follows"] = score.low - max(chance)
    verdict = "does" if score.low > max(chance) else "is not shown to"
    return (
        "A classifier of words, tried on texts unlike those it learnt from, reaches a balanced accuracy of "
        f"{score}; with shuffled labels {min(chance):.1%} to {max(chance):.1%}. The label {verdict} follow from the "
        f"words. Tried on {len(texts):,} different texts drawn at random from {report.count:,} rows."
    )
