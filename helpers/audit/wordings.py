"""What the micro-world's wordings are like, counted: who speaks, how, and does a single word tell the level?

What each count means is written down in data/README.md; the quotas are in tests/cases/test_world.py.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

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


@dataclass(frozen=True)
class Profile:
    """Shares of a set of wordings, in 0…1, and their median length in words."""

    n: int
    first_person: float
    figure: float
    phone_typing: float
    several: float
    age_decides: float
    negation: dict[str, float]
    median_words: float


def accented_words(texts: Iterable[str]) -> frozenset[str]:
    """Words that these texts write with an accent, as they look without it."""
    return frozenset(
        strip_accents(word)
        for text in texts
        for word in words(text)
        if strip_accents(word) != word and "ñ" not in word
    )


def phone_typed(text: str, accented: frozenset[str]) -> bool:
    """Is it typed as on a phone: letters for words, or a word without its known accent?"""
    found = words(text)
    return any(word in _SHORT or (word in accented and word not in _BOTH) for word in found)


def profile(findings: Iterable[Finding], split: str = "train") -> Profile:
    """Count the wordings of a split."""
    rows = [(finding, wording) for finding in findings for wording in finding.wordings[split]]
    accented = accented_words(wording.text for _, wording in rows)

    def share(of: Iterable[bool]) -> float:
        held = list(of)
        return sum(held) / len(held) if held else 0.0

    return Profile(
        n=len(rows),
        first_person=share(wording.voice == "yo" for _, wording in rows),
        figure=share(bool(_FIGURE.search(wording.text)) for _, wording in rows),
        phone_typing=share(phone_typed(wording.text, accented) for _, wording in rows),
        several=share(wording.several for _, wording in rows),
        age_decides=share(
            finding.age_decides and bool(_AGE.search(wording.text)) for finding, wording in rows
        ),
        negation={
            level: share(bool(_NEGATION.search(w.text)) for f, w in rows if f.level == level)
            for level in LEVELS
        },
        median_words=median(len(words(wording.text)) for _, wording in rows) if rows else 0,
    )


@dataclass(frozen=True)
class Owned:
    """A word or pair of words, how many texts hold it, and the level that has most of them."""

    phrase: str
    texts: int
    level: str
    share: float


def owned_phrases(texts: Sequence[str], labels: Sequence[str], at_least: int = 20) -> list[Owned]:
    """Words and pairs of words in `at_least` texts or more, the most one-sided first; no accents, no case."""
    by_level: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for text, label in zip(texts, labels, strict=True):
        found = words(strip_accents(text))
        for phrase in {*found, *(f"{one} {two}" for one, two in pairwise(found))}:
            by_level[phrase][label] += 1
    rows = []
    for phrase, counts in by_level.items():
        level, most = counts.most_common(1)[0]
        if counts.total() >= at_least:
            rows.append(Owned(phrase, counts.total(), level, most / counts.total()))
    return sorted(rows, key=lambda row: (-row.share, -row.texts))
