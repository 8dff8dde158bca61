"""What the offline teacher answers: the rubric's answer for a finding it recognises, the reference Spanish of a row it knows.

No model is behind it. A translation carries, at a small fixed share and on the first attempt only, a translator's mistake: a term that the
glossary forbids, a number dropped, a field left in English. A request that names the problems gets the clean text.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from helpers import translate
from helpers.cases import SPLITS, findings
from helpers.files import DATA
from helpers.teacher.config import Endpoint
from helpers.teacher.prompts import HEADINGS
from helpers.translate.glossary import find_spanish
from helpers.translate.rows import FIELDS, SAMPLE
from helpers.triage import PARTS, UNKNOWN, countries, parse, render

Messages = Sequence[Mapping[str, Any]]
GENERAL = (
    "Soy el maestro sin conexión de este laboratorio: no soy un modelo. Solo respondo a consultas de triaje («… País: Guatemala.») y a "
    "peticiones de traducción del inglés hechas con helpers.translate."
)
GUESSED_LEVEL = "AMARILLO"  # nothing recognised: stable, but to be seen soon
_FREQUENT = "el la los las un una de del y o que con por para en se le lo su a al no es muy me mi años año tiene paciente país"
_WORD = re.compile(r"\w+")


# ------------------------------------------------------------------------------------------------------------- triage
def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text)) - frozenset(_FREQUENT.split())


@cache
def _wordings() -> list[tuple[str, frozenset[str], str]]:
    """Every wording in lower case, its telling words and its finding, the longest first."""
    rows = [
        (text.lower(), finding.key)
        for finding in findings().values()
        for text in (finding.term, *(text for split in SPLITS for text in finding.texts(split)))
    ]
    return [(text, _words(text), key) for text, key in sorted(rows, key=lambda row: -len(row[0]))]


def recognise(text: str) -> str | None:
    """The finding a message speaks of: by exact wording, else by the words it shares with one (a third at least); None otherwise."""
    plain = text.lower()
    said = _words(plain)
    for wording, _, key in _wordings():
        if wording in plain:
            return key
    shared, key = max((len(said & known) / max(1, len(said | known)), key) for _, known, key in _wordings())
    return key if shared >= 1 / 3 else None


def triage_answer(system: str, text: str) -> str | None:
    """The rubric's answer; None when the message is no triage request."""
    key, named = recognise(text), re.search(r"País: ([^.\n]+)\.", text)
    if key is None and "País:" not in text:
        return None
    name = named[1].strip() if named else ""
    country = next((code for code, row in countries().items() if row.country == name), "XX")
    shown = {line.split(":")[0] for line in system.splitlines()}  # the lines that are wanted
    asked = [part for part in PARTS if HEADINGS[part].split(":")[0] in shown]
    level, picture = (findings()[key].level, findings()[key].syndrome) if key else (GUESSED_LEVEL, UNKNOWN)
    return render(level, country, picture, asked if "Nivel de Urgencia" in shown else PARTS)


# -------------------------------------------------------------------------------------------------------- translation
@cache
def _references() -> dict[str, str]:
    """Reference Spanish by English text, of every field of every shipped row."""
    known: dict[str, str] = {}
    for kind, name in SAMPLE.items():
        for row in translate.read_sample(DATA / "openmed_sample" / name, kind):
            reference = row.reference or {}
            known |= {row.fields[one]: reference.get(one, "") for one in FIELDS[kind] if one in row.fields}
    return known


def in_country(english: str, spanish: str, country: str) -> str:
    """Put a country's own words in place of the general ones; an article of theirs takes the place of the one before."""
    for term in translate.glossary().used(english):
        own = term.regional.get(country)
        if not own or find_spanish((own,), spanish):
            continue
        longer = [text for text in term.es[1:] if term.es[0] in text]
        within = list(find_spanish(longer, spanish))

        def put(found: re.Match[str], own: str = own, within: Any = within) -> str:
            before = (found["before"] or "").lower()
            if any(start <= found.start("term") and found.end("term") <= end for start, end in within):
                return found[0]
            if not re.match(r"(el|la|los|las) ", own):
                return (found["before"] + " " if before else "") + own
            return {"al": "a ", "del": "de "}.get(before, "") + own

        alone = rf"(?<!\w)(?:(?P<before>al|del|el|la|los|las)\s+)?(?P<term>{re.escape(term.es[0])})(?!\w)"
        spanish = re.sub(alone, put, spanish, flags=re.IGNORECASE)
    return spanish


def _mistaken(
    fields: Mapping[str, str], spanish: dict[str, str], country: str, kind: float
) -> dict[str, str]:
    """One translator's mistake; which one depends on `kind` in [0, 1) and on what the text offers."""
    longest = max(spanish, key=lambda column: len(fields[column]))
    text = spanish[longest]
    for term in translate.glossary().used(fields[longest]) if kind < 0.4 else ():
        spans = find_spanish(term.accepted(country), text)
        if spans and term.avoid:
            start, end = spans[0]
            return spanish | {longest: text[:start] + term.avoid[0] + text[end:]}
    without = re.sub(r"\s?\b\d[\d.,]*(?:\s?%)?", "", text, count=1)
    return spanish | {longest: without if kind < 0.75 and without != text else fields[longest]}


def translation_answer(asked: translate.prompts.Request, mistakes: float, seed: int) -> str:
    """The reference Spanish of the fields as a JSON object, in the country's words; a field it does not know stays English."""
    spanish = {
        column: in_country(english, _references().get(english) or english, asked.country)
        for column, english in asked.fields.items()
    }
    content = json.dumps(asked.fields, sort_keys=True)
    if asked.fields and not asked.again and dice("mistake", seed, content) < mistakes:
        spanish = _mistaken(asked.fields, spanish, asked.country, dice("kind", seed, content))
    return json.dumps(spanish, ensure_ascii=False, indent=1)


def planted_mistakes(
    endpoint: Endpoint,
    rows: Sequence[translate.Row],
    first: Sequence[Mapping[str, str] | None],
    country: str,
) -> list[bool]:
    """For every row: did the offline teacher plant a mistake in this first answer? Empty for any other teacher, whose mistakes nobody knows.

    It answers from a reference, so every difference from its clean answer was put there on purpose.
    """
    if endpoint.name != "offline":
        return []
    asked = (translate.prompts.Request(row.fields, country, True) for row in rows)
    clean = [json.loads(translation_answer(one, 0.0, 0)) for one in asked]
    return [given is not None and dict(given) != right for given, right in zip(first, clean, strict=True)]


# ---------------------------------------------------------------------------------------------------------------- all
def dice(*what: object) -> float:
    """A number in [0, 1) that depends on nothing but its arguments."""
    digest = hashlib.sha256("\x1f".join(map(str, what)).encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:7], "big") / 2**56


def answer(messages: Messages, mistakes: float = 0.0, seed: int = 0) -> str:
    """The text of an answer to a chat."""
    asked = translate.read_request(messages)
    if asked is not None:
        return translation_answer(asked, mistakes, seed)
    last = {message["role"]: message["content"] for message in messages}
    return triage_answer(last.get("system", ""), last.get("user", "")) or GENERAL


def english_answer(messages: Messages) -> str:
    """The same request answered in the wrong language."""
    asked = translate.read_request(messages)
    if asked is not None:
        return json.dumps(asked.fields, ensure_ascii=False)
    level = parse(answer(messages)).level or "unknown"
    return f"Urgency level: {level}. What to do: see a health worker. This is not medical advice."
