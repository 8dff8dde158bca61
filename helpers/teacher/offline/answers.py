"""What the offline teacher answers: the rubric's answer to a known finding, a known row's reference Spanish.

A share of the translations carries, on the first attempt, a translator's mistake: a forbidden term, a number
dropped, a field left in English.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache

from helpers import translate
from helpers.cases import SPLITS, findings
from helpers.teacher.config import Endpoint
from helpers.translate.glossary import find_spanish
from helpers.translate.pipeline import Request
from helpers.translate.rows import SAMPLE
from helpers.triage import UNKNOWN, countries, render

GENERAL = (
    "Soy el maestro sin conexión de este laboratorio: no soy un modelo. Solo respondo a consultas de triaje "
    "(«… País: Guatemala.») y a peticiones de traducción del inglés hechas con helpers.translate."
)
SEED = 0  # another one plants other mistakes and breaks other requests
GUESSED_LEVEL = "AMARILLO"  # nothing recognised: stable, but to be seen soon


def dice(name: str, *what: object) -> float:
    """A number in [0, 1) that depends on nothing but its arguments."""
    digest = hashlib.sha256("\x1f".join(map(str, (name, SEED, *what))).encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:7], "big") / 2**56


def answer(messages: Sequence[Mapping[str, str]], mistakes: float = 0.0) -> str:
    """The text of an answer to a chat; `mistakes` is the share of translations with a mistake in them."""
    if asked := translate.read_request(messages):
        return translation_answer(asked, mistakes)
    return triage_answer(messages[-1]["content"]) or GENERAL


# ----------------------------------------------------------------------------------------------------- triage
@cache
def _wordings() -> list[tuple[str, str]]:
    """Every wording of the micro-world in lower case and its finding, the longest first."""
    rows = [
        (text.lower(), key)
        for key, one in findings().items()
        for text in (one.term, *(text for split in SPLITS for text in one.texts(split)))
    ]
    return sorted(rows, key=lambda row: -len(row[0]))


def recognise(text: str) -> str | None:
    """The finding whose wording, the longest if there are several, stands in a message."""
    plain = text.lower()
    return next((key for wording, key in _wordings() if wording in plain), None)


def triage_answer(text: str) -> str | None:
    """The rubric's answer; None when the message is no triage request."""
    key, named = recognise(text), re.search(r"País: ([^.\n]+)\.", text)
    if key is None and named is None:
        return None
    place = named and named[1].strip()
    code = next((code for code, row in countries().items() if row.country == place), "XX")
    level, picture = (findings()[key].level, findings()[key].syndrome) if key else (GUESSED_LEVEL, UNKNOWN)
    return render(level, code, picture)


# ------------------------------------------------------------------------------------------------ translation
@cache
def _references() -> dict[str, str]:
    """Reference Spanish by English text, of every field of every shipped row."""
    rows = [row for kind, path in SAMPLE.items() for row in translate.read_sample(path, kind)]
    return {text: row.reference[column] for row in rows for column, text in row.fields.items()}


def in_country(english: str, spanish: str, country: str) -> str:
    """Put a country's own words in place of the general ones, and their article in place of the other."""
    for term in translate.glossary().used(english):
        own = term.regional.get(country)
        if not own or find_spanish((own,), spanish):
            continue
        longer = [re.escape(text) for text in term.es[1:] if term.es[0] in text]  # these stay as they are
        article = "al|del|el|la|los|las" if re.match(r"(el|la|los|las) ", own) else "(?!)"
        alone = rf"(?:(?P<before>{article})\s+)?(?P<term>{re.escape(term.es[0])})"

        def put(found: re.Match[str], own: str = own) -> str:
            contracted = {"al": "a ", "del": "de "}.get((found["before"] or "").lower(), "")
            return contracted + own if found["term"] else found[0]

        spanish = re.sub(rf"(?<!\w)(?:{'|'.join([*longer, alone])})(?!\w)", put, spanish, flags=re.IGNORECASE)
    return spanish


def _mistaken(asked: Request, spanish: dict[str, str], kind: float) -> dict[str, str]:
    """One translator's mistake; which one depends on `kind` in [0, 1) and on what the text offers."""
    longest = max(spanish, key=lambda column: len(asked.fields[column]))
    text, english = spanish[longest], asked.fields[longest]
    for term in translate.glossary().used(english) if kind < 0.4 else ():
        spans = find_spanish(term.accepted(asked.country), text)
        if spans and term.avoid:
            start, end = spans[0]
            return spanish | {longest: text[:start] + term.avoid[0] + text[end:]}
    without = re.sub(r"\s?\b\d[\d.,]*(?:\s?%)?", "", text, count=1)
    return spanish | {longest: without if kind < 0.75 and without != text else english}


def translation_answer(asked: Request, mistakes: float = 0.0) -> str:
    """The reference Spanish as a JSON object, in the country's words; an unknown field stays English."""
    spanish = {
        column: in_country(english, _references().get(english, english), asked.country)
        for column, english in asked.fields.items()
    }
    content = json.dumps(asked.fields, sort_keys=True)
    if asked.fields and not asked.again and dice("mistake", content) < mistakes:
        spanish = _mistaken(asked, spanish, dice("kind", content))
    return json.dumps(spanish, ensure_ascii=False, indent=1)


def planted_mistakes(endpoint: Endpoint, rows: list, first: list[dict | None], country: str) -> list[bool]:
    """For each row: was this first answer spoilt on purpose? Empty for a real teacher: nobody knows."""
    if endpoint.name != "offline":
        return []
    clean = [json.loads(translation_answer(Request(row.fields, country, True))) for row in rows]
    return [given not in (None, right) for given, right in zip(first, clean, strict=True)]
