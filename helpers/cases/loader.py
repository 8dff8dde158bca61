"""Read `data/cases/*.yaml` and refuse what is malformed, naming file, line and field."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from helpers.files import DATA, LabError, read_yaml
from helpers.triage import LEVELS

SPLITS = ("train", "dev", "test")
PATIENTS = ("adult", "child", "pregnant")
_LEVEL_WORDS = re.compile(r"\b(rojo|roja|naranja|amarillo|amarilla|verde|azul|azule)s?\b", re.IGNORECASE)


@dataclass(frozen=True)
class Finding:
    """One clinical sign: the ways people say it, the level our rubric gives it, and why.

    `term` is the chart term (a noun phrase, part of the training split); `wordings` maps each split to its texts.
    """

    presentation: str
    id: str
    level: str
    accepted: tuple[str, ...]
    gloss: str
    rationale: str
    term: str
    wordings: dict[str, tuple[str, ...]]

    def texts(self, split: str) -> tuple[str, ...]:
        """Every text of this finding in a split."""
        return (self.term, *self.wordings["train"]) if split == "train" else self.wordings[split]

    @property
    def key(self) -> str:
        """Unique name across the micro-world."""
        return f"{self.presentation}.{self.id}"


@dataclass(frozen=True)
class Presentation:
    """A reason for seeking help (chest pain, a fall…) with its findings; `patient` says whom the frames speak of."""

    id: str
    title: str
    gloss: str
    patient: str
    alarm_signs: tuple[str, ...]
    findings: tuple[Finding, ...]


class _Source:
    """A parsed YAML file that still knows the line of every field."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = read_yaml(path)
        self.tree = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)

    def line(self, *steps: str | int) -> int:
        """1-based line of the field reached by `steps`; the nearest existing parent when it is missing."""
        node = self.tree
        for step in steps:
            if isinstance(node, yaml.MappingNode):
                children = {key.value: value for key, value in node.value}
                following = children.get(step)
            else:
                sequence = isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value)
                following = node.value[step] if sequence else None
            if following is None:
                break
            node = following
        return node.start_mark.line + 1 if node else 1

    def fail(self, steps: tuple[str | int, ...], problem: str) -> LabError:
        field = ".".join(str(step) for step in steps)
        return LabError(f"{self.path}:{self.line(*steps)}: field `{field}`: {problem}. See data/README.md for the format.")

    def text(self, *steps: str | int) -> str:
        """The non-empty string at `steps`."""
        value: Any = self.data
        for step in steps:
            present = step in value if isinstance(value, dict) else isinstance(value, list) and isinstance(step, int) and step < len(value)
            if not present:
                raise self.fail(steps, "is missing")
            value = value[step]
        if not isinstance(value, str) or not value.strip():
            raise self.fail(steps, "must be a non-empty text")
        return value.strip()

    def texts(self, *steps: str | int) -> tuple[str, ...]:
        """The non-empty list of strings at `steps`."""
        value: Any = self.data
        for step in steps:
            value = value.get(step) if isinstance(value, dict) else value[step] if isinstance(value, list) else None
        if not isinstance(value, list) or not value:
            raise self.fail(steps, "must be a non-empty list")
        return tuple(self.text(*steps, index) for index in range(len(value)))


def _levels(source: _Source, *steps: str | int) -> tuple[str, ...]:
    """A list of known levels, most urgent first."""
    levels = source.texts(*steps)
    for index, level in enumerate(levels):
        if level not in LEVELS:
            raise source.fail((*steps, index), f"unknown level {level!r}; the levels are {', '.join(LEVELS)}")
    if list(levels) != sorted(set(levels), key=LEVELS.index):
        raise source.fail(steps, f"levels must be distinct and go from most to least urgent, not {list(levels)}")
    return levels


def _finding(source: _Source, presentation: str, index: int) -> Finding:
    at = ("findings", index)
    level = source.text(*at, "level")
    if level not in LEVELS:
        raise source.fail((*at, "level"), f"unknown level {level!r}; the levels are {', '.join(LEVELS)}")
    accepted = _levels(source, *at, "accepted")
    if level not in accepted:
        raise source.fail((*at, "accepted"), f"the primary level {level} is outside its accepted set {list(accepted)}")
    wordings = {split: source.texts(*at, "wordings", split) for split in SPLITS}
    for steps in ((*at, "term"), *((*at, "wordings", split, i) for split in SPLITS for i in range(len(wordings[split])))):
        leaked = _LEVEL_WORDS.search(source.text(*steps))
        if leaked:
            raise source.fail(steps, f"a wording may not contain the level word {leaked[0]!r}")
    fields = {name: source.text(*at, name) for name in ("id", "gloss", "rationale", "term")}
    return Finding(presentation=presentation, level=level, accepted=accepted, wordings=wordings, **fields)


def load_presentation(path: Path) -> Presentation:
    """Read one file of the micro-world.

    Raises:
        LabError: an entry is malformed; the message names file, line and field.
    """
    source = _Source(path)
    if not isinstance(source.data, dict) or not isinstance(source.data.get("findings"), list) or not source.data["findings"]:
        raise source.fail(("findings",), "must be a non-empty list of findings")
    name = source.text("id")
    patient = source.text("patient")
    if patient not in PATIENTS:
        raise source.fail(("patient",), f"unknown patient {patient!r}; one of {', '.join(PATIENTS)}")
    rows = tuple(_finding(source, name, index) for index in range(len(source.data["findings"])))
    seen: set[str] = set()
    for index, finding in enumerate(rows):
        if finding.id in seen:
            raise source.fail(("findings", index, "id"), f"duplicate id {finding.id!r}")
        seen.add(finding.id)
    return Presentation(name, source.text("title"), source.text("gloss"), patient, source.texts("alarm_signs"), rows)


def load_presentations(folder: Path) -> tuple[Presentation, ...]:
    """Read every presentation of a folder, in file-name order.

    Raises:
        LabError: a file is malformed, an id or a text occurs twice, or the folder is empty.
    """
    paths = sorted(folder.glob("*.yaml"))
    if not paths:
        raise LabError(f"{folder} holds no *.yaml file. It is part of the repository: restore it with `git checkout -- data/cases`.")
    loaded = tuple(load_presentation(path) for path in paths)
    ids: dict[str, Path] = {}
    texts: dict[str, str] = {}
    for path, presentation in zip(paths, loaded, strict=True):
        if presentation.id in ids:
            raise LabError(f"{path}:1: field `id`: duplicate id {presentation.id!r}, already used by {ids[presentation.id]}.")
        ids[presentation.id] = path
        for finding in presentation.findings:
            for text in (text for split in SPLITS for text in finding.texts(split)):
                if text.lower() in texts:
                    raise LabError(f"{path}: field `wordings` of {finding.key}: {text!r} is already a wording of {texts[text.lower()]}.")
                texts[text.lower()] = finding.key
    return loaded


@cache
def presentations() -> tuple[Presentation, ...]:
    """The shipped micro-world."""
    return load_presentations(DATA / "cases")


@cache
def findings() -> dict[str, Finding]:
    """Every finding of the shipped micro-world by key."""
    return {finding.key: finding for presentation in presentations() for finding in presentation.findings}
