"""Numbers, units and doses: what must come through a translation unchanged.

A number counts as kept when the Spanish text holds its value, in either decimal convention ("2.5", "2,5"; "1,000", "1.000", "1 000") or in
words ("dos"), with the same unit. Numbers that the source does not hold, in figures or in words, count as invented. Converting
(°F to °C, 12 months to a year) is not keeping.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

# canonical unit: spellings in English and Spanish. DOSE units must be there; of the others only a different one is an error.
UNITS = {
    "mg": "mg milligram milligrams miligramo miligramos",
    "mcg": "mcg µg μg ug microgram micrograms microgramo microgramos",
    "ng": "ng nanogram nanograms nanogramo nanogramos",
    "g": "g gm gram grams gramo gramos",
    "kg": "kg kgs kilo kilos kilogram kilograms kilogramo kilogramos",
    "ml": "ml cc milliliter milliliters millilitre millilitres mililitro mililitros",
    "dl": "dl deciliter deciliters decilitro decilitros",
    "l": "l liter liters litre litres litro litros",
    "mmol": "mmol millimole millimoles milimol milimoles",
    "meq": "meq milliequivalents miliequivalentes",
    "iu": "iu u ui unit units unidad unidades",
    "mmhg": "mmhg mm\u00a0hg",
    "%": "% percent per\u00a0cent por\u00a0ciento",
    "tablet": "tablet tablets pill pills tableta tabletas comprimido comprimidos pastilla pastillas píldora píldoras",
    "capsule": "capsule capsules cápsula cápsulas",
    "drop": "drop drops gota gotas",
    "teaspoon": "teaspoon teaspoons tsp cucharadita cucharaditas",
    "tablespoon": "tablespoon tablespoons tbsp cucharada cucharadas",
    "°f": "°f ºf fahrenheit",
    "°c": "°c ºc celsius centígrados",
    "hour": "h hr hrs hour hours hora horas",
    "minute": "min mins minute minutes minuto minutos",
    "second": "s sec secs second seconds segundo segundos",
    "ms": "ms millisecond milliseconds milisegundo milisegundos",
    "day": "day days día días",
    "week": "week weeks semana semanas",
    "month": "month months mes meses",
    "year": "year years yr yrs año años",
    "times": "time times vez veces",
    "cm": "cm centimeter centimeters centimetre centimetres centímetro centímetros",
    "mm": "mm millimeter millimeters milímetro milímetros",
    "pound": "lb lbs pound pounds libra libras",
    "ounce": "oz ounce ounces onza onzas",
    "inch": "inch inches pulgada pulgadas",
    "mile": "mile miles milla millas",
    "kcal": "kcal calorie calories caloría calorías",
}
_DOSE = "mg mcg ng g kg ml dl l mmol meq iu mmhg % °f °c teaspoon tablespoon drop"
DOSE = frozenset(_DOSE.split())
_UNIT = {
    spelling.replace("\u00a0", " "): name
    for name, spellings in UNITS.items()
    for spelling in spellings.split(" ")
}
_UNIT_WORD = "|".join(
    sorted((re.escape(spelling).replace(r"\ ", r"\s+") for spelling in _UNIT), key=len, reverse=True)
)
_AFTER = re.compile(
    rf"[\s\u00a0\u202f]*[-\u2010\u2011]?[\s\u00a0\u202f]*(?:degrees\s+|grados\s+)?({_UNIT_WORD})(?:\s*/\s*({_UNIT_WORD}|m²|m2))?(?![\w°])",
    re.IGNORECASE,
)
_SCALES = {
    "thousand": (10**3,), "mil": (10**3, 10**9), "million": (10**6,), "millon": (10**6,), "millón": (10**6,), "millones": (10**6,),
    "billion": (10**9, 10**3), "trillion": (10**12, 10**6), "billon": (10**12,), "billón": (10**12,), "billones": (10**12,),
}  # fmt: skip
_SCALE_AFTER = re.compile(rf"[\s\u00a0-]*({'|'.join(_SCALES)})\b", re.IGNORECASE)
_ENGLISH = re.compile(r"(?<![\d.,])(?:\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)")
_SPANISH = re.compile(r"\d+(?:[.,\u00a0\u202f]\d+)*|(?<![\d\w])[.,]\d+")
_SHARED = re.compile(r"\s*(?:[-–—,/]|to|a|y|o|u|and|or|hasta|(?:,\s*)(?:or|and|y|o))\s*", re.IGNORECASE)
_IN_WORDS = {
    "0.5": "half medio media",
    "1": "one un una uno once single first primer primero primera",
    "2": "two twice double couple both second dos doble par segundo segunda ambos ambas",
    "3": "three third triple tres tercer tercero tercera",
    "4": "four fourth cuatro cuarto cuarta",
    "5": "five fifth cinco quinto quinta",
    "6": "six sixth seis sexto sexta",
    "7": "seven siete",
    "8": "eight ocho",
    "9": "nine nueve",
    "10": "ten diez",
    "11": "eleven once",
    "12": "twelve dozen doce docena",
    "13": "thirteen trece",
    "14": "fourteen catorce",
    "15": "fifteen quince",
    "16": "sixteen dieciséis dieciseis",
    "17": "seventeen diecisiete",
    "18": "eighteen dieciocho",
    "19": "nineteen diecinueve",
    "21": "veintiuno veintiún veintiuna",
    "22": "veintidós",
    "23": "veintitrés",
    "24": "veinticuatro",
    "25": "veinticinco",
    "26": "veintiséis",
    "27": "veintisiete",
    "28": "veintiocho",
    "29": "veintinueve",
    "20": "twenty veinte",
    "30": "thirty treinta",
    "40": "forty cuarenta",
    "50": "fifty cincuenta",
    "60": "sixty sesenta",
    "70": "seventy setenta",
    "80": "eighty ochenta",
    "90": "ninety noventa",
    "100": "hundred cien ciento",
    "1000": "thousand mil",
    "1000000": "million millón",
}
_VALUES: dict[str, set[Decimal]] = {}  # "once" is eleven in Spanish
for _value, _spelt in _IN_WORDS.items():
    for _word in _spelt.split():
        _VALUES.setdefault(_word, set()).add(Decimal(_value).normalize())
_ONE_WORD = "|".join(sorted(_VALUES, key=len, reverse=True))
_WORDS = re.compile(
    rf"\b({_ONE_WORD})(?:(?:-|\s+y\s+)({_ONE_WORD}))?\b", re.IGNORECASE
)  # thirty-five, treinta y cinco
_ROMAN = re.compile(r"\b[IVXLC]{1,7}\b")
_ROMAN_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}


@dataclass(frozen=True)
class Quantity:
    """A number in a text: what it may mean, its unit (None when none is recognised), and how it is written."""

    values: frozenset[Decimal]
    unit: str | None
    written: str


def _english_values(token: str, following: str) -> set[Decimal]:
    value = Decimal(token.replace(",", ""))
    if re.match(r"s\b", following) and re.fullmatch(r"\d{4}", token):
        return {value, value % 100}  # the 1990s, los años 90
    return {value}


def _spanish_values(token: str, _: str) -> set[Decimal]:
    """A number as the two conventions read it: "1.500" is 1500 or 1.5."""
    token = token.replace("\u00a0", " ").replace("\u202f", " ")
    marks = [char for char in token if not char.isdigit()]
    if not marks:
        return {Decimal(token)}
    groups = re.split(r"[., ]", token)
    grouped = (
        len(set(marks)) == 1
        and 1 <= len(groups[0]) <= 3
        and groups[0][0] != "0"
        and all(len(group) == 3 for group in groups[1:])
    )
    readings = {Decimal("".join(groups))} if grouped else set()
    if marks[-1] != " " and marks.count(marks[-1]) == 1:
        whole, _, decimals = token.rpartition(marks[-1])
        readings.add(Decimal(f"{re.sub(r'[., ]', '', whole) or '0'}.{decimals}"))
    return readings or {Decimal(group) for group in groups if group}


def _figures(
    text: str, pattern: re.Pattern[str], values: Callable[[str, str], set[Decimal]]
) -> list[Quantity]:
    """Every number written in figures, with its unit; in "5 to 10 mg" the 5 has the unit of the 10."""
    found = list(pattern.finditer(text))
    quantities: list[Quantity] = []
    following: tuple[int, str | None] = (len(text), None)
    for match in reversed(found):
        after = text[match.end() : match.end() + 60]
        readings, scale, unit = values(match[0], after), _SCALE_AFTER.match(after), _AFTER.match(after)
        if scale:
            readings |= {value * factor for value in readings for factor in _SCALES[scale[1].lower()]}
        name = _unit_name(unit)
        if name is None and not scale and _SHARED.fullmatch(text[match.end() : following[0]] or "x"):
            name = following[1]
        following = (match.start(), name)
        quantities.append(
            Quantity(
                frozenset(value.normalize() for value in readings),
                name,
                (match[0] + (unit[0] if unit else "")).strip(),
            )
        )
    return quantities[::-1]


def _unit_name(found: re.Match[str] | None) -> str | None:
    if found is None:
        return None
    parts = [re.sub(r"\s+", " ", part.lower()) for part in found.groups() if part]
    return "/".join(_UNIT.get(part, part) for part in parts)


def _in_words(text: str) -> list[Quantity]:
    """Numbers written out, and Roman numerals (siglo XIX)."""
    quantities = []
    for match in _WORDS.finditer(text):
        first, second = (_VALUES.get((part or "").lower(), set()) for part in match.groups())
        values = first | second | {one + other for one in first for other in second if one > other}
        quantities.append(
            Quantity(
                frozenset(value.normalize() for value in values),
                _unit_name(_AFTER.match(text, match.end())),
                match[0],
            )
        )
    for match in _ROMAN.finditer(text):
        digits = [_ROMAN_VALUES[char] for char in match[0]]
        value = sum(-one if one < two else one for one, two in zip(digits, [*digits[1:], 0], strict=True))
        quantities.append(Quantity(frozenset({Decimal(value).normalize()}), None, match[0]))
    return quantities


def english_quantities(text: str) -> list[Quantity]:
    """The numbers of an English text that are written in figures."""
    return _figures(text, _ENGLISH, _english_values)


def spanish_quantities(text: str) -> list[Quantity]:
    """The numbers of a Spanish text that are written in figures, each with both readings."""
    return _figures(text, _SPANISH, _spanish_values)


def _same_unit(source: Quantity, target: Quantity) -> bool:
    if source.unit == target.unit or source.unit is None:
        return True
    return target.unit is None and source.unit.split("/")[0] not in DOSE


Fits = Callable[[Quantity, Quantity], bool]


def _pair(
    sources: list[Quantity], targets: list[Quantity], fits: Fits, owner: dict[int, int] | None = None
) -> dict[int, int]:
    """Grow a matching of sources to targets to a largest one (augmenting paths): index of target → index of source."""
    owner = dict(owner or {})

    def place(source: int, seen: set[int]) -> bool:
        for target in range(len(targets)):
            if target not in seen and fits(sources[source], targets[target]):
                seen.add(target)
                if target not in owner or place(owner[target], seen):
                    owner[target] = source
                    return True
        return False

    for source in sorted(set(range(len(sources))) - set(owner.values())):
        place(source, set())
    return owner


def _join_thousands(spanish: str, wanted: set[Decimal]) -> str:
    """Close "12 500" when the source holds 12500; otherwise the space may separate two numbers."""

    def close(found: re.Match[str]) -> str:
        joined = found[0].replace(" ", "")
        return joined if Decimal(joined) in wanted else found[0]

    return re.sub(r"(?<![\d.,])\d{1,3}(?: \d{3})+(?!\d)", close, spanish)


def number_problems(english: str, spanish: str) -> list[str]:
    """Numbers lost, invented, or left with another unit; empty when every number, unit and dose was kept."""
    sources = english_quantities(english)
    figures = spanish_quantities(
        _join_thousands(spanish, {value for source in sources for value in source.values})
    )
    targets = [*figures, *_in_words(spanish)]

    def same_value(one: Quantity, other: Quantity) -> bool:
        return bool(one.values & other.values)

    def compatible(one: Quantity, other: Quantity) -> bool:
        return same_value(one, other) and _same_unit(one, other)

    # Figures first, and those with the very unit before the rest: a "1" must not be paired with some "una" while "1 hora" stays alone.
    owner = _pair(sources, figures, lambda one, other: same_value(one, other) and one.unit == other.unit)
    owner = _pair(sources, targets, compatible, _pair(sources, figures, compatible, owner))
    problems, kept, taken = [], set(owner.values()), set(owner)
    for index, source in enumerate(sources):
        if index in kept:
            continue
        other = next(
            (i for i, target in enumerate(targets) if i not in taken and same_value(source, target)), None
        )
        if other is None:
            problems.append(f"the number “{source.written}” is missing")
        else:
            taken.add(other)
            problems.append(f"“{source.written}” has become “{targets[other].written}”")
    extra = [figure for index, figure in enumerate(figures) if index not in taken]
    explained = _pair(extra, _in_words(english), same_value).values()
    return problems + [
        f"the number “{figure.written}” is not in the source"
        for i, figure in enumerate(extra)
        if i not in explained
    ]
