"""Exact and near duplicates, overlap between splits, distinct-n and entropy, label conflict and the ceiling it puts on accuracy."""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from datasketch import MinHash, MinHashLSH

from helpers.audit.phrases import words
from helpers.cases import Example

SHINGLE = 5  # characters
NEAR = 0.8  # Jaccard similarity from which two texts count as near duplicates
PERMUTATIONS = 128


def duplicate_rate(texts: Sequence[str]) -> float:
    """Share of rows that repeat an earlier row to the letter: 1 − unique/total (0.8072 in the blog)."""
    return 1 - len(set(texts)) / len(texts) if texts else 0.0


def shingles(text: str) -> set[str]:
    """Character 5-grams of a text's words: what two texts are compared by."""
    plain = " ".join(words(text))
    return {plain[i : i + SHINGLE] for i in range(max(1, len(plain) - SHINGLE + 1))}


def jaccard(a: str, b: str) -> float:
    """Exact Jaccard similarity of two texts' character 5-gram sets, in 0…1."""
    one, two = shingles(a), shingles(b)
    return len(one & two) / len(one | two)


def _sketch(text: str) -> MinHash:
    sketch = MinHash(num_perm=PERMUTATIONS, seed=1)
    sketch.update_batch([shingle.encode() for shingle in shingles(text)])
    return sketch


def near_pairs(
    texts: Sequence[str], against: Sequence[str] | None = None, threshold: float = NEAR
) -> list[tuple[int, int]]:
    """Pairs of near-duplicate texts, found by MinHash LSH (Broder 1997) and confirmed by exact Jaccard similarity.

    Args:
        texts: the texts to look up.
        against: the texts to look among; None compares `texts` with itself (each pair once, i < j).

    Returns:
        (index in `texts`, index in `against`) for every confirmed pair.
    """
    pool = texts if against is None else against
    index = MinHashLSH(threshold=threshold * 0.9, num_perm=PERMUTATIONS)
    sketches = [_sketch(text) for text in pool]
    with index.insertion_session() as session:
        for number, sketch in enumerate(sketches):
            session.insert(number, sketch)
    queries = sketches if against is None else [_sketch(text) for text in texts]
    pairs = (
        (i, j) for i, query in enumerate(queries) for j in index.query(query) if against is not None or i < j
    )
    return sorted((i, j) for i, j in pairs if jaccard(texts[i], pool[j]) >= threshold)


def near_duplicate_rate(texts: Sequence[str], threshold: float = NEAR) -> float:
    """Share of *distinct* texts that have a near duplicate among the other distinct texts."""
    distinct = sorted(set(texts))
    touched = {index for pair in near_pairs(distinct, threshold=threshold) for index in pair}
    return len(touched) / len(distinct) if distinct else 0.0


def distinct_n(texts: Sequence[str], n: int) -> float:
    """Distinct word n-grams over all word n-grams (Li et al. 2016): 1 is never repeating, 0 is one phrase over and over."""
    grams = [tuple(tokens[i : i + n]) for tokens in map(words, texts) for i in range(len(tokens) - n + 1)]
    return len(set(grams)) / len(grams) if grams else 0.0


def entropy(items: Iterable[str]) -> float:
    """Shannon entropy of the items' empirical distribution, in nats."""
    counts = Counter(items)
    total = sum(counts.values())
    return -sum(count / total * math.log(count / total) for count in counts.values()) if total else 0.0


@dataclass(frozen=True)
class LabelConflict:
    """How far the labels contradict each other.

    Attributes:
        prompts: distinct prompts.
        conflicting: distinct prompts that carry more than one label.
        ceiling: accuracy of the best possible classifier of these rows: every prompt answered with its commonest label.
        shuffled_ceiling: the same after the labels have been dealt anew at random, mean over the shuffles.
        majority: accuracy of always giving the commonest label.
    """

    prompts: int
    conflicting: int
    ceiling: float
    shuffled_ceiling: float
    majority: float

    @property
    def conflict_rate(self) -> float:
        """Share of distinct prompts with more than one label."""
        return self.conflicting / self.prompts if self.prompts else 0.0

    @property
    def information(self) -> float:
        """What knowing the prompt is worth, from 0 (no more than chance would give) to 1 (labels follow from prompts).

        (ceiling − shuffled ceiling) / (1 − shuffled ceiling). When prompts hardly repeat, shuffling changes nothing, because any
        labels can be memorised; the figure is then 0 over 0 and reported as 1: nothing speaks against the labels.
        """
        room = 1 - self.shuffled_ceiling
        return 1.0 if room < 1e-9 else max(0.0, (self.ceiling - self.shuffled_ceiling) / room)


def _ceiling(texts: Sequence[str], labels: Sequence[str]) -> float:
    by_text: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for text, label in zip(texts, labels, strict=True):
        by_text[text][label] += 1
    return sum(max(counts.values()) for counts in by_text.values()) / len(texts)


def label_conflict(
    texts: Sequence[str], labels: Sequence[str], shuffles: int = 20, seed: int = 0
) -> LabelConflict:
    """Do the labels follow from the prompts? The one check that would have stopped the blog's training run.

    A classifier sees only the prompt, so rows that share a prompt share an answer. Dealing the labels anew at random keeps prompts and
    label shares and destroys every link between them: if the ceiling does not fall, there was no link to destroy.
    """
    if not texts:
        return LabelConflict(0, 0, 0.0, 0.0, 0.0)
    by_text: defaultdict[str, set[str]] = defaultdict(set)
    for text, label in zip(texts, labels, strict=True):
        by_text[text].add(label)
    rng = random.Random(seed)
    dealt = [_ceiling(texts, rng.sample(labels, len(labels))) for _ in range(shuffles)]
    return LabelConflict(
        prompts=len(by_text),
        conflicting=sum(len(given) > 1 for given in by_text.values()),
        ceiling=_ceiling(texts, labels),
        shuffled_ceiling=sum(dealt) / len(dealt),
        majority=max(Counter(labels).values()) / len(labels),
    )


def conflict_of(examples: Sequence[Example], shuffles: int = 20) -> LabelConflict:
    """`label_conflict` of a set of examples."""
    return label_conflict([row.text for row in examples], [row.level for row in examples], shuffles)
