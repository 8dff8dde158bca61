"""The five levels and the answer: render ⇄ parse. The ground floor: everything reads answers here.

The rubric and the fixed sentences are data (`data/rubric.yaml`, `data/emergency_numbers.yaml`). `render`
writes the answer a model is taught; `parse` reads *any* text and says what is present and what is not. It
does not judge whether the level is right: that is `evaluate`'s question.
"""

import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any

from pydantic import Field

from helpers.files import DATA, LabError, Row, bad_entry, read_yaml


@dataclass(frozen=True)
class Level:
    """One urgency level: its word, its official name, and what a person at home should do.

    `wait_minutes` is a hospital's figure and stands in no answer. `call_first` is said instead of `action`
    where a syndrome asks to call before anything else.
    """

    key: str
    name: str
    gloss: str
    wait_minutes: int
    color: str
    means: str
    action: str
    call_first: str | None = None


@dataclass(frozen=True)
class Country:
    """A country: its emergency numbers in the order to try them, with their services, and where one goes."""

    code: str
    country: str
    services: tuple[tuple[str, str], ...]
    call: str  # whom to call, as it follows the verb: "al 911"
    place: str
    crisis_line: str | None = None

    @property
    def numbers(self) -> tuple[str, ...]:
        """The numbers alone; none for a country that is not listed."""
        return tuple(number for number, _ in self.services)


class Syndrome(Row):
    """What the rubric says of one clinical picture (a row of `data/syndromes.yaml`).

    `accepted` are the defensible levels, most urgent first; `call_now` means: call before travelling;
    `alarm_signs` are what would make it worse; `first_aid` is a sentence, where seconds count. `held_out`
    syndromes are in no training text.
    """

    key: str
    level: str
    accepted: tuple[str, ...]
    call_now: bool
    gloss: str
    rationale: str
    alarm_signs: tuple[str, ...] = Field(min_length=1)
    source: str
    first_aid: str | None = None
    held_out: bool = False


RUBRIC = read_yaml(DATA / "rubric.yaml")
SCALE: dict[str, Level] = {key: Level(key, **fields) for key, fields in RUBRIC["levels"].items()}
LEVELS: tuple[str, ...] = tuple(SCALE)  # from most to least urgent
URGENT: tuple[str, ...] = LEVELS[:2]  # the safety cut: {ROJO, NARANJA} against the rest
PARTS: tuple[str, ...] = ("actions", "alarms", "disclaimer", "number")
LEVEL_HEADING = "Nivel de Urgencia:"
# A text of which nothing is known: call first, and watch for what nobody should wait with.
UNKNOWN = Syndrome(
    key="unknown",
    gloss="unknown",
    rationale="unknown",
    source="none",
    level="NARANJA",
    accepted=LEVELS,
    call_now=True,
    alarm_signs=("dificultad para respirar", "confusión", "desmayo"),
)


@cache
def countries() -> dict[str, Country]:
    """Countries by ISO code, XX for every other one; a `LabError` if a number has no source."""
    path = DATA / "emergency_numbers.yaml"
    return {code: _country(path, code, row) for code, row in read_yaml(path).items()}


def _country(path: Path, code: str, row: dict[str, Any]) -> Country:
    source = row.get("source") or {}
    needed = {"body", "title", "unverified" if source.get("unverified") else "year"}
    if row["numbers"] and not needed <= set(source):
        raise bad_entry(path, code, "source", "a number needs one, with body, title and year")
    numbers = tuple(row["numbers"].items())
    first = f"al {numbers[0][0]}" if numbers else "al número de emergencias de su país"
    call = row.get("call", first)
    return Country(code, row["country"], numbers, call, row["place"], row.get("crisis_line"))


def country_of(code: str) -> Country:
    """The country with this ISO code. Raises LabError: no sourced number is known for it."""
    if code not in countries():
        how = "Add it with its source to data/emergency_numbers.yaml"
        known = ", ".join(countries())
        raise LabError(f"No emergency number on file for country {code!r}. Known: {known}. {how}.")
    return countries()[code]


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


def render(level: str, country: str, syndrome: Syndrome = UNKNOWN, parts: Collection[str] = PARTS) -> str:
    """The full answer for a level, in a country, to a person with this syndrome.

    Args:
        level: one of `LEVELS`, right or wrong.
        country: ISO code; decides whom to call and where to go.
        syndrome: decides whether to call before travelling, the first aid and the alarm signs.
        parts: which of `PARTS` to include; the level line is always there, first aid goes with the actions.
            Without `number`, no number is named anywhere.
    """
    scale, land = SCALE[level], country_of(country)
    call = land.call if "number" in parts else "a emergencias"
    calls = level == "ROJO" or (syndrome.call_now and scale.call_first is not None)
    lines = [f"{LEVEL_HEADING} {level} — {scale.name}"]
    if "actions" in parts:
        action = (scale.call_first if calls else None) or scale.action
        lines.append(f"Qué hacer: {action.format(call=call, place=land.place)}.")
        if syndrome.first_aid:
            lines.append(RUBRIC["first_aid"].format(text=syndrome.first_aid))
    if "alarms" in parts:
        line = RUBRIC["alarms_again" if calls else "alarms"]
        lines.append(line.format(signs=join_or(syndrome.alarm_signs), call=call))
    if "disclaimer" in parts:
        lines.append(f"Aviso: {RUBRIC['disclaimer']}.")
    if "number" in parts:
        lines.append(f"Emergencias: {number_line(land)}.")
    return "\n".join(lines)


def number_line(country: Country) -> str:
    """Every number of a country with the service it reaches; a neutral sentence where none is listed."""
    numbers = [f"{number} ({service})" for number, service in country.services]
    return " o ".join(numbers) or "llame al número de emergencias de su país"


@dataclass(frozen=True)
class Reading:
    """What a text says, part by part.

    Attributes:
        level: the one level it gives, or None when it gives none or contradicts itself.
        levels_named: every level given in a level line (or, lacking one, anywhere), first mention first.
        name_agrees: the level's name beside it is the right one ("ROJO — Emergencia"); None without one.
        actions, alarms: the text after the heading, or None without either.
        calls: the actions say to call before they say to go anywhere.
        disclaimer: says that it does not replace a professional.
        numbers: the emergency numbers given in the number line.
        called: the numbers after "al" anywhere in the text ("llame al 911").
        neutral_number: the number line names no number but the country's own emergency number.
    """

    level: str | None
    levels_named: tuple[str, ...]
    name_agrees: bool | None
    actions: str | None
    alarms: str | None
    calls: bool
    disclaimer: bool
    numbers: tuple[str, ...]
    called: tuple[str, ...]
    neutral_number: bool

    @property
    def contradictory(self) -> bool:
        """Two different levels are given."""
        return len(self.levels_named) > 1

    def has(self, part: str, country: str | None = None) -> bool:
        """Is this part of `PARTS` present? With a `country`, every number of the answer has to be its own."""
        return self._right_number(country) if part == "number" else bool(getattr(self, part))

    def _right_number(self, country: str | None) -> bool:
        if country is None:
            return bool(self.numbers) or self.neutral_number
        own = set(country_of(country).numbers)
        line = set(self.numbers) <= own if self.numbers else self.neutral_number and not own
        return line and set(self.called) <= own

    def missing(self, country: str | None = None, call_now: bool = False) -> tuple[str, ...]:
        """What is absent (or a wrong number), `level` too; with `call_now`, actions have to call first."""
        absent = tuple(
            part
            for part in PARTS
            if not self.has(part, country) or (part == "actions" and call_now and not self.calls)
        )
        return absent if self.level else ("level", *absent)


# Headings are matched on text without accents and in lower case: "Que hacer" and "QUÉ HACER" both count.
_LEVEL_LINE = re.compile(r"\b(?:nivel|urgencia|triaje|clasificacion)\b[^\n:]{0,30}:(?P<rest>[^\n]*)")
_ACTIONS = re.compile(r"\b(?:que hacer|acciones|pasos)\b[^\n:]{0,20}:(?P<rest>.*)", re.DOTALL)
_ALARMS = re.compile(r"\bsignos? de alarma\b[^\n:]{0,20}:(?P<rest>.*)", re.DOTALL)
_NUMBERS = re.compile(r"\bemergencias?\b[^\n:]{0,20}:(?P<rest>[^\n]*)")
_ANY_HEADING = re.compile(
    r"\b(?:nivel de urgencia|que hacer|acciones|primeros auxilios|signos? de alarma|aviso|emergencias)\b[^\n:]{0,20}:"
)
_CALL = re.compile(r"\bllam(?:e|en|a|ar)\b")
_GO = re.compile(r"\b(?:vaya|vayan|acuda|acudan|lleve|lleven|espere|repose|pida)\b")
_CALLED = re.compile(r"\bal (\d{3,4})(?!\d)")
_DISCLAIMER = re.compile(
    r"\bno (?:sustituye|reemplaza)\b[^.]{0,80}?\b(?:profesional|medic[oa]|valoracion|consulta)"
)
_NUMBER = re.compile(r"(?<!\d)\d{3,4}(?!\d)")
_NEUTRAL_NUMBER = re.compile(r"\bnumero de emergencias de su pais\b")
# The notes of a thinking model: <think>, </thinking>, <mm:think>, <thought x="y">, < / think >, [THINK],
# ◁think▷, <|end_of_thought|>, &lt;think&gt;.
_THINK_TAG = re.compile(
    r"(?:[<\[◁]|&lt;)[ |]*(?P<close>/|end_of_)?[ |]*(?:begin_of_|[a-z]{1,12}:)?"
    r"(?:think(?:ing)?|thoughts?|reasoning)(?:[ |][ -;=?-~]{0,40})?(?:[>\]▷]|&gt;)",
    re.IGNORECASE | re.ASCII,
)
_LEVEL_ALONE = re.compile(r"^\W*(rojo|naranja|amarillo|verde|azul)\W*\Z")
_LEVEL_WORD = re.compile(r"\b(rojo|naranja|amarillo|verde|azul)\b")
_LEVEL_WORD_SHOUTED = re.compile(r"\b(ROJO|NARANJA|AMARILLO|VERDE|AZUL)\b")
ROUND_A_NAME = " .*_-—–:()"  # what may stand between a level and its name, or behind it
# What decides a reading's level, name_agrees and numbers, for the phone's page, which reads answers in
# JavaScript by these same patterns.
READER: dict[str, re.Pattern[str]] = {
    "thinkTag": _THINK_TAG,
    "levelLine": _LEVEL_LINE,
    "levelAlone": _LEVEL_ALONE,
    "levelWord": _LEVEL_WORD,
    "levelWordShouted": _LEVEL_WORD_SHOUTED,
    "numbersLine": _NUMBERS,
    "number": _NUMBER,
    "called": _CALLED,
}


def strip_accents(text: str) -> str:
    """Drop combining marks (á → a, ñ → n)."""
    if text.isascii():
        return text
    return "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))


def strip_thinking(text: str) -> tuple[str, bool]:
    """Remove the notes of a thinking model (`<think>` blocks in all spellings); say whether there were any.

    A closing tag without an opening one hides all before it; an opening tag never closed, all after it.
    """
    pieces: list[str] = []
    last, inside, found = 0, False, False
    for tag in _THINK_TAG.finditer(text):
        found = True
        if tag["close"]:
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
        # Outside a level line a colour in lower case may be one ("flema verde"); in capitals it is a level.
        given = [alone[1]] if alone else [word.lower() for word in _LEVEL_WORD_SHOUTED.findall(answer)]
    return tuple(dict.fromkeys(word.upper() for word in given))


@lru_cache(maxsize=10_000)  # an answer is read again for every feature and measure
def parse(text: str) -> Reading:
    """Read any text at all: whole or cut, repeated, lower case, without accents, thinking aloud, nonsense."""
    answer, _ = strip_thinking(text)
    plain = strip_accents(answer).lower()
    levels = _levels_in(plain, strip_accents(answer))
    level = levels[0] if len(levels) == 1 else None
    numbers = _NUMBERS.search(plain)
    actions = _section(_ACTIONS, plain)
    return Reading(
        level=level,
        levels_named=levels,
        name_agrees=_name_agrees(level, plain),
        actions=actions,
        alarms=_section(_ALARMS, plain),
        calls=_calls_first(actions or ""),
        disclaimer=bool(_DISCLAIMER.search(plain)),
        numbers=tuple(dict.fromkeys(_NUMBER.findall(numbers["rest"]))) if numbers else (),
        called=tuple(dict.fromkeys(_CALLED.findall(plain))),
        neutral_number=bool(numbers and _NEUTRAL_NUMBER.search(numbers["rest"])),
    )


def _calls_first(actions: str) -> bool:
    """Do the actions say to call, and say it before anything else that one could do?"""
    call, go = _CALL.search(actions), _GO.search(actions)
    return call is not None and (go is None or call.start() < go.start())


def _name_agrees(level: str | None, plain: str) -> bool | None:
    """Does the level line name the level rightly ("ROJO — Emergencia")? None without a name in one."""
    line = _LEVEL_LINE.search(plain)
    if level is None or line is None:
        return None
    rest = _LEVEL_WORD.sub(" ", line["rest"]).strip(ROUND_A_NAME)
    return None if not rest else rest == strip_accents(SCALE[level].name).lower()


def reader_in_javascript() -> dict[str, str]:
    """The patterns of `parse` for the phone's JavaScript (flag "u"), and the accents that both drop."""
    marks = [code for code in range(0x110000) if unicodedata.combining(chr(code))]
    runs = [[code for _, code in run] for _, run in groupby(enumerate(marks), lambda pair: pair[1] - pair[0])]
    accents = "[" + "".join(f"\\u{{{run[0]:x}}}-\\u{{{run[-1]:x}}}" for run in runs) + "]"
    patterns = {name: _in_javascript(found.pattern) for name, found in READER.items()}
    return patterns | {"roundAName": ROUND_A_NAME, "accents": accents}


def _in_javascript(pattern: str) -> str:
    """Python's `w`, `d` and `b` know every alphabet; JavaScript's know ASCII: they are spelled out."""
    word = r"[\p{L}\p{N}_]"
    edge = f"(?:(?<={word})(?!{word})|(?<!{word})(?={word}))"
    spelled = {"b": edge, "W": word.replace("[", "[^"), "w": word, "d": r"\p{Nd}", "Z": "$"}
    return re.sub(r"\\(.)", lambda found: spelled.get(found[1], found[0]), pattern).replace("(?P<", "(?<")
