"""The five levels and the answer: render ⇄ parse. The ground floor: everything reads answers here.

The rubric and the fixed sentences are data (`data/rubric.yaml`, `data/emergency_numbers.yaml`). `render` writes the answer a
model is taught; `parse` reads *any* text and says what is present and what is not. It does not judge whether the level is
right: that is `evaluate`'s question.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache

from helpers.files import DATA, LabError, read_yaml


@dataclass(frozen=True)
class Level:
    """One urgency level: its word, its official name, and what a person at home should do."""

    key: str
    name: str
    gloss: str
    wait_minutes: int
    color: str
    means: str
    action: str


@dataclass(frozen=True)
class Country:
    """A country's emergency numbers and the service that answers them."""

    code: str
    country: str
    numbers: tuple[str, ...]
    source: str


RUBRIC = read_yaml(DATA / "rubric.yaml")
SCALE: dict[str, Level] = {key: Level(key, **fields) for key, fields in RUBRIC["levels"].items()}
LEVELS: tuple[str, ...] = tuple(SCALE)  # from most to least urgent
URGENT: tuple[str, ...] = LEVELS[:2]  # the safety cut: {ROJO, NARANJA} against the rest
PARTS: tuple[str, ...] = ("actions", "alarms", "disclaimer", "number")
LEVEL_HEADING = "Nivel de Urgencia:"


@cache
def countries() -> dict[str, Country]:
    """Countries by ISO code, from `data/emergency_numbers.yaml`."""
    rows = read_yaml(DATA / "emergency_numbers.yaml")
    return {code: Country(code, row["country"], tuple(row["numbers"]), row["source"]) for code, row in rows.items()}


def country_of(code: str) -> Country:
    """The country with this ISO code.

    Raises:
        LabError: no sourced number is known for it.
    """
    try:
        return countries()[code]
    except KeyError:
        known = ", ".join(countries())
        raise LabError(
            f"No emergency number on file for country {code!r}. Known: {known}. Add it with its source to data/emergency_numbers.yaml."
        ) from None


def messages(text: str, country: str) -> list[dict[str, str]]:
    """The chat a model sees: a system line, then the person's words with the country."""
    user = RUBRIC["user"].format(text=text, country=country_of(country).country)
    return [{"role": "system", "content": RUBRIC["system"]}, {"role": "user", "content": user}]


def join_or(items: Sequence[str]) -> str:
    """'a, b o c', with 'u' before an o-sound as Spanish asks."""
    if len(items) < 2:
        return "".join(items)
    link = "u" if re.match(r"h?o", strip_accents(items[-1]).lower()) else "o"
    return f"{', '.join(items[:-1])} {link} {items[-1]}"


def render(level: str, country: str, alarm_signs: Sequence[str], parts: Collection[str] = PARTS) -> str:
    """The full answer for a level, in a country, with the presentation's alarm signs.

    Args:
        level: one of `LEVELS`.
        country: ISO code; decides the emergency number.
        alarm_signs: noun phrases without article.
        parts: which of `PARTS` to include; the level and waiting lines are always there.
    """
    scale = SCALE[level]
    lines = [f"{LEVEL_HEADING} {level} — {scale.name}", f"Espera máxima en urgencias: {scale.wait_minutes} minutos"]
    if "actions" in parts:
        lines.append(f"Qué hacer: {scale.action}.")
    if "alarms" in parts:
        lines.append(f"Signos de alarma: {join_or(alarm_signs)}.")
    if "disclaimer" in parts:
        lines.append(f"Aviso: {RUBRIC['disclaimer']}.")
    if "number" in parts:
        lines.append(f"Emergencias: {' o '.join(country_of(country).numbers)}.")
    return "\n".join(lines)


@dataclass(frozen=True)
class Reading:
    """What a text says, part by part.

    Attributes:
        level: the one level it gives, or None when it gives none or contradicts itself.
        levels_named: every level given in a level line (or, lacking one, anywhere), first mention first.
        name_agrees: the level's name beside it is the right one ("ROJO — Emergencia"); None when no name is given.
        actions, alarms: the text after the heading, or None when the heading or its content is missing.
        disclaimer: says that it does not replace a professional.
        numbers: the emergency numbers given.
        thinking: a `<think>` block (whole or broken) was found and set aside.
    """

    level: str | None
    levels_named: tuple[str, ...]
    name_agrees: bool | None
    actions: str | None
    alarms: str | None
    disclaimer: bool
    numbers: tuple[str, ...]
    thinking: bool

    @property
    def contradictory(self) -> bool:
        """Two different levels are given."""
        return len(self.levels_named) > 1

    def has(self, part: str, country: str | None = None) -> bool:
        """Is this part of `PARTS` present? `number` also has to be the right one when `country` is given."""
        if part == "number" and country is not None:
            return bool(self.numbers) and set(self.numbers) <= set(country_of(country).numbers)
        return bool({"actions": self.actions, "alarms": self.alarms, "disclaimer": self.disclaimer, "number": self.numbers}[part])

    def missing(self, country: str | None = None) -> tuple[str, ...]:
        """The parts that are absent (or wrong, for the number), `level` among them."""
        absent = tuple(part for part in PARTS if not self.has(part, country))
        return absent if self.level else ("level", *absent)


# Headings are matched on text without accents and in lower case, so that "Que hacer" and "QUÉ HACER" both count.
_LEVEL_LINE = re.compile(r"\b(?:nivel|urgencia|triaje|clasificacion)\b[^\n:]{0,30}:(?P<rest>[^\n]*)")
_ACTIONS = re.compile(r"\b(?:que hacer|acciones|pasos)\b[^\n:]{0,20}:(?P<rest>.*)", re.DOTALL)
_ALARMS = re.compile(r"\bsignos? de alarma\b[^\n:]{0,20}:(?P<rest>.*)", re.DOTALL)
_NUMBERS = re.compile(r"\bemergencias?\b[^\n:]{0,20}:(?P<rest>[^\n]*)")
_ANY_HEADING = re.compile(r"\b(?:nivel de urgencia|espera maxima|que hacer|acciones|signos? de alarma|aviso|emergencias)\b[^\n:]{0,20}:")
_DISCLAIMER = re.compile(r"\bno (?:sustituye|reemplaza)\b[^.]{0,80}?\b(?:profesional|medic[oa]|valoracion|consulta)")
_NUMBER = re.compile(r"(?<!\d)\d{3}(?!\d)")
_THINK_TAG = re.compile(r"</?think>", re.IGNORECASE | re.ASCII)
_LEVEL_ALONE = re.compile(r"^\W*(rojo|naranja|amarillo|verde|azul)\W*\Z")
_LEVEL_WORD = re.compile(r"\b(rojo|naranja|amarillo|verde|azul)\b")
_LEVEL_WORD_SHOUTED = re.compile(r"\b(ROJO|NARANJA|AMARILLO|VERDE|AZUL)\b")
ROUND_A_NAME = " .*_-—–:()"  # what may stand between a level and its name, or behind it
# What decides a reading's level, name_agrees and numbers, for the phone's page, which reads answers in JavaScript by these same patterns.
READER: dict[str, re.Pattern[str]] = {
    "thinkTag": _THINK_TAG,
    "levelLine": _LEVEL_LINE,
    "levelAlone": _LEVEL_ALONE,
    "levelWord": _LEVEL_WORD,
    "levelWordShouted": _LEVEL_WORD_SHOUTED,
    "numbersLine": _NUMBERS,
    "number": _NUMBER,
}


def strip_accents(text: str) -> str:
    """Drop combining marks (á → a, ñ → n)."""
    return "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))


def strip_thinking(text: str) -> tuple[str, bool]:
    """Remove `<think>` blocks in all their forms; say whether there were any.

    A closing tag without its opening one hides everything before it; an opening tag that is never closed hides everything after.
    """
    pieces: list[str] = []
    last, inside, found = 0, False, False
    for tag in _THINK_TAG.finditer(text):
        found = True
        if tag[0][1] == "/":
            if not inside:
                pieces.clear()
            inside = False
        elif not inside:
            pieces.append(text[last : tag.start()])
            inside = True
        last = tag.end()
    return "".join(pieces) + ("" if inside else text[last:]), found


def _section(pattern: re.Pattern[str], plain: str) -> str | None:
    """The content after a heading, up to the next heading; None when there is none."""
    found = pattern.search(plain)
    if not found:
        return None
    rest = found["rest"]
    following = _ANY_HEADING.search(rest)
    content = rest[: following.start()] if following else rest
    content = content.strip(" \n\t.*_#-")
    return content if re.search(r"\w{3}", content) else None


def _levels_in(plain: str, answer: str) -> tuple[str, ...]:
    """The levels a text gives, in order of first mention, without repeats."""
    given = [word for line in _LEVEL_LINE.finditer(plain) for word in _LEVEL_WORD.findall(line["rest"])]
    if not given:
        alone = _LEVEL_ALONE.match(plain)
        # Outside a level line a colour in lower case may be a colour ("flema verde"); in capitals it is a level.
        given = [alone[1]] if alone else [word.lower() for word in _LEVEL_WORD_SHOUTED.findall(answer)]
    return tuple(dict.fromkeys(word.upper() for word in given))


def parse(text: str) -> Reading:
    """Read any text at all: whole or truncated, repeated, lower case, without accents, thinking aloud, or nonsense."""
    answer, thinking = strip_thinking(text)
    plain = strip_accents(answer).lower()
    levels = _levels_in(plain, strip_accents(answer))
    level = levels[0] if len(levels) == 1 else None
    numbers = _NUMBERS.search(plain)
    return Reading(
        level=level,
        levels_named=levels,
        name_agrees=_name_agrees(level, plain),
        actions=_section(_ACTIONS, plain),
        alarms=_section(_ALARMS, plain),
        disclaimer=bool(_DISCLAIMER.search(plain)),
        numbers=tuple(dict.fromkeys(_NUMBER.findall(numbers["rest"]))) if numbers else (),
        thinking=thinking,
    )


def _name_agrees(level: str | None, plain: str) -> bool | None:
    """Does the level line name the level rightly ("ROJO — Emergencia")? None without a level line or a name in it."""
    line = _LEVEL_LINE.search(plain)
    if level is None or line is None:
        return None
    names = {key: strip_accents(scale.name).lower() for key, scale in SCALE.items()}
    rest = _LEVEL_WORD.sub(" ", line["rest"]).strip(ROUND_A_NAME)
    given = next((key for key, name in names.items() if rest == name), None)
    return None if not rest else given == level
