"""Mistakes to plant in Spanish that is right, so that the checks can be put on trial.

A mistake is a function of an English text and its Spanish that gives the Spanish with one change, or unchanged when the text offers no place.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise

from helpers.translate.glossary import find_spanish, glossary

NUMBER = re.compile(r"(?<![\w.,])\d+(?:[.,]\d+)?(?![\w.,]*\d)")
OPPOSITES = {
    **{"más": "menos", "mayor": "menor", "mayores": "menores", "alto": "bajo", "alta": "baja"},
    **{"aumenta": "disminuye", "aumentan": "disminuyen", "eleva": "reduce", "reduce": "eleva"},
    **{"antes": "después", "después": "antes"},
}
SYNONYMS = {  # of the same gender and number
    **{"medicamento": "fármaco", "medicamentos": "fármacos", "presión arterial": "tensión arterial"},
    **{"efecto secundario": "efecto adverso", "efectos secundarios": "efectos adversos"},
    **{"falta de aire": "dificultad para respirar", "insuficiencia cardíaca": "insuficiencia cardiaca"},
    "zumo de pomelo": "jugo de pomelo",
}


def forbidden_word(english: str, spanish: str) -> str:
    """A glossary term replaced by a word that the glossary forbids."""
    for term in glossary().used(english):
        for start, end in find_spanish(term.accepted("ES"), spanish)[:1]:
            if term.avoid:
                return spanish[:start] + term.avoid[0] + spanish[end:]
    return spanish


def lost_number(english: str, spanish: str) -> str:  # noqa: ARG001 (every mistake is called alike)
    """The first number left out, its unit kept."""
    return re.sub("  +", " ", NUMBER.sub("", spanish, count=1))


def left_in_english(english: str, spanish: str) -> str:  # noqa: ARG001
    """Not translated."""
    return english


def exchanged_numbers(english: str, spanish: str) -> str:  # noqa: ARG001
    """Two neighbouring numbers of a text in each other's place."""
    for one, other in pairwise(NUMBER.finditer(spanish)):
        if one[0] != other[0]:
            between = spanish[one.end() : other.start()]
            return spanish[: one.start()] + other[0] + between + one[0] + spanish[other.end() :]
    return spanish


def lost_sentence(english: str, spanish: str) -> str:  # noqa: ARG001
    """The last sentence of a text of three or more left out."""
    sentences = re.split(r"(?<=[.!?])\s+(?=[A-ZÁÉÍÓÚÑ¿¡])", spanish)
    return " ".join(sentences[:-1]) if len(sentences) > 2 else spanish


def opposite_word(english: str, spanish: str) -> str:  # noqa: ARG001
    """A word turned into its opposite: more into less, before into after."""
    return _exchange(OPPOSITES, spanish)


def lost_no(english: str, spanish: str) -> str:  # noqa: ARG001
    """The first “no” left out."""
    return re.sub(r"\b(No (\w)|no )", lambda found: (found[2] or "").upper(), spanish, count=1)


def correct_synonym(english: str, spanish: str) -> str:  # noqa: ARG001
    """No mistake at all: one accepted word in another's place."""
    return _exchange(SYNONYMS, spanish)


def _exchange(words: dict[str, str], text: str) -> str:
    """The first of these words that a text holds, exchanged."""
    any_of_them = rf"\b({'|'.join(sorted(words, key=len, reverse=True))})\b"
    return re.sub(any_of_them, lambda found: words[found[0]], text, count=1)


Mistake = Callable[[str, str], str]
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
HARMLESS: dict[str, Mistake] = {"no mistake: a correct synonym": correct_synonym}
