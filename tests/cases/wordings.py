"""What the micro-world's wordings are like, counted: who speaks, how, and does a single word tell the level?

What each count means is written down in data/README.md; the quotas are in test_world.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from statistics import median
from typing import NamedTuple

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer

from helpers.audit.phrases import words
from helpers.cases import Finding
from helpers.triage import LEVELS, strip_accents

_COUNTED = (
    r"(?:un|una|dos|tres|cuatro|cinco|seis|siete|ocho|nueve|diez|doce|quince|veinte|treinta|cuarenta|media"
    r"|varios|varias|unos|unas)"
)
_UNIT = r"(?:minut\w*|horas?|ratos?|d[ií]as?|noches?|semanas?|mes(?:es)?|a[nñ]os?)"
_FIGURE = re.compile(
    rf"\d|\b{_COUNTED} {_UNIT}\b|\bdesde (?:ayer|anoche|hoy|anteayer|ayer|el|la|las|esta|hace)\b",
    re.IGNORECASE,
)
_NEGATION = re.compile(r"\b(?:no|ni|sin|nunca|tampoco|niega|nada|ning[uú]n\w*)\b", re.IGNORECASE)
_AGE = re.compile(r"\b\d{1,3}\b|\b(?:años|añitos|meses|semanas|días|dias|anos)\b", re.IGNORECASE)
# Letters for words, as on a phone. Forms that are also words of their own (a, te, si) are not in it.
_SHORT = frozenset(
    words(
        "q xq pq xk k ke d x toy tas pa tb tmb bn mñn dsd cn m xa kiero aki ai haci asi tngo stoy hno hna bb "
        "ntp ps nomas"
    )
)
# Without the accent these are other words, so a missing accent cannot be told from the letters alone.
_BOTH = frozenset(
    words(
        "esta este mas si el tu mi se de te que como cuando donde quien cual solo aun papa ano estas hacia "
        "seria paso tomo llamo dolio entro salio tome llame ando halla sabia hablo peso bajo llego comio "
        "corto tenia continuo practico publico numero ultimo medico termino deposito"
    )
)


def _without_known_accents(texts: Iterable[str]) -> frozenset[str]:
    """Words that these texts write with an accent, as they look without it."""
    pairs = {(word, strip_accents(word)) for text in texts for word in words(text) if "ñ" not in word}
    return frozenset(bare for word, bare in pairs if bare != word)


def profile(findings: Iterable[Finding], split: str = "train") -> dict[str, float]:
    """Shares of the wordings of a split, in 0…1 (negation by level), and their median length in words."""
    rows = [(finding, wording) for finding in findings for wording in finding.wordings[split]]
    typed = _SHORT | _without_known_accents(wording.text for _, wording in rows) - _BOTH
    counts = {
        "first person": [wording.voice == "yo" for _, wording in rows],
        "figure": [bool(_FIGURE.search(wording.text)) for _, wording in rows],
        "typed as on a phone": [bool(typed.intersection(words(wording.text))) for _, wording in rows],
        "several": [wording.several for _, wording in rows],
        "age decides": [bool(finding.age_decides and _AGE.search(one.text)) for finding, one in rows],
    }
    for level in LEVELS:
        own = [wording for finding, wording in rows if finding.level == level]
        counts[f"negation, {level}"] = [bool(_NEGATION.search(wording.text)) for wording in own]
    shares = {name: sum(held) / len(held) for name, held in counts.items()}
    return shares | {"median words": median(len(words(wording.text)) for _, wording in rows)}


class Owned(NamedTuple):
    """A word or pair of words, how many texts hold it, and the level that has most of them."""

    phrase: str
    texts: int
    level: str
    share: float


def owned_phrases(texts: Sequence[str], labels: Sequence[str], at_least: int = 20) -> list[Owned]:
    """Words and pairs of words in `at_least` texts or more, the most one-sided first; no accents, no case."""
    counter = CountVectorizer(
        preprocessor=lambda text: strip_accents(text).lower(),
        token_pattern=r"\w+",
        ngram_range=(1, 2),
        min_df=at_least,
        binary=True,
    )
    held, labels = counter.fit_transform(texts).tocsc(), np.array(labels)
    by_level = np.vstack([held[labels == level].sum(axis=0) for level in LEVELS]).A
    rows = [
        Owned(phrase, int(counts.sum()), LEVELS[counts.argmax()], counts.max() / counts.sum())
        for phrase, counts in zip(counter.get_feature_names_out(), by_level.T, strict=True)
    ]
    return sorted(rows, key=lambda row: (-row.share, -row.texts))
