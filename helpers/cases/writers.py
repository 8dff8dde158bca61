"""The two prompt writers (the blog's mistake and its cure), the evaluation prompts, and the hand-written vignettes."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from helpers.cases.loader import Finding, presentations
from helpers.files import DATA, LabError, read_yaml
from helpers.triage import LEVEL_HEADING, LEVELS, PARTS, countries, messages, render

BLOG_PRIOR: dict[str, float] = dict(zip(LEVELS, (0.60, 0.15, 0.10, 0.10, 0.05), strict=True))
MOST_MISSES = 2000  # draws in a row that were all known already: the world is used up
GENERIC_ALARM_SIGNS = ("dificultad para respirar", "confusión", "desmayo")


@dataclass(frozen=True)
class Example:
    """A prompt and the level somebody gave it.

    `level` is the label of this row, right or wrong; `accepted` is what the rubric accepts. `finding` is None for a vignette. `parts` are
    those that its answer has.
    """

    text: str
    level: str
    accepted: tuple[str, ...]
    country: str
    alarm_signs: tuple[str, ...] = GENERIC_ALARM_SIGNS
    finding: str | None = None
    id: str | None = None
    register: str | None = None
    gloss: str | None = None
    rationale: str | None = None
    parts: tuple[str, ...] = PARTS

    @property
    def prompt(self) -> list[dict[str, str]]:
        """The chat up to the model's turn."""
        return messages(self.text, self.country)

    @property
    def answer(self) -> str:
        """The answer for this row's level: whole, unless `parts` says otherwise."""
        return render(self.level, self.country, self.alarm_signs, self.parts)

    @property
    def level_line(self) -> str:
        """The part of the answer up to the level, and no further."""
        return f"{LEVEL_HEADING} {self.level}"


@cache
def _frames() -> dict[str, Any]:
    return read_yaml(DATA / "frames.yaml")


def put_in_frame(frame: str, wording: str, rng: random.Random) -> str:
    """A sentence a person could write: the wording in its frame, ages and weeks drawn at random."""
    fields = {
        "age": rng.randint(18, 90),
        "age_parent": rng.randint(45, 85),
        "age_elder": rng.randint(65, 92),
        "years": rng.randint(2, 12),
        "weeks": rng.randint(24, 39),
    }
    return frame.format(d=wording, D=wording[0].upper() + wording[1:], **fields)


def frames(patient: str, split: str) -> list[str]:
    """The frames for a kind of patient; dev and test share the held-out ones, which training never uses."""
    return _frames()[patient]["train" if split == "train" else "held_out"]


def write_from_templates(n: int, seed: int, prior: Mapping[str, float] = BLOG_PRIOR) -> list[Example]:
    """The blog's generator: few templates, chart terms, and a label drawn from the prior.

    The label is drawn *without looking at the description*, so one description meets several labels, and with a few hundred
    terms in four templates most of a long run repeats. Nothing is copied: the profile follows from the recipe.
    """
    rng = random.Random(seed)
    described = [(finding, presentation) for presentation in presentations() for finding in presentation.findings]
    templates = _frames()["templates"]
    codes = list(countries())
    rows = []
    for _ in range(n):
        level = rng.choices(LEVELS, [prior[key] for key in LEVELS])[0]
        finding, presentation = rng.choice(described)
        text = put_in_frame(rng.choice(templates), finding.term, rng)
        rows.append(Example(text, level, finding.accepted, rng.choice(codes), presentation.alarm_signs, finding.key))
    return rows


def write_diverse(
    n: int, seed: int, shares: Mapping[str, float] | None = None, split: str = "train", conflict: float = 0.0
) -> list[Example]:
    """The cure: unique prompts, labelled by the rubric, every level with its share (default: a fifth each).

    Levels are dealt in exact proportion (largest remainder), not drawn; findings rotate so that all are used before any repeats.
    `conflict` brings the disease back in a measured dose: that share of every level's rows describes any finding at all, as the blog's
    generator did, and keeps its label. The label shares do not move, so skew and conflict can be set apart from each other.

    Raises:
        LabError: the micro-world cannot give `n` unique prompts.
    """
    rng = random.Random(seed)
    shares = shares or dict.fromkeys(LEVELS, 1 / len(LEVELS))
    codes = list(countries())
    rows, seen = [], set()
    for level, count in _deal(n, shares).items():
        deck: list[tuple[Finding, Any]] = []
        world = [(finding, presentation) for presentation in presentations() for finding in presentation.findings]
        rightful = [pair for pair in world if pair[0].level == level]
        blind, misses = round(conflict * count), 0
        while count:
            if not deck or count == blind:
                full = world if count <= blind else rightful
                deck = rng.sample(full, len(full))
            finding, presentation = deck.pop()
            text = put_in_frame(rng.choice(frames(presentation.patient, split)), rng.choice(finding.texts(split)), rng)
            if text in seen:
                misses += 1
                if misses > MOST_MISSES:
                    raise LabError(
                        f"The micro-world has no {n:,} unique prompts at these shares. Ask for fewer, or add wordings or frames."
                    )
                continue
            misses = 0
            seen.add(text)
            rows.append(Example(text, level, finding.accepted, rng.choice(codes), presentation.alarm_signs, finding.key))
            count -= 1
    rng.shuffle(rows)
    return rows


def leave_out(rows: Iterable[Example], shares: Mapping[str, float], seed: int) -> list[Example]:
    """The rows with careless answers: each part of `shares` is kept with that probability and left out otherwise; other parts stay."""
    rng = random.Random(seed)
    return [replace(row, parts=tuple(part for part in row.parts if rng.random() < shares.get(part, 1.0))) for row in rows]


def _deal(n: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Split `n` by shares, remainders to the largest fractions."""
    exact = {level: n * shares[level] for level in LEVELS}
    counts = {level: int(value) for level, value in exact.items()}
    by_fraction = sorted(LEVELS, key=lambda level: counts[level] - exact[level])
    for level in by_fraction[: n - sum(counts.values())]:
        counts[level] += 1
    return counts


def evaluation_prompts(split: str, seed: int = 0) -> list[Example]:
    """One prompt for every dev or test wording, in a frame that training never used.

    Levels are balanced by construction (four findings a level and presentation). `split` is "dev" (for tuning) or "test".
    """
    rng = random.Random(f"{split}-{seed}")
    codes = list(countries())
    rows = []
    for presentation in presentations():
        for finding in presentation.findings:
            for wording in finding.wordings[split]:
                text = put_in_frame(rng.choice(frames(presentation.patient, split)), wording, rng)
                rows.append(
                    Example(
                        text,
                        finding.level,
                        finding.accepted,
                        rng.choice(codes),
                        presentation.alarm_signs,
                        finding.key,
                        gloss=finding.gloss,
                        rationale=finding.rationale,
                    )
                )
    return rows


def load_vignettes(path: Path) -> list[Example]:
    """Read hand-written vignettes, one JSON object a line.

    Raises:
        LabError: a line is malformed; the message names file, line and field.
    """
    rows: list[Example] = []
    seen: set[str] = set()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):

        def fail(field: str, problem: str, number: int = number) -> LabError:
            return LabError(f"{path}:{number}: field `{field}`: {problem}. See data/README.md for the format.")

        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise fail("(line)", f"not a JSON object ({error.msg})") from error
        for field in ("id", "text", "level", "rationale", "register", "country", "gloss"):
            if not isinstance(row.get(field), str) or not row[field].strip():
                raise fail(field, "must be a non-empty text")
        if row["level"] not in LEVELS:
            raise fail("level", f"unknown level {row['level']!r}")
        accepted = row.get("accepted")
        if not isinstance(accepted, list) or row["level"] not in accepted or not set(accepted) <= set(LEVELS):
            raise fail("accepted", f"must be a list of levels that holds the primary level {row['level']}")
        if row["country"] not in countries():
            raise fail("country", f"no emergency number on file for {row['country']!r}")
        if row["id"] in seen:
            raise fail("id", f"duplicate id {row['id']!r}")
        seen.add(row["id"])
        rows.append(Example(**{**row, "accepted": tuple(accepted)}))
    return rows


@cache
def vignettes() -> tuple[Example, ...]:
    """The shipped hand-written vignettes: test items, never templated, never tuned on."""
    return tuple(load_vignettes(DATA / "eval" / "vignettes.jsonl"))


def chat_rows(examples: Iterable[Example], level_only: bool = False) -> list[dict[str, Any]]:
    """Rows in TRL's conversational prompt/completion form (the loss then falls on the completion only).

    `level_only` stops each answer after its level.
    """
    answers = ((row, row.level_line if level_only else row.answer) for row in examples)
    return [{"prompt": row.prompt, "completion": [{"role": "assistant", "content": answer}]} for row, answer in answers]
