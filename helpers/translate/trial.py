"""The checks on trial: mistakes planted in Spanish that is known to be right, and how many of them a check notices.

Three kinds are those that the checks were written for; four are what a careless translator does and no check looks for; the control is a change
that harms nobody. The reference Spanish is right by construction, so a planted mistake is a mistake whatever a teacher would have written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from statistics import fmean

from helpers.translate.checks import check_row, chrf
from helpers.translate.glossary import COUNTRIES, find_spanish, glossary
from helpers.translate.rows import Row

Fields = Mapping[str, str]
Mistake = Callable[[Row, Fields], dict[str, str] | None]
_NUMBER = re.compile(r"(?<![\w.,])\d+(?:[.,]\d+)?(?![\w.,]*\d)")
_OPPOSITES = {
    "más": "menos",
    "mayor": "menor",
    "mayores": "menores",
    "aumenta": "disminuye",
    "aumentan": "disminuyen",
    "eleva": "reduce",
    "reduce": "eleva",
    "antes": "después",
    "después": "antes",
    "alto": "bajo",
    "alta": "baja",
}
_SYNONYMS = {
    "medicamento": "fármaco",
    "medicamentos": "fármacos",
    "presión arterial": "tensión arterial",
    "falta de aire": "dificultad para respirar",
    "efecto secundario": "efecto adverso",
    "efectos secundarios": "efectos adversos",
    "insuficiencia cardíaca": "insuficiencia cardiaca",
    "zumo de pomelo": "jugo de pomelo",
}
_SYNONYM = re.compile(rf"\b({'|'.join(sorted(_SYNONYMS, key=len, reverse=True))})\b")
_OPPOSITE = re.compile(rf"\b({'|'.join(_OPPOSITES)})\b")
_NO = re.compile(r"\b(no) (\w)", re.IGNORECASE)


def row_chrf(spanish: Fields, reference: Fields) -> float:
    """chrF of one row in 0…100: its fields joined, against the reference's."""
    return chrf(["\n".join(spanish[column] for column in reference)], ["\n".join(reference.values())])


def _longest(row: Row) -> str:
    return max(row.fields, key=lambda column: len(row.fields[column]))


def forbidden_word(row: Row, spanish: Fields) -> dict[str, str] | None:
    """A glossary term replaced by a word that the glossary forbids."""
    column = _longest(row)
    for term in glossary().used(row.fields[column]):
        spans = find_spanish(term.accepted("ES"), spanish[column])
        if spans and term.avoid:
            start, end = spans[0]
            return {**spanish, column: spanish[column][:start] + term.avoid[0] + spanish[column][end:]}
    return None


def lost_number(row: Row, spanish: Fields) -> dict[str, str] | None:
    """The first number left out, its unit kept."""
    column = _longest(row)
    without = _NUMBER.sub("", spanish[column], count=1)
    return {**spanish, column: re.sub("  +", " ", without)} if without != spanish[column] else None


def left_in_english(row: Row, spanish: Fields) -> dict[str, str] | None:
    """The longest field not translated."""
    return {**spanish, _longest(row): row.fields[_longest(row)]}


def exchanged_numbers(row: Row, spanish: Fields) -> dict[str, str] | None:
    """Two different numbers of a text in each other's place."""
    column = _longest(row)
    found = list(_NUMBER.finditer(spanish[column]))
    pair = next(((a, b) for a, b in pairwise(found) if a[0] != b[0]), None)
    if pair is None:
        return None
    (a, b), text = pair, spanish[column]
    return {**spanish, column: text[: a.start()] + b[0] + text[a.end() : b.start()] + a[0] + text[b.end() :]}


def lost_sentence(row: Row, spanish: Fields) -> dict[str, str] | None:
    """The last sentence of a text of several left out."""
    column = _longest(row)
    sentences = re.split(r"(?<=[.!?])\s+(?=[A-ZÁÉÍÓÚÑ¿¡])", spanish[column])
    return {**spanish, column: " ".join(sentences[:-1])} if len(sentences) > 2 else None


def opposite_word(row: Row, spanish: Fields) -> dict[str, str] | None:
    """A word turned into its opposite: more into less, before into after."""
    column = _longest(row)
    turned = _OPPOSITE.sub(lambda found: _OPPOSITES[found[0]], spanish[column], count=1)
    return {**spanish, column: turned} if turned != spanish[column] else None


def lost_no(row: Row, spanish: Fields) -> dict[str, str] | None:
    """The first “no” left out."""
    column = _longest(row)
    without = _NO.sub(
        lambda found: found[2].upper() if found[1] == "No" else found[2], spanish[column], count=1
    )
    return {**spanish, column: without} if without != spanish[column] else None


def correct_synonym(row: Row, spanish: Fields) -> dict[str, str] | None:
    """No mistake at all: one accepted word in another's place, of the same gender and number."""
    column = _longest(row)
    other = _SYNONYM.sub(lambda found: _SYNONYMS[found[0]], spanish[column], count=1)
    return {**spanish, column: other} if other != spanish[column] else None


LOOKED_FOR: dict[str, Mistake] = {
    "a word the glossary forbids": forbidden_word,
    "a number lost": lost_number,
    "a field left in English": left_in_english,
}
NOT_LOOKED_FOR: dict[str, Mistake] = {
    "two numbers exchanged": exchanged_numbers,
    "the last sentence lost": lost_sentence,
    "a word turned into its opposite": opposite_word,
    "a “no” lost": lost_no,
}


CONTROL: dict[str, Mistake] = {"no mistake: a correct synonym": correct_synonym}
GROUPS = {"looked for": LOOKED_FOR, "not looked for": NOT_LOOKED_FOR, "control": CONTROL}


@dataclass(frozen=True)
class Trial:
    """One kind of mistake, planted once in every row that offers a place for it.

    Attributes:
        mistake: what was done.
        group: one of `GROUPS`: a check was written for it, none was, or it is no mistake.
        caught: for each of those rows, whether any check noticed.
        examples: for each, (row, damaged Spanish).
    """

    mistake: str
    group: str
    caught: list[bool]
    examples: list[tuple[Row, dict[str, str]]]

    @cached_property
    def chrf(self) -> list[float]:
        """For each of those rows, chrF of the damaged Spanish against the unharmed reference, in 0…100."""
        return [row_chrf(made, row.reference or {}) for row, made in self.examples]

    @property
    def chrf_lost(self) -> float:
        """Points of chrF that the mistake costs, mean over the rows."""
        return 100 - fmean(self.chrf)

    @property
    def key(self) -> str:
        """A name fit for a measurement key."""
        return GROUPS[self.group][self.mistake].__name__

    def missed(self) -> list[dict[str, str]]:
        """Those that no check noticed, the shortest first: row's id, the English text, the Spanish before and after."""
        texts = [
            {
                "id": row.id,
                "English": row.fields[column],
                "before": (row.reference or {})[column],
                "after": made[column],
            }
            for (row, made), hit in zip(self.examples, self.caught, strict=True)
            for column in made
            if not hit and made[column] != (row.reference or {})[column]
        ]
        return sorted(texts, key=lambda text: len(text["before"]))


def put_on_trial(rows: Sequence[Row], refuses: Callable[[Row, Fields], object] | None = None) -> list[Trial]:
    """Plant every kind of mistake in the reference Spanish of every row, one at a time, and ask the checks.

    Args:
        rows: rows with a reference; others are passed over.
        refuses: (row, Spanish) → something true when the text is refused; default: `check_row` for Spain finds a problem.

    Returns:
        The kinds that found a place in at least one row, in the order of `GROUPS`.
    """
    refuses = refuses or (lambda row, spanish: check_row(row.fields, spanish, "ES"))
    trials = []
    for group, kinds in GROUPS.items():
        for name, mistake in kinds.items():
            damaged = [
                (row, made)
                for row in rows
                if row.reference and (made := mistake(row, row.reference)) is not None
            ]
            if damaged:
                trials.append(
                    Trial(name, group, [bool(refuses(row, made)) for row, made in damaged], damaged)
                )
    return trials


def false_alarms(rows: Sequence[Row], countries: Sequence[str] = COUNTRIES) -> list[bool]:
    """For every row with a reference: is the reference, which is right, refused for any of these countries?"""
    return [
        any(check_row(row.fields, row.reference, code) for code in countries) for row in rows if row.reference
    ]
