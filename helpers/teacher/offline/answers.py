"""What the offline teacher answers: the rubric's answer for a finding it recognises, the reference Spanish of a row it knows.

No model is behind it. A translation carries, at a small fixed share and on the first attempt only, a translator's mistake: a term that the
glossary forbids, a number dropped, a field left in English. A request that names the problems gets the clean text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from helpers import translate
from helpers.cases import SPLITS, findings
from helpers.files import DATA
from helpers.teacher.offline.faults import dice
from helpers.teacher.prompts import HEADINGS
from helpers.translate.glossary import Term, find_spanish
from helpers.translate.rows import FIELDS, SAMPLE
from helpers.triage import PARTS, UNKNOWN, countries, parse, render

Messages = Sequence[Mapping[str, Any]]
GENERAL = (
    "Soy el maestro sin conexión de este laboratorio: no soy un modelo. Solo respondo a consultas de triaje («… País: Guatemala.») y a "
    "peticiones de traducción del inglés hechas con helpers.translate."
)
ENGLISH = "Urgency level: {level}. What to do: see a health worker. This is not medical advice."
GUESSED_LEVEL = "AMARILLO"  # nothing recognised: stable, but to be seen soon
_FREQUENT = "el la los las un una de del y o que con por para en se le lo su a al no es muy me mi años año tiene paciente país"
_STOP = frozenset(_FREQUENT.split())
_WORD = re.compile(r"\w+")


# ------------------------------------------------------------------------------------------------------------- triage
@cache
def _wordings() -> list[tuple[str, str]]:
    """Every wording in lower case with its finding, the longest first."""
    rows = [
        (text.lower(), finding.key)
        for finding in findings().values()
        for text in (finding.term, *(text for split in SPLITS for text in finding.texts(split)))
    ]
    return sorted(rows, key=lambda row: -len(row[0]))


@cache
def _keywords() -> list[tuple[frozenset[str], str]]:
    return [(frozenset(_WORD.findall(text)) - _STOP, key) for text, key in _wordings()]


def recognise(text: str) -> str | None:
    """The finding a message speaks of: by exact wording, else by the words it shares with one (a third at least); None otherwise."""
    plain = text.lower()
    exact = next((key for wording, key in _wordings() if wording in plain), None)
    if exact:
        return exact
    said = frozenset(_WORD.findall(plain)) - _STOP
    shared, key = max(
        ((len(said & known) / max(1, len(said | known)), key) for known, key in _keywords()),
        default=(0.0, ""),
    )
    return key if shared >= 1 / 3 else None


def _country(text: str) -> str:
    found = re.search(r"País: ([^.\n]+)\.", text)
    return next(
        (code for code, row in countries().items() if found and row.country == found[1].strip()), "XX"
    )


def triage_answer(system: str, text: str) -> str | None:
    """The rubric's answer; None when the message is no triage request."""
    key = recognise(text)
    if key is None and "País:" not in text:
        return None
    shown = {
        line.split(":")[0] for line in system.splitlines()
    }  # the system message shows the lines that are wanted
    wanted = (
        [part for part in PARTS if HEADINGS[part].split(":")[0] in shown]
        if "Nivel de Urgencia" in shown
        else PARTS
    )
    level = findings()[key].level if key else GUESSED_LEVEL
    return render(level, _country(text), findings()[key].syndrome if key else UNKNOWN, wanted)


# -------------------------------------------------------------------------------------------------------- translation
@cache
def _references(folder: Path = DATA / "openmed_sample") -> dict[str, str]:
    """Reference Spanish by English text, of every field of every shipped row."""
    known: dict[str, str] = {}
    for kind, name in SAMPLE.items():
        if (folder / name).exists():
            for row in translate.read_sample(folder / name, kind):
                known |= {
                    row.fields[column]: (row.reference or {}).get(column, "")
                    for column in FIELDS[kind]
                    if column in row.fields
                }
    return known


def in_country(english: str, spanish: str, country: str) -> str:
    """Put a country's own words in place of the general ones."""
    for term in translate.glossary().used(english):
        own = term.regional.get(country)
        if own and not find_spanish((own,), spanish):
            spanish = _swap(spanish, term, own)
    return spanish


def _swap(spanish: str, term: Term, own: str) -> str:
    """Replace the first accepted form, where it stands alone, with `own`; an article of `own` takes the place of the one before."""
    longer = [text for text in term.es[1:] if term.es[0] in text]
    start = rf"(?<!\w)(?:(?P<before>al|del|el|la|los|las)\s+)?(?P<term>{re.escape(term.es[0])})(?!\w)"

    def put(found: re.Match[str]) -> str:
        inside = any(
            start <= found.start("term") and found.end("term") <= end
            for start, end in find_spanish(longer, spanish)
        )
        if inside:
            return found[0]
        before = (found["before"] or "").lower()
        if not re.match(r"(el|la|los|las) ", own):
            return (found["before"] + " " if before else "") + own
        return {"al": "a ", "del": "de "}.get(before, "") + own

    return re.sub(start, put, spanish, flags=re.IGNORECASE)


def _glossed(english: str, country: str) -> str:
    """A text it has no reference for: left in English with the glossary's words put in, which no check lets pass."""
    for match in reversed(translate.glossary().find(english)):
        english = english[: match.start] + match.term.preferred(country) + english[match.end :]
    return english


def _mistaken(fields: dict[str, str], spanish: dict[str, str], country: str, kind: float) -> dict[str, str]:
    """One translator's mistake; which one depends on `kind` in [0, 1) and on what the text offers."""
    longest = max(spanish, key=lambda column: len(fields[column]))
    if kind < 0.4:
        for term in translate.glossary().used(fields[longest]):
            spans = find_spanish(term.accepted(country), spanish[longest])
            if spans and term.avoid:
                start, end = spans[0]
                return spanish | {longest: spanish[longest][:start] + term.avoid[0] + spanish[longest][end:]}
    if kind < 0.75:
        without = re.sub(r"\s?\b\d[\d.,]*(?:\s?%)?", "", spanish[longest], count=1)
        if without != spanish[longest]:
            return spanish | {longest: without}
    return spanish | {longest: fields[longest]}


def translation_answer(asked: translate.prompts.Request, mistakes: float, seed: int) -> str:
    """The reference Spanish of the fields as a JSON object, in the country's words."""
    known = _references()
    spanish = {}
    for column, english in asked.fields.items():
        reference = known.get(english)
        spanish[column] = (
            in_country(english, reference, asked.country) if reference else _glossed(english, asked.country)
        )
    content = json.dumps(asked.fields, sort_keys=True)
    if asked.fields and not asked.again and dice("mistake", seed, content) < mistakes:
        spanish = _mistaken(asked.fields, spanish, asked.country, dice("kind", seed, content))
    return json.dumps(spanish, ensure_ascii=False, indent=1)


def planted_mistakes(
    rows: Sequence[translate.Row], first: Sequence[Mapping[str, str] | None], country: str
) -> list[bool]:
    """For every row: does the offline teacher's first answer differ from what it gives without a planted mistake?

    Only the offline teacher can be judged so: it answers from a reference, and every difference was put there on purpose.
    """
    clean = [
        json.loads(translation_answer(translate.prompts.Request(row.fields, country, True), 0.0, 0))
        for row in rows
    ]
    return [given is not None and dict(given) != right for given, right in zip(first, clean, strict=True)]


# ---------------------------------------------------------------------------------------------------------------- all
def answer(messages: Messages, mistakes: float = 0.0, seed: int = 0) -> str:
    """The text of an answer to a chat."""
    asked = translate.read_request(messages)
    if asked is not None:
        return translation_answer(asked, mistakes, seed)
    system = next((message["content"] for message in messages if message["role"] == "system"), "")
    said = next((message["content"] for message in reversed(messages) if message["role"] == "user"), "")
    return triage_answer(system, said) or GENERAL


def english_answer(messages: Messages) -> str:
    """The same request answered in the wrong language."""
    asked = translate.read_request(messages)
    if asked is not None:
        return json.dumps(asked.fields, ensure_ascii=False)
    reading = parse(answer(messages))
    return ENGLISH.format(level=reading.level or "unknown")


def thinking(messages: Messages) -> str:
    """What a reasoning model mutters."""
    said = next((message["content"] for message in reversed(messages) if message["role"] == "user"), "")
    return f"La persona pregunta: «{said[:80]}». Podría ser ROJO o VERDE; reviso la escala y el país antes de responder."
