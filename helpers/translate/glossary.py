"""The glossary (`data/glossary.yaml`): what a medical term must become in a country's Spanish, and must not.

Matching is by whole words, singular or plural, whatever their case and accents.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import Field, model_validator

from helpers.files import DATA, Row, bad_entry, check_entry, read_yaml
from helpers.triage import strip_accents

COUNTRIES = ("ES", "MX", "GT")  # those whose regional terms are on file


class Term(Row):
    """One entry: English, accepted Spanish (first what to write), what to avoid, a country's own words.

    `unless`: phrases in which the words mean something else ("heat stroke", "número de emergencias").
    """

    kind: Literal["drug", "brand", "place", "unit", "term"]
    en: tuple[str, ...] = Field(min_length=1)
    es: tuple[str, ...] = Field(min_length=1)
    avoid: tuple[str, ...] = ()
    regional: dict[Literal["ES", "MX", "GT"], str] = Field({})
    unless: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        clash = set(map(fold, (*self.es, *self.regional.values()))) & set(map(fold, self.avoid))
        if clash:
            raise ValueError(f"{clash.pop()!r} is both accepted and to be avoided")
        return self

    def accepted(self, country: str) -> tuple[str, ...]:
        """What may stand in a text for this country: what to write first, and no other country's word."""
        return tuple(dict.fromkeys((self.regional.get(country, self.es[0]), *self.es)))

    def rule(self, country: str) -> str:
        """The entry as a line for a teacher: "acetaminophen → paracetamol (never acetaminofén)"."""
        never = f" (never {', '.join(self.avoid)})" if self.avoid else ""
        return f"{' / '.join(self.en)} → {self.accepted(country)[0]}{never}"

    def blank(self, text: str) -> str:
        """`text` with the `unless` phrases overwritten by spaces of the same length."""
        return whole_words(self.unless).sub(lambda found: " " * len(found[0]), text)


@lru_cache(maxsize=4096)
def fold(text: str) -> str:
    """Lower case without accents, character for character: positions are those of the NFC form of `text`."""
    pairs = ((char, strip_accents(char).lower()) for char in unicodedata.normalize("NFC", text))
    return "".join(plain if len(plain) == 1 else char for char, plain in pairs)


@cache
def whole_words(spellings: Sequence[str], suffix: str = "(?:s|es)?") -> re.Pattern[str]:
    """Any spelling as whole words of a folded text, singular or plural; a hyphen is as good as a space."""
    alternatives = []
    for spelling in sorted(spellings, key=len, reverse=True):
        words = re.split(r"[-\s]+", fold(spelling))
        alternatives.append(r"[-\s]+".join(re.escape(word) + suffix for word in words))
    return re.compile(rf"(?<!\w)(?:{'|'.join(alternatives)})(?!\w)" if alternatives else r"(?!)")


def find_spanish(spellings: Sequence[str], spanish: str) -> list[tuple[int, int]]:
    """Where any of these Spanish terms stands in a text, as (start, end) in its NFC form."""
    return [found.span() for found in whole_words(tuple(spellings)).finditer(fold(spanish))]


class Glossary:
    """The terms, ready to be looked up by any of their English spellings, singular or plural."""

    def __init__(self, terms: Sequence[Term]) -> None:
        self.terms = tuple(terms)
        self._by_form: dict[str, Term] = {}
        for term in self.terms:
            for singular in (re.sub(r"[-\s]+", " ", fold(spelling)) for spelling in term.en):
                plurals = singular + "s", singular + "es", re.sub(r"(?<=[^aeiou])y$", "ies", singular)
                self._by_form |= dict.fromkeys((singular, *plurals), term)
        self._english = whole_words(tuple(self._by_form), suffix="")

    def used(self, english: str) -> list[Term]:
        """The terms of an English text in order of first use; of two that overlap, the longer one."""
        plain, terms = fold(english), []
        for found in self._english.finditer(plain):
            term = self._by_form[re.sub(r"[-\s]+", " ", found[0])]
            if term not in terms and term.blank(plain)[found.start() : found.end()] == found[0]:
                terms.append(term)
        return terms


def glossary_problems(english: str, spanish: str, country: str) -> list[str]:
    """The rules that a translation breaks: the wanted word is missing, or one to avoid stands there."""
    problems = []
    for term in glossary().used(english):
        text = term.blank(fold(spanish))
        right, wrong = whole_words(term.accepted(country)), whole_words(term.avoid)
        if not right.search(text) or wrong.search(right.sub(" ", text)):
            problems.append(f"the glossary says {term.rule(country)}")
    return problems


def load_glossary(path: Path) -> Glossary:
    """Read a glossary; LabError names file, line and field of a malformed entry or a repeated spelling."""
    rows = read_yaml(path)
    nodes = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader).value
    terms, seen = [], {}
    for row, node in zip(rows, nodes, strict=True):
        where = f"line {node.start_mark.line + 1}"
        terms.append(check_entry(Term, row, path, where))
        for spelling in map(fold, terms[-1].en):
            if spelling in seen:
                raise bad_entry(path, where, "en", f"{spelling!r} is already a term in {seen[spelling]}")
            seen[spelling] = where
    return Glossary(terms)


@cache
def glossary() -> Glossary:
    """The shipped glossary."""
    return load_glossary(DATA / "glossary.yaml")
