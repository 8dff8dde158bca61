"""Copies, near copies and contradictions among a million rows: numbers are kept of a text, not the text.

A text becomes a hash, and its words become a set of hashes. MinHash and LSH (notebook 03) propose pairs of
texts, the words themselves decide. It is notebook 03's method on words instead of letters, as arrays.
"""

import string
import unicodedata
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import csr_matrix

NEAR = 0.8  # words shared over all words: two changed of twenty are 18/22
MOST_WORDS = 128  # of a longer text those with the smallest hashes are kept: a random sample of its words
BANDS, IN_BAND = 20, 6  # find 99.9 % of pairs that share 0.82 of their words, 1 % of those that share a third
_RANDOM = np.random.default_rng(0).integers(1, 2**32, (2, BANDS * IN_BAND), np.uint32) | np.uint32(1)
_BITS = np.uint64(44)  # of a word's hash are sorted under its row; a chunk has fewer than 2²⁰ rows
_ODD = np.uint64(0x9E3779B97F4A7C15)


def normal(text: str) -> str:
    """A text without what makes no difference: case, kind and number of spaces, composition of accents."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def hashes(texts: Sequence[str]) -> np.ndarray:
    """A number of 64 bits for each text: among a million, two different ones agree once in 10⁷ times."""
    return pd.util.hash_array(np.array(texts, dtype=object), categorize=False)


def _spread(text: str) -> str:
    """Pairs of characters as words where a script has no spaces between words (Chinese, Japanese, Thai)."""
    if text.isascii() or text.count(" ") * 20 >= len(text) - 20:
        return text
    return " ".join(text[place : place + 2] for place in range(len(text)))


def _before(ordered: np.ndarray) -> np.ndarray:
    """How many equal values stand before each value of a sorted array."""
    place = np.arange(len(ordered))
    begins = np.r_[True, ordered[1:] != ordered[:-1]]
    return place - np.maximum.accumulate(np.where(begins, place, 0))


def bags(texts: Sequence[str]) -> csr_matrix:
    """For each normal text the set of its words' hashes, as a 0/1 matrix; a word's second time is another."""
    words = pc.split_pattern(pa.array([_spread(text) for text in texts], pa.large_string()), " ")
    coded = words.flatten().dictionary_encode()
    bare = pc.utf8_trim(coded.dictionary, string.punctuation + "¿¡«»“”‘’…–—。、，")
    bare = pc.if_else(pc.equal(bare, ""), coded.dictionary, bare)  # a row of dashes is a word of its own
    of_word = hashes(bare.to_numpy(zero_copy_only=False))[coded.indices.to_numpy()]
    row = np.repeat(np.arange(len(texts), dtype=np.uint64), pc.list_value_length(words).to_numpy())
    keys = np.sort((row << _BITS) | (of_word >> (np.uint64(64) - _BITS)))  # by row, then by word
    row, time = keys >> _BITS, _before(keys).astype(np.uint64)
    kept = _before(row) < MOST_WORDS
    word = (keys & ((np.uint64(1) << _BITS) - np.uint64(1))) + time
    column = ((word * _ODD) >> np.uint64(33)).astype(np.int32)[kept]
    starts = np.searchsorted(row[kept], np.arange(len(texts) + 1, dtype=np.uint64))
    bag = csr_matrix((np.ones(len(column), np.int8), column, starts), shape=(len(texts), 2**31 - 1))
    bag.sum_duplicates()
    return bag


def bands(bag: csr_matrix) -> np.ndarray:
    """MinHash (Broder 1997) of every row, its minima folded into `BANDS` numbers: (rows, BANDS)."""
    folded = np.zeros((bag.shape[0], BANDS), np.uint64)
    for low in range(0, bag.shape[0], 1000):  # a thousand rows at a time stay in the processor's cache
        part = bag[low : low + 1000]
        words = part.indices.astype(np.uint32) * np.uint32(0x9E3779B1)
        for number, (mask, factor) in enumerate(_RANDOM.T):
            minima = np.minimum.reduceat((words ^ mask) * factor, part.indptr[:-1])
            band = folded[low : low + 1000, number // IN_BAND]
            band *= _ODD
            band += minima
    return folded


def similarity(bag: csr_matrix, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Jaccard similarity of rows `one` with rows `other`; of very long texts an estimate."""
    sizes, shared = np.diff(bag.indptr), np.zeros(len(one))
    for low in range(0, len(one), 50_000):
        part = slice(low, low + 50_000)
        shared[part] = bag[one[part]].minimum(bag[other[part]]).getnnz(axis=1)
    return shared / (sizes[one] + sizes[other] - shared)


def near_partner(bag: csr_matrix) -> np.ndarray:
    """For each row an earlier one that shares `NEAR` of its words, or −1. Rows are different texts.

    Rows that agree in a band are compared with the first and with the previous one of their bucket only, so
    that ten thousand texts from one template take ten thousand comparisons and not fifty million.
    """
    partner = np.full(bag.shape[0], -1)
    for band in bands(bag).T:
        order = np.argsort(band, kind="stable")
        before = _before(band[order])
        again = np.flatnonzero(before)
        for back in (1, before[again]):
            rows, others = order[again], order[again - back]
            waiting = partner[rows] < 0
            rows, others = rows[waiting], others[waiting]
            near = similarity(bag, rows, others) >= NEAR
            partner[rows[near]] = others[near]
    return partner


def contradictions(texts: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """For each row the first row of the same text (hash) with another label (code; −1 is none), or −1."""
    rows = np.flatnonzero(labels >= 0)
    groups = pd.Series(labels[rows], index=rows).groupby(texts[rows])
    lowest, highest = (groups.transform(which).to_numpy(np.intp) for which in ("idxmin", "idxmax"))
    other = np.where(labels[rows] == labels[lowest], highest, lowest)
    partner = np.full(len(texts), -1)
    partner[rows] = np.where(labels[rows] != labels[other], other, -1)
    return partner
