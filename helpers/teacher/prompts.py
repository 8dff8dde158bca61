"""What a teacher is asked about a patient, and when its answer counts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from helpers.cases import Example
from helpers.triage import PARTS, RUBRIC, SCALE, country_of, messages, number_line, parse

HEADINGS = {
    "actions": "Qué hacer: <pasos concretos para quien está en casa; si hay peligro, llamar antes de viajar>.",
    "alarms": "Signos de alarma: si aparece <tres signos>, llame <al número>.",
    "disclaimer": f"Aviso: {RUBRIC['disclaimer']}.",
    "number": "Emergencias: {numbers}.",
}


def triage_prompt(example: Example, parts: Collection[str] = PARTS) -> list[dict[str, str]]:
    """The chat that asks a teacher for one answer in our format; the example's level is not given away.

    Args:
        parts: which of `triage.PARTS` are asked for. The blog's teacher was evidently not held to the disclaimer.
    """
    numbers = number_line(country_of(example.country))
    wanted = [HEADINGS[part].format(numbers=numbers) for part in PARTS if part in parts]
    lines = [
        "Orienta sobre la urgencia de una consulta en español. Escala, de más a menos urgente:",
        *(f"- {key} — {level.name}: {level.means}" for key, level in SCALE.items()),
        "Responde solo con estas líneas, en este orden:",
        "Nivel de Urgencia: <NIVEL> — <nombre>",
        *wanted,
    ]
    return [
        {"role": "system", "content": "\n".join(lines)},
        messages(example.text, example.country)[1],
    ]


def triage_problem(
    text: str, country: str, parts: Collection[str] = PARTS, accepted: Collection[str] = ()
) -> str | None:
    """What is wrong with a teacher's answer, read by `triage.parse`; None when it is complete.

    Args:
        parts: which of `triage.PARTS` must be there; the level always. accepted: levels that count as right; empty for any.
    """
    reading = parse(text)
    if reading.contradictory:
        return f"names several levels ({', '.join(reading.levels_named)})"
    missing = [part for part in reading.missing(country) if part == "level" or part in parts]
    if missing:
        return f"lacks {', '.join(missing)}"
    if reading.name_agrees is False:
        return f"gives {reading.level} another level's name"
    if accepted and reading.level not in accepted:
        return f"gives {reading.level} where the rubric accepts {', '.join(accepted)}"
    return None


def triage_validator(
    examples: Sequence[Example], parts: Collection[str] = PARTS, right_level: bool = False
) -> Callable[[str, int], str | None]:
    """`validate=` for `Client.run` on the prompts of these examples, in the same order."""

    def problem(text: str, index: int) -> str | None:
        example = examples[index]
        return triage_problem(text, example.country, parts, example.accepted if right_level else ())

    return problem
