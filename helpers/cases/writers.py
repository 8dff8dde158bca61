"""The two prompt writers (the blog's mistake and its cure), the evaluation prompts, and the vignettes."""

import json
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import Field

from helpers.cases.loader import Finding, Wording, findings, held_out
from helpers.cases.syndromes import syndrome_of, syndromes
from helpers.files import DATA, LabError, Row, bad_entry, check_entry, read_yaml
from helpers.triage import LEVEL_HEADING, LEVELS, PARTS, UNKNOWN, Syndrome, countries, messages, render

BLOG_PRIOR: dict[str, float] = dict(zip(LEVELS, (0.60, 0.15, 0.10, 0.10, 0.05), strict=True))
MOST_MISSES = 2000  # draws in a row that were all known already: the world is used up


@dataclass(frozen=True)
class Example:
    """A prompt and the level somebody gave it.

    `level` is the label of this row, right or wrong; `accepted` is what the rubric accepts for its
    `syndrome`. `finding` is None outside the training side. `parts` are its answer's.
    """

    text: str
    level: str
    accepted: tuple[str, ...]
    country: str
    syndrome: str | None = None
    finding: str | None = None
    id: str | None = None
    register: str | None = None
    gloss: str | None = None
    parts: tuple[str, ...] = PARTS

    @property
    def picture(self) -> Syndrome:
        """The syndrome's row of the rubric: whether to call first, first aid, alarm signs."""
        return syndrome_of(self.syndrome) if self.syndrome else UNKNOWN

    @property
    def call_now(self) -> bool:
        """Must this person call before travelling? Never asked of a text whose syndrome is not known."""
        return self.syndrome is not None and self.picture.call_now

    @property
    def prompt(self) -> list[dict[str, str]]:
        """The chat up to the model's turn."""
        return messages(self.text, self.country)

    @property
    def answer(self) -> str:
        """The answer for this row's level: whole, unless `parts` says otherwise."""
        return render(self.level, self.country, self.picture, self.parts)


@cache
def _frames() -> dict[str, Any]:
    return read_yaml(DATA / "frames.yaml")


def put_in_frame(frame: str, wording: str) -> str:
    """A message a person could send: the wording in its frame."""
    text = frame.format(d=wording, D=wording[0].upper() + wording[1:])
    return text.replace("?.", "?").replace("!.", "!")


def frames(wording: Wording, split: str) -> list[str]:
    """The frames for a wording; dev and test share the held-out ones, which training never uses."""
    fitting = _frames()[wording.voice]["train" if split == "train" else "held_out"]
    asks = wording.text.endswith("?")
    return [frame for frame in fitting if not (asks and frame.endswith("?"))]  # one question is enough


def _told(wording: Wording, split: str, rng: random.Random) -> tuple[str, str]:
    """A wording as a message, and the country it comes from: its own region's, or any."""
    text = put_in_frame(rng.choice(frames(wording, split)), wording.text)
    return text, wording.region or rng.choice(list(countries()))


def write_from_templates(n: int, seed: int) -> list[Example]:
    """The blog's generator: few templates, chart terms, and a label drawn from `BLOG_PRIOR`.

    The label is drawn *without looking at the description*, so one description meets several labels, and with
    a few hundred terms in four templates most of a long run repeats. Nothing is copied.
    """
    rng = random.Random(seed)
    world, templates, codes = list(findings().values()), _frames()["templates"], list(countries())
    rows = []
    for _ in range(n):
        level = rng.choices(LEVELS, list(BLOG_PRIOR.values()))[0]
        finding = rng.choice(world)
        text = put_in_frame(rng.choice(templates), finding.term)
        rows.append(
            Example(text, level, finding.accepted, rng.choice(codes), finding.syndrome.key, finding.key)
        )
    return rows


def write_diverse(
    n: int, seed: int, shares: Mapping[str, float] | None = None, conflict: float = 0.0
) -> list[Example]:
    """The cure: unique prompts, labelled by the rubric, every level with its share (default: a fifth each).

    Levels are dealt in exact proportion (largest remainder), not drawn; findings rotate so that all are used
    before any repeats. `conflict` brings the disease back in a measured dose: that share of every level's
    rows describes any finding at all, as the blog's generator did, and keeps its label. The label shares do
    not move, so skew and conflict can be set apart from each other. Raises LabError: the micro-world cannot
    give `n` unique prompts.
    """
    rng = random.Random(seed)
    world, seen = list(findings().values()), set()
    rows = []
    for level, count in _deal(n, shares or dict.fromkeys(LEVELS, 1 / len(LEVELS))).items():
        rightful = [finding for finding in world if finding.level == level]
        blind, misses = round(conflict * count), 0
        deck: list[Finding] = []
        while count:
            if not deck or count == blind:
                full = world if count <= blind else rightful
                deck = rng.sample(full, len(full))
            finding = deck.pop()
            text, country = _told(rng.choice(finding.wordings.train), "train", rng)
            if text in seen:
                misses += 1
                if misses > MOST_MISSES:
                    how = "Ask for fewer, or add wordings or frames"
                    raise LabError(f"The micro-world has no {n:,} unique prompts at these shares. {how}.")
                continue
            misses = 0
            seen.add(text)
            rows.append(Example(text, level, finding.accepted, country, finding.syndrome.key, finding.key))
            count -= 1
    rng.shuffle(rows)
    return rows


def leave_out(rows: Iterable[Example], shares: Mapping[str, float], seed: int) -> list[Example]:
    """The rows with careless answers: each part of `shares` is kept with that probability; others stay."""
    rng = random.Random(seed)
    return [
        replace(row, parts=tuple(part for part in row.parts if rng.random() < shares.get(part, 1.0)))
        for row in rows
    ]


def _deal(n: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Split `n` by shares, remainders to the largest fractions."""
    exact = {level: n * shares[level] for level in LEVELS}
    counts = {level: int(value) for level, value in exact.items()}
    by_fraction = sorted(LEVELS, key=lambda level: counts[level] - exact[level])
    for level in by_fraction[: n - sum(counts.values())]:
        counts[level] += 1
    return counts


def evaluation_prompts(split: str) -> list[Example]:
    """One prompt for every wording of a split, in a frame that training never used.

    `split` is "dev" (for tuning), "test" (every level equally frequent by construction), or "syndromes": the
    syndromes that no training text tells.
    """
    rng = random.Random(f"{split}-0")
    told: list[tuple[Syndrome, tuple[Wording, ...], str, str | None]]
    if split == "syndromes":
        told = [(syndromes()[name], rows, syndromes()[name].gloss, None) for name, rows in held_out().items()]
    else:
        told = [(one.syndrome, one.wordings[split], one.gloss, one.key) for one in findings().values()]
    examples = []
    for rule, wordings, gloss, key in told:
        for wording in wordings:
            text, country = _told(wording, split, rng)
            examples.append(
                Example(text, rule.level, rule.accepted, country, rule.key, finding=key, gloss=gloss)
            )
    return examples


class _Vignette(Row):
    id: str
    text: str
    syndrome: str
    style: str = Field(alias="register")
    country: str
    gloss: str
    rationale: str
    blog: bool = False


def load_vignettes(path: Path) -> list[Example]:
    """Vignettes, a JSON object a line, with their syndrome's levels; a `LabError` if one is malformed."""
    rows: dict[str, Example] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            raise bad_entry(path, f"line {number}", "(line)", f"not a JSON object ({error.msg})") from error
        entry = str(value.get("id", f"line {number}")) if isinstance(value, dict) else f"line {number}"
        row = check_entry(_Vignette, value, path, entry)
        rule = syndromes().get(row.syndrome)
        if rule is None:
            raise bad_entry(path, entry, "syndrome", f"unknown syndrome {row.syndrome!r}")
        if row.country not in countries():
            raise bad_entry(path, entry, "country", f"no emergency number on file for {row.country!r}")
        if row.id in rows:
            raise bad_entry(path, entry, "id", f"duplicate id {row.id!r}")
        told = row.model_dump(exclude={"blog", "style", "rationale"})
        rows[row.id] = Example(level=rule.level, accepted=rule.accepted, register=row.style, **told)
    return list(rows.values())


@cache
def vignettes(split: str = "test") -> tuple[Example, ...]:
    """The shipped free texts, never templated: "test", or "dev" (the only ones that are tuned on)."""
    files = {"test": "vignettes.jsonl", "dev": "vignettes_dev.jsonl"}
    return tuple(load_vignettes(DATA / "eval" / files[split]))


# The three columns in which every model is judged, with the suffix of their measurement keys: new to
# fine-tuning, new to base and fine-tuning, free texts.
COLUMNS: dict[str, str] = {"test wordings": "", "held-out syndromes": ".syndromes", "vignettes": ".vignettes"}


def columns() -> dict[str, list[Example]]:
    """The test items of each of `COLUMNS`."""
    items = (evaluation_prompts("test"), evaluation_prompts("syndromes"), list(vignettes()))
    return dict(zip(COLUMNS, items, strict=True))


def chat_rows(examples: Iterable[Example], level_only: bool = False) -> list[dict[str, Any]]:
    """Rows in TRL's conversational prompt/completion form (the loss then falls on the completion only).

    `level_only` stops each answer after its level.
    """
    answers = ((row, f"{LEVEL_HEADING} {row.level}" if level_only else row.answer) for row in examples)
    return [
        {"prompt": row.prompt, "completion": [{"role": "assistant", "content": answer}]}
        for row, answer in answers
    ]
