"""The glossary: which Spanish a medical term must become, in which country, and what it must not become.

`data/glossary.yaml` holds the terms. Matching is by whole words, without regard to case, and on the Spanish side without regard to
accents; plurals are understood. Of two English terms that overlap the longer one counts ("heart failure" is no "failure").
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

import yaml

from helpers.files import DATA, LabError, read_yaml
from helpers.triage import strip_accents

KINDS = ("drug", "brand", "place", "unit", "term")
COUNTRIES = ("ES", "MX", "GT")  # those whose regional terms are on file


@dataclass(frozen=True)
class Term:
    """One entry: English spellings, accepted Spanish (the first is what to write), what to avoid, and what a country says instead.

    `unless` lists phrases of either language in which the words mean something else ("heat stroke", "número de emergencias").
    """

    kind: str
    en: tuple[str, ...]
    es: tuple[str, ...]
    avoid: tuple[str, ...] = ()
    regional: dict[str, str] = field(default_factory=dict)
    unless: tuple[str, ...] = ()

    def preferred(self, country: str) -> str:
        """What to write in this country."""
        return self.regional.get(country, self.es[0])

    def accepted(self, country: str) -> tuple[str, ...]:
        """What may stand in a text for this country, its own word first; another country's word is not among them."""
        return tuple(dict.fromkeys((self.preferred(country), *self.es)))

    @cached_property
    def _unless(self) -> re.Pattern[str] | None:
        return _phrases(self.unless) if self.unless else None

    def blank(self, text: str) -> str:
        """`text` with the `unless` phrases overwritten by spaces of the same length."""
        return self._unless.sub(lambda found: " " * len(found[0]), text) if self._unless else text


@dataclass(frozen=True)
class Match:
    """A term found in a text: `text[start:end]` of the folded text (same length as the NFC text)."""

    term: Term
    start: int
    end: int


def fold(text: str) -> str:
    """Lower case without accents, character for character: positions are those of the NFC form of `text`."""
    plain = []
    for char in unicodedata.normalize("NFC", text):
        folded = strip_accents(char).lower()
        plain.append(folded if len(folded) == 1 else char)
    return "".join(plain)


def _english_forms(spelling: str) -> Iterable[str]:
    """The spelling and its plurals, words separated by one space."""
    singular = re.sub(r"[-\s]+", " ", fold(spelling))
    yield singular
    yield singular + "s"
    yield singular + "es"
    if re.search(r"[^aeiou]y$", singular):
        yield singular[:-1] + "ies"


def _phrases(spellings: Iterable[str], suffix: str = "(?:s|es)?") -> re.Pattern[str]:
    """Any of the spellings as whole words, each word in singular or plural, spaces and hyphens interchangeable."""
    alternatives = []
    for spelling in sorted(spellings, key=len, reverse=True):
        words = re.split(r"[-\s]+", fold(spelling))
        alternatives.append(r"[-\s]+".join(re.escape(word) + suffix for word in words))
    return re.compile(rf"(?<!\w)(?:{'|'.join(alternatives)})(?!\w)")


class Glossary:
    """The terms, ready to be looked up."""

    def __init__(self, terms: Sequence[Term]) -> None:
        self.terms = tuple(terms)
        self._by_form = {
            form: term for term in self.terms for spelling in term.en for form in _english_forms(spelling)
        }
        self._english = _phrases(self._by_form, suffix="") if self._by_form else None

    def find(self, english: str) -> list[Match]:
        """The terms an English text uses, in order; overlapping ones count once, the longer first."""
        if self._english is None:
            return []
        plain, matches = fold(english), []
        for found in self._english.finditer(plain):
            term = self._by_form[re.sub(r"[-\s]+", " ", found[0])]
            if term.blank(plain)[found.start() : found.end()] == found[0]:
                matches.append(Match(term, found.start(), found.end()))
        return matches

    def used(self, english: str) -> list[Term]:
        """The distinct terms of an English text, in order of first use."""
        return list({id(match.term): match.term for match in self.find(english)}.values())


@cache
def _spanish(spellings: tuple[str, ...]) -> re.Pattern[str]:
    return _phrases(spellings)


def find_spanish(spellings: Sequence[str], spanish: str) -> list[tuple[int, int]]:
    """Where any of these Spanish terms stands in a text, as (start, end) in its NFC form."""
    return [found.span() for found in _spanish(tuple(spellings)).finditer(fold(spanish))] if spellings else []


def term_problems(term: Term, spanish: str, country: str) -> list[str]:
    """What a translation got wrong about one term that its source uses; empty when nothing."""
    text = term.blank(fold(spanish))
    right = find_spanish(term.accepted(country), text)
    wrong = [
        (start, end)
        for start, end in find_spanish(term.avoid, text)
        if not any(start < stop and begin < end for begin, stop in right)
    ]
    problems = [f"“{spanish_slice(spanish, span)}” must not be used for “{term.en[0]}”" for span in wrong[:1]]
    if not right or wrong:
        problems.append(f"“{term.en[0]}” must be “{term.preferred(country)}”")
    return problems


def spanish_slice(spanish: str, span: tuple[int, int]) -> str:
    """The text at a span of the NFC form."""
    return unicodedata.normalize("NFC", spanish)[span[0] : span[1]]


def highlights(english: str, spanish: str, country: str, using: Glossary | None = None) -> tuple[list, list]:
    """Spans of glossary terms for a side-by-side view: two lists of (start, end, kind), English and Spanish, in NFC positions.

    On the Spanish side `kind` is the term's kind, or "avoid" for a word that must not be there.
    """
    matches = (using or glossary()).find(english)
    left = [(match.start, match.end, match.term.kind) for match in matches]
    right: dict[tuple[int, int], str] = {}
    for term in {id(match.term): match.term for match in matches}.values():
        right |= dict.fromkeys(find_spanish(term.avoid, spanish), "avoid")
        right |= dict.fromkeys(find_spanish(term.accepted(country), spanish), term.kind)
    return left, sorted((start, end, kind) for (start, end), kind in right.items())


# ------------------------------------------------------------------------------------------------------------ loading
def load_glossary(path: Path) -> Glossary:
    """Read and check a glossary.

    Raises:
        LabError: an entry is malformed or an English spelling occurs twice; the message names file, line and field.
    """
    rows = read_yaml(path)
    tree = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    if not isinstance(rows, list) or not rows:
        raise LabError(f"{path}:1: a glossary is a list of terms. See data/README.md for the format.")
    terms, seen = [], {}
    for row, node in zip(rows, tree.value, strict=True):
        line = node.start_mark.line + 1
        term = _term(row, f"{path}:{line}")
        for spelling in map(fold, term.en):
            if spelling in seen:
                raise LabError(
                    f"{path}:{line}: field `en`: {spelling!r} is already a term in line {seen[spelling]}."
                )
            seen[spelling] = line
        terms.append(term)
    return Glossary(terms)


def _term(row: object, where: str) -> Term:
    def fail(name: str, problem: str) -> LabError:
        return LabError(f"{where}: field `{name}`: {problem}. See data/README.md for the format.")

    if not isinstance(row, dict):
        raise fail("(entry)", "must be a mapping such as {kind: drug, en: [...], es: [...], avoid: [...]}")
    unknown = sorted(set(row) - {"kind", "en", "es", "avoid", "regional", "unless"}, key=str)
    if unknown:
        raise fail(str(unknown[0]), "is not a field of the glossary")
    if row.get("kind") not in KINDS:
        raise fail("kind", f"unknown kind {row.get('kind')!r}; one of {', '.join(KINDS)}")
    for name in ("en", "es", "avoid", "unless"):
        texts = row.get(name, [])
        if not isinstance(texts, list) or not all(isinstance(text, str) and text.strip() for text in texts):
            raise fail(name, "must be a list of non-empty texts")
        if name in ("en", "es") and not texts:
            raise fail(name, "must not be empty")
    regional = row.get("regional", {})
    if not isinstance(regional, dict) or not all(
        isinstance(text, str) and text.strip() for text in regional.values()
    ):
        raise fail("regional", "must map a country to a text")
    if unknown := sorted(set(regional) - set(COUNTRIES), key=str):
        raise fail("regional", f"unknown country {unknown[0]!r}; one of {', '.join(COUNTRIES)}")
    clash = {fold(text) for text in (*row["es"], *regional.values())} & {
        fold(text) for text in row.get("avoid", [])
    }
    if clash:
        raise fail("avoid", f"{clash.pop()!r} is both accepted and to be avoided")
    lists = {name: tuple(row.get(name, ())) for name in ("en", "es", "avoid", "unless")}
    return Term(kind=row["kind"], regional=dict(regional), **lists)


@cache
def glossary() -> Glossary:
    """The shipped glossary."""
    return load_glossary(DATA / "glossary.yaml")
