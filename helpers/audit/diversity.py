"""What a set of prompts and labels is worth: copies, contradictions, entropy, predictability.

Notebook 03 shows each of these functions in a cell. None of them knows what a right label is.
"""

import math
import re
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np
from datasketch import MinHash, MinHashLSH
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline

from helpers.statistics import Rate, bootstrap


def duplicate_rate(texts: Sequence[str]) -> float:
    """Share of rows that repeat an earlier row to the letter: 1 − unique/total (0.8072 in the blog)."""
    return 1 - len(set(texts)) / len(texts) if texts else 0.0


def entropy(labels: Sequence[str]) -> float:
    """Entropy of the labels' shares in nats: Σ p·ln(1/p) (Shannon 1948). 0 for a constant or no labels."""
    shares = [count / len(labels) for count in Counter(labels).values()]
    return sum(share * math.log(1 / share) for share in shares)


def conflicting(texts: Sequence[str], labels: Sequence[str]) -> list[str]:
    """The distinct texts that carry more than one label, in order of first appearance."""
    labels_of = {}
    for text, label in zip(texts, labels, strict=True):
        labels_of.setdefault(text, set()).add(label)
    return [text for text, several in labels_of.items() if len(several) > 1]


def shingles(text: str, size: int = 5) -> set[str]:
    """Every run of `size` characters in a text; case and punctuation do not count."""
    plain = " ".join(re.findall(r"\w+", text.lower()))
    return {plain[i : i + size] for i in range(max(1, len(plain) - size + 1))}


def jaccard(one: str, other: str) -> float:
    """Similarity of two texts in 0…1: the shingles they share over all their shingles."""
    a, b = shingles(one), shingles(other)
    return len(a & b) / len(a | b)


def sketch(text: str, permutations: int = 128) -> MinHash:
    """A text's MinHash (Broder 1997): the smallest of each of `permutations` hashes over its shingles."""
    minima = MinHash(num_perm=permutations, seed=1)
    minima.update_batch([piece.encode() for piece in shingles(text)])
    return minima


def near_pairs(
    texts: Sequence[str], against: Sequence[str] | None = None, threshold: float = 0.8
) -> list[tuple[int, int]]:
    """Pairs of similar texts: candidates from an LSH index of sketches, kept if their exact Jaccard is high.

    The index is asked for a little less than the threshold, because a sketch only estimates the similarity.
    It can still miss a pair.

    Args:
        texts: the texts to look up; distinct ones, since every pair of copies is a pair.
        against: the texts to look among; None compares `texts` with itself (each pair once, i < j).

    Returns:
        (index in `texts`, index in `against`) of every pair, sorted.
    """
    pool = texts if against is None else against
    index = MinHashLSH(threshold=0.9 * threshold, num_perm=128)
    sketches = [sketch(text) for text in pool]
    for number, one in enumerate(sketches):
        index.insert(number, one)
    queries = sketches if against is None else [sketch(text) for text in texts]
    candidates = [(i, j) for i, query in enumerate(queries) for j in index.query(query)]
    if against is None:
        candidates = [(i, j) for i, j in candidates if i < j]
    return sorted((i, j) for i, j in candidates if jaccard(texts[i], pool[j]) >= threshold)


def families(texts: Sequence[str], threshold: float = 0.6) -> list[int]:
    """Chains of texts that say nearly the same: for every text the number of its family's first one.

    The threshold is lower than for counting near copies: a family that is too large costs a little data, one
    that is too small lets a copy of a training text into the test.
    """
    family = list(range(len(texts)))

    def first(i):
        while family[i] != i:
            i = family[i]
        return i

    for i, j in near_pairs(texts, threshold=threshold):
        low, high = sorted((first(i), first(j)))
        family[high] = low
    return [first(i) for i in range(len(texts))]


def guess_new_texts(texts: Sequence[str], labels: Sequence[str], groups: Sequence[Hashable]) -> np.ndarray:
    """The label that word counts let a classifier guess, learnt from other families (5 folds).

    Raises ValueError: scikit-learn's, with fewer than five groups or a single label.
    """
    classifier = make_pipeline(
        TfidfVectorizer(sublinear_tf=True, strip_accents="unicode"),
        LogisticRegression(class_weight="balanced", max_iter=1000),
    )
    folds = StratifiedGroupKFold(n_splits=5, shuffle=True, random_state=0)
    return cross_val_predict(classifier, texts, labels, groups=groups, cv=folds)


def predictability(labels: Sequence[str], guesses: Sequence[str], groups: Sequence[Hashable]) -> Rate:
    """Balanced accuracy of the guesses: the share guessed right at each label, averaged over the labels.

    The interval (95 %, percentile bootstrap) draws whole families, because texts of one family are right or
    wrong together; `n` counts families.
    """
    codes = np.unique(labels, return_inverse=True)[1]
    right = np.array(labels) == np.array(guesses)

    def mean_recall(sample):
        rows = np.concatenate(sample)
        totals = np.bincount(codes[rows])
        hits = np.bincount(codes[rows], weights=right[rows])
        return float(np.mean(hits[totals > 0] / totals[totals > 0]))

    members = [np.flatnonzero(np.array(groups) == group) for group in sorted(set(groups))]
    return replace(bootstrap(members, mean_recall), counted="families")
