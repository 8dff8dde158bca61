"""What a teacher is asked about a patient, and when its answer counts."""

from collections.abc import Collection, Sequence

from helpers.cases import Example
from helpers.teacher.client import Validate
from helpers.triage import RUBRIC, SCALE, country_of, messages, number_line, parse


def triage_prompt(example: Example) -> list[dict[str, str]]:
    """The chat that asks a teacher for one answer in our format; the example's level is not given away."""
    lines = [
        "Orienta sobre la urgencia de una consulta en español. Escala, de más a menos urgente:",
        *(f"- {key} — {level.name}: {level.means}" for key, level in SCALE.items()),
        "Responde solo con estas líneas, en este orden:",
        "Nivel de Urgencia: <NIVEL> — <nombre>",
        "Qué hacer: <pasos concretos para quien está en casa; si hay peligro, llamar antes de viajar>.",
        "Signos de alarma: si aparece <tres signos>, llame <al número>.",
        f"Aviso: {RUBRIC['disclaimer']}.",
        f"Emergencias: {number_line(country_of(example.country))}.",
    ]
    system = {"role": "system", "content": "\n".join(lines)}
    return [system, messages(example.text, example.country)[1]]


def triage_problem(text: str, country: str, accepted: Collection[str] = ()) -> str | None:
    """What is wrong with an answer; None when it is complete and its level is `accepted` (empty: any is)."""
    reading = parse(text)
    if reading.contradictory:
        return f"names several levels ({', '.join(reading.levels_named)})"
    if missing := reading.missing(country):
        return f"lacks {', '.join(missing)}"
    if reading.name_agrees is False:
        return f"gives {reading.level} another level's name"
    if accepted and reading.level not in accepted:
        return f"gives {reading.level} where the rubric accepts {', '.join(accepted)}"
    return None


def triage_validator(examples: Sequence[Example], right_level: bool = False) -> Validate:
    """`validate=` for `Client.run` on the prompts of these examples, in the same order."""

    def problem(text: str, index: int) -> str | None:
        example = examples[index]
        return triage_problem(text, example.country, example.accepted if right_level else ())

    return problem
