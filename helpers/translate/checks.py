"""Is this a translation: each field there, Spanish, of a likely length, with its numbers and the right words?

None of the five checks needs a reference. chrF (Popović 2015) does, and is no reason to refuse a row.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from helpers.files import DATA, read_yaml
from helpers.translate.glossary import glossary_problems
from helpers.translate.numbers import number_problems

RATIO = (0.6, 1.9)  # Spanish characters per English character; good translations run at 1.0 to 1.3
LONG_ENOUGH = 40  # characters: below that a ratio says nothing
FUNCTION_WORDS = {
    language: frozenset(words.split()) for language, words in read_yaml(DATA / "function_words.yaml").items()
}


class Problem(NamedTuple):
    """What is wrong with a translated row: the check, the field, and a sentence the teacher can act on."""

    check: str
    field: str
    detail: str

    def __str__(self) -> str:
        return f"{self.field}: {self.detail}"


def words_in(text: str) -> list[str]:
    """Lower-case words, digits left out."""
    return re.findall(r"[^\W\d_]+", text.lower())


def language_of(words: Sequence[str]) -> str | None:
    """The language whose function words are most frequent among these; None when they are too few to tell."""
    counts = {language: sum(word in known for word in words) for language, known in FUNCTION_WORDS.items()}
    second, first = sorted(counts, key=counts.get)[-2:]
    return first if counts[first] >= max(3, 0.08 * len(words)) and counts[first] > counts[second] else None


def language_problems(english: str, spanish: str) -> list[str]:
    """Text in English (all, or six words in a row) or another language; a drug's name alone is not judged."""
    words = words_in(spanish)
    windows = [words[i : i + 6] for i in range(len(words) - 5)]
    left = next((window for window in windows if language_of(window) == "English"), [])
    if left or (len(words) > 3 and words == words_in(english)):
        return [f"words were left in English, near “{' '.join(left or words)}”"]
    other_letters = re.findall(r"[^\W\d_\u0000-\u024F]", spanish)  # Chinese, Cyrillic…
    if len(other_letters) > 1 + 0.2 * len(spanish) or language_of(words) not in (None, "Spanish"):
        return ["the text is not in Spanish"]
    return []


def length_problems(english: str, spanish: str) -> list[str]:
    """A translation far shorter than its source was cut; one far longer says more than the source."""
    source, target = len(english.strip()), len(spanish.strip())
    low, high = RATIO if source >= LONG_ENOUGH else (0, 3 * LONG_ENOUGH / max(source, 1))
    return [] if low * source <= target <= high * source else [f"{target} characters for {source}"]


CHECKS = {  # name → (English, Spanish, country) → problems; in this order
    "present": lambda english, spanish, _: ["it is missing"] * bool(english.strip() and not spanish.strip()),
    "language": lambda english, spanish, _: language_problems(english, spanish),
    "length": lambda english, spanish, _: length_problems(english, spanish),
    "numbers": lambda english, spanish, _: number_problems(english, spanish),
    "glossary": glossary_problems,
}


def check_row(english: Mapping[str, str], spanish: Mapping[str, str], country: str) -> list[Problem]:
    """A row's problems, field by field; none when it passes. A text missing or not Spanish has no others."""
    problems = []
    for field, text in english.items():
        for name, check in CHECKS.items():
            details = check(text, spanish.get(field, ""), country)
            problems += [Problem(name, field, detail) for detail in details]
            if details and name in ("present", "language"):
                break
    return problems


def row_chrf(spanish: Mapping[str, str], reference: Mapping[str, str]) -> float:
    """chrF2 of a row's joined fields in 0…100 (character 6-grams, β=2, sacrebleu's defaults)."""
    from sacrebleu.metrics import CHRF

    joined, wanted = "\n".join(spanish[column] for column in reference), "\n".join(reference.values())
    return float(CHRF().sentence_score(joined, [wanted]).score)
