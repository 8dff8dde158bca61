"""Is this a translation? Six questions per field: is it there, in Spanish, whole, with its numbers, with the glossary's words, of a likely length.

None of them needs a reference. chrF (Popović 2015) does and is reported beside them, never as a reason to refuse a row.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from helpers.translate.glossary import Glossary, glossary, term_problems
from helpers.translate.numbers import number_problems

CHECKS = ("present", "language", "length", "numbers", "glossary")
RATIO = (0.6, 1.9)  # Spanish characters per English character; good translations run at 1.0 to 1.3
LONG_ENOUGH = 40  # characters: below that a ratio says nothing
FUNCTION_WORDS = {  # frequent in one language and no word of the others; "no", "a", "me", "son" would prove nothing
    "Spanish": "el los las del y un una unas unos con por su sus al lo pero muy está están cuando donde también puede pueden más es",
    "English": "the and of to is are was were with that this for not have has from by which be been should may can or an it its if your you",
    "Portuguese": "não uma um em do dos das ao com são você mais pelo pela seu sua nas nos também às pode ou",
    "French": "le les des du et est une dans pour avec sur pas vous qui sont ou au aux ne peut cette",
    "Italian": "il di che è per una non della gli sono nel con più alla anche delle può",
    "German": "der die und das ist nicht mit ein eine zu von den auf für sie werden oder bei",
}
_SETS = {language: frozenset(listed.split()) for language, listed in FUNCTION_WORDS.items()}
_WORD = re.compile(r"[^\W\d_]+")
_SENTENCE = re.compile(r"[^.!?;:\n]+")
COPIED_RUN = 6  # words in a row that stand in the source in the same order


@dataclass(frozen=True)
class Problem:
    """What is wrong with a translated row: which check, in which field, and a sentence the teacher can act on."""

    check: str
    field: str
    detail: str

    def __str__(self) -> str:
        return f"{self.field}: {self.detail}"


def words(text: str) -> list[str]:
    """Lower-case words, digits left out."""
    return _WORD.findall(text.lower())


def language_of(text: str) -> str | None:
    """The language whose function words are most frequent in a text; None when there are too few to tell."""
    found = words(text)
    counts = {language: sum(word in known for word in found) for language, known in _SETS.items()}
    best = max(counts, key=lambda language: counts[language])
    return (
        best
        if counts[best] >= max(2, 0.08 * len(found)) and list(counts.values()).count(counts[best]) == 1
        else None
    )


def language_problems(english: str, spanish: str) -> list[str]:
    """Text left in English, or written in neither; short texts (a drug's name) are not judged."""
    letters = [char for char in spanish if char.isalpha()]
    if letters and sum(ord(char) > 0x24F for char in letters) > 0.2 * len(letters) > 1:
        return ["the text is not in the Latin alphabet"]
    found = words(spanish)
    if len(found) < 4:
        return []
    if spanish.strip().lower() == english.strip().lower():
        return ["the text was left untranslated"]
    language = language_of(spanish)
    if language not in (None, "Spanish"):
        return [f"the text is in {language}, not in Spanish"]
    for sentence in _SENTENCE.findall(spanish):
        if len(words(sentence)) >= 5 and language_of(sentence) == "English":
            return [f"a sentence was left in English: “{sentence.strip()[:80]}”"]
    run = _copied_run(words(english), found)
    return [f"words were left in English: “{run}”"] if run else []


def _copied_run(source: Sequence[str], target: Sequence[str]) -> str | None:
    """A run of source words in the target that cannot be names: it holds at least two English function words."""
    known = {tuple(source[i : i + COPIED_RUN]) for i in range(len(source) - COPIED_RUN + 1)}
    for i in range(len(target) - COPIED_RUN + 1):
        window = tuple(target[i : i + COPIED_RUN])
        if window in known and sum(word in _SETS["English"] for word in window) >= 2:
            return " ".join(window)
    return None


def length_problems(english: str, spanish: str) -> list[str]:
    """A translation far shorter than its source was cut; one far longer says more than the source."""
    source, target = len(english.strip()), len(spanish.strip())
    if source < LONG_ENOUGH:
        return (
            [f"the text is far longer than its source ({target} characters for {source})"]
            if target > 3 * LONG_ENOUGH
            else []
        )
    if not RATIO[0] <= target / source <= RATIO[1]:
        return [
            f"the text has {target / source:.1f} times the length of its source; something was left out or added"
        ]
    return []


def glossary_problems(english: str, spanish: str, country: str, using: Glossary | None = None) -> list[str]:
    """Terms of the source that have not become what the glossary says for this country, or that became a word to avoid."""
    return [
        problem
        for term in (using or glossary()).used(english)
        for problem in term_problems(term, spanish, country)
    ]


def check_field(
    field: str, english: str, spanish: str, country: str, using: Glossary | None = None
) -> list[Problem]:
    """Every problem of one field; an untranslated text is not examined further."""
    if english.strip() and not spanish.strip():
        return [Problem("present", field, "the translation is empty")]
    if foreign := language_problems(english, spanish):
        return [Problem("language", field, detail) for detail in foreign]
    found = {
        "length": length_problems(english, spanish),
        "numbers": number_problems(english, spanish),
        "glossary": glossary_problems(english, spanish, country, using),
    }
    return [Problem(check, field, detail) for check, details in found.items() for detail in details]


def check_row(
    english: Mapping[str, str], spanish: Mapping[str, str], country: str, using: Glossary | None = None
) -> list[Problem]:
    """Every problem of a row, field by field; empty when it passes."""
    problems = []
    for field, text in english.items():
        if field in spanish:
            problems += check_field(field, text, spanish[field], country, using)
        else:
            problems.append(Problem("present", field, "the translation is missing"))
    return problems


@cache
def _metric() -> Any:
    from sacrebleu.metrics import CHRF

    return CHRF()


def chrf(hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """Corpus chrF2 in 0…100 (character 6-grams, β=2), by sacrebleu with its default settings.

    Raises:
        ValueError: the two differ in length, or are empty.
    """
    if len(hypotheses) != len(references) or not hypotheses:
        raise ValueError(f"{len(hypotheses)} translations for {len(references)} references")
    return float(_metric().corpus_score(list(hypotheses), [list(references)]).score)
