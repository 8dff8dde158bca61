"""Numbers, units and doses: what must come through a translation unchanged (tables: `data/numbers.yaml`).

A number is kept when the Spanish holds its value, in either decimal convention ("2.5", "2,5"; "1,000",
"1.000", "1 000") or in words, with the same unit. Converting (°F to °C, 12 months to a year) is not keeping.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from helpers.files import DATA, read_yaml

_TABLES = read_yaml(DATA / "numbers.yaml")
DOSE = frozenset(_TABLES["dose"])
UNITS = {spelling: name for name, spellings in _TABLES["units"].items() for spelling in spellings}
WORDS: dict[str, set[Decimal]] = {}
for _value, _spellings in _TABLES["words"].items():
    for _spelling in _spellings:
        WORDS.setdefault(_spelling, set()).add(Decimal(str(_value)))


def _any_of(spellings: Iterable[str]) -> str:
    longest_first = sorted(spellings, key=len, reverse=True)
    return "|".join(re.escape(spelling).replace(r"\ ", r"\s+") for spelling in longest_first)


_UNIT = rf"\s{{0,2}}[-‐‑]?\s{{0,2}}(?:degrees\s+|grados\s)?(?P<unit>{_any_of(UNITS)})"
_UNIT += rf"(?:\s{{0,2}}/\s{{0,2}}(?P<per>{_any_of(UNITS)}|m²|m2))?(?![\w°])"
# "5 to 10 mg": the 5 has the unit of the 10
_JOINED = r"\s{0,2}(?:[-–—/]|,?\s{0,2}\b(?:to|a|y|o|u|and|or|hasta)\b|,)\s{0,2}"
_SCALE = rf"[\s-]{{0,2}}(?P<scale>{_any_of(_TABLES['scales'])})\b"
_FIGURE = {
    "en": r"(?<![\d.,])(?:\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)",
    "es": r"(?:\d{1,3}(?:[ \u00a0\u202f]\d{3})+(?!\d)(?:[.,]\d+)?|\d+(?:[.,]\d+)*|(?<!\w)[.,]\d+)",
}
_FIGURES = {
    language: re.compile(rf"(?i)(?P<figure>{figure})(?:{_SCALE}|(?=(?:{_JOINED}{figure}){{0,3}}{_UNIT})|)")
    for language, figure in _FIGURE.items()
}
_WORD = _any_of(WORDS)  # thirty-five, treinta y cinco
_IN_WORDS = re.compile(rf"(?i)\b(?P<word>{_WORD})(?:(?:-|\s+y\s+)(?P<more>{_WORD}))?\b(?:{_UNIT})?")


class Number(NamedTuple):
    """A number in a text: what it may mean, its unit or None, how it is written, whether in figures."""

    values: frozenset[Decimal]
    unit: str | None
    written: str
    figure: bool


def readings(figure: str, language: str) -> set[Decimal]:
    """What a figure may mean: an English one is clear, and a Spanish "1.500" is 1500 or 1.5."""
    if language == "en":
        return {Decimal(figure.replace(",", ""))}
    groups = re.split(r"\D", figure)
    thousands = 1 <= len(groups[0]) <= 3 and groups[0] != "0" and {len(group) for group in groups[1:]} <= {3}
    decimals = len(groups) > 1 and f"{''.join(groups[:-1]) or 0}.{groups[-1]}"
    return {Decimal(one) for one in ("".join(groups) if thousands or not decimals else "", decimals) if one}


def _unit(found: re.Match[str]) -> str | None:
    parts = [re.sub(r"\s+", " ", part.lower()) for part in (found["unit"], found["per"]) if part]
    return "/".join(UNITS.get(part, part) for part in parts) or None


def numbers_in(text: str, language: str) -> list[Number]:
    """Every number of a text ("en" or "es"): first in figures, then in words and Roman, as centuries are."""
    numbers = []
    for found in _FIGURES[language].finditer(text):
        values = readings(found["figure"], language)
        scales = _TABLES["scales"].get((found["scale"] or "").lower(), ())
        values |= {value * scale for value in values for scale in scales}
        written = f"{found['figure']} {found['scale'] or found['unit'] or ''}".strip()
        numbers.append(Number(frozenset(values), _unit(found), written, figure=True))
    for found in _IN_WORDS.finditer(text):
        first, more = (WORDS.get((found[name] or "").lower(), set()) for name in ("word", "more"))
        sums = {one + other for one in first for other in more if one > other}
        numbers.append(Number(frozenset(first | more | sums), _unit(found), found["word"], figure=False))
    return numbers


def fits(source: Number, target: Number) -> bool:
    """May `target` stand for `source`? A dose keeps its unit; another unit may be left out, not changed."""
    if source.values.isdisjoint(target.values):
        return False
    if target.unit is None:
        return source.unit is None or source.unit.split("/")[0] not in DOSE
    return source.unit in (None, target.unit)


def without_partner(numbers: Sequence[Number], others: Sequence[Number], fit: Callable) -> list[Number]:
    """Who stays alone when as many as possible get a partner of their own (Hopcroft and Karp 1973)."""
    pairs = np.array([[fit(one, other) for other in others] for one in numbers], dtype=int)
    pairs = csr_array(pairs.reshape(len(numbers), len(others)))
    partners = maximum_bipartite_matching(pairs, perm_type="column")
    return [one for one, partner in zip(numbers, partners, strict=True) if partner < 0]


def number_problems(english: str, spanish: str) -> list[str]:
    """Figures that were lost, or that are new; empty when every number, unit and dose was kept."""
    source, target = numbers_in(english, "en"), numbers_in(spanish, "es")
    lost = without_partner([one for one in source if one.figure], target, fits)
    new = without_partner([one for one in target if one.figure], source, lambda one, other: fits(other, one))
    return [f"the number “{one.written}” is missing" for one in lost] + [
        f"the number “{one.written}” is not in the source" for one in new
    ]
