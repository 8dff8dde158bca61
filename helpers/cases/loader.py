"""Read `data/cases/*.yaml` and the held-out syndromes, and refuse what is malformed, naming file, entry and
field.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from helpers.cases.syndromes import syndromes
from helpers.files import DATA, LabError, Row, bad_entry, check_entry, read_yaml
from helpers.triage import Syndrome, countries

SPLITS = ("train", "dev", "test")
VOICES = ("yo", "otro", "ficha")  # the patient, somebody else about the patient, a health worker's note
_KEY = re.compile(rf"(?P<voice>{'|'.join(VOICES)})(?P<several>\+?)(?: (?P<region>[A-Z]{{2}}))?")
_LEVEL_WORDS = re.compile(r"\b(rojo|roja|naranja|amarillo|amarilla|verde|azul|azule)s?\b", re.IGNORECASE)


@dataclass(frozen=True)
class Wording:
    """One way in which somebody says a finding.

    `several` marks a text that names two or more things of which one decides; `region` is the country whose
    words it uses, None for anywhere.
    """

    text: str
    voice: str
    several: bool = False
    region: str | None = None


@dataclass(frozen=True)
class Finding:
    """One clinical picture: the ways people tell it. Level, accepted set and rationale are its syndrome's.

    `term` is the chart term, a noun phrase: what the template writer uses. `age_decides`: with another age
        the level would be another.
    """

    presentation: str
    id: str
    syndrome: Syndrome
    gloss: str
    term: str
    wordings: dict[str, tuple[Wording, ...]]
    age_decides: bool = False

    def texts(self, split: str) -> tuple[str, ...]:
        """What people say, in a split."""
        return tuple(wording.text for wording in self.wordings[split])

    @property
    def level(self) -> str:
        """The primary level."""
        return self.syndrome.level

    @property
    def accepted(self) -> tuple[str, ...]:
        """The defensible levels, most urgent first."""
        return self.syndrome.accepted

    @property
    def rationale(self) -> str:
        """Why this level, in one sentence."""
        return self.syndrome.rationale

    @property
    def key(self) -> str:
        """Unique name across the micro-world."""
        return f"{self.presentation}.{self.id}"


@dataclass(frozen=True)
class Presentation:
    """A reason for seeking help (chest pain, a fall…) with its findings."""

    id: str
    title: str
    gloss: str
    findings: tuple[Finding, ...]


class _Wordings(Row):
    train: list[dict[str, str]]
    dev: list[dict[str, str]]
    test: list[dict[str, str]]


class _Finding(Row):
    id: str
    syndrome: str
    gloss: str
    term: str
    wordings: _Wordings
    age_decides: bool = False


class _Presentation(Row):
    id: str
    title: str
    gloss: str
    findings: list[dict[str, Any]]


class _HeldOut(Row):
    gloss: str
    wordings: list[dict[str, str]]


def _wording(row: dict[str, str], path: Path, entry: str, field: str) -> Wording:
    """One wording from its row `{voice+ region: text}`."""
    ((key, text),) = row.items() if len(row) == 1 else [("", "")]
    form = _KEY.fullmatch(key)
    if not form or not text.strip():
        raise bad_entry(
            path,
            entry,
            field,
            f"must be one `voice: text`, the voice {', '.join(VOICES)}, with `+` and a country where they "
            f"apply",
        )
    if form["region"] and form["region"] not in countries():
        raise bad_entry(path, entry, field, f"no emergency number on file for the country {form['region']!r}")
    if leaked := _LEVEL_WORDS.search(text):
        raise bad_entry(path, entry, field, f"a wording may not contain the level word {leaked[0]!r}")
    return Wording(text.strip(), form["voice"], bool(form["several"]), form["region"])


def _finding(value: Any, presentation: str, path: Path, place: int) -> Finding:
    entry = str(value.get("id", place)) if isinstance(value, dict) else str(place)
    if isinstance(value, dict) and (stray := {"level", "accepted", "call_now"} & set(value)):
        raise bad_entry(
            path, entry, min(stray), "stands in syndromes.yaml and nowhere else: name the syndrome"
        )
    row = check_entry(_Finding, value, path, entry)
    syndrome = syndromes().get(row.syndrome)
    if syndrome is None:
        raise bad_entry(path, entry, "syndrome", f"unknown syndrome {row.syndrome!r}")
    if syndrome.held_out:
        raise bad_entry(
            path, entry, "syndrome", f"{row.syndrome!r} is held out: nothing that is trained on may tell it"
        )
    if leaked := _LEVEL_WORDS.search(row.term):
        raise bad_entry(path, entry, "term", f"a term may not contain the level word {leaked[0]!r}")
    wordings = {}
    for split in SPLITS:
        texts = getattr(row.wordings, split)
        if not texts:
            raise bad_entry(path, entry, f"wordings.{split}", "must be a non-empty list")
        wordings[split] = tuple(
            _wording(text, path, entry, f"wordings.{split}.{n}") for n, text in enumerate(texts)
        )
    return Finding(presentation, row.id, syndrome, row.gloss, row.term, wordings, row.age_decides)


def load_presentation(path: Path) -> Presentation:
    """Read one file of the micro-world.

    Raises:
        LabError: an entry is malformed; the message names file, entry and field.
    """
    row = check_entry(_Presentation, read_yaml(path), path, path.stem)
    if not row.findings:
        raise bad_entry(path, row.id, "findings", "must be a non-empty list")
    rows = tuple(_finding(value, row.id, path, place) for place, value in enumerate(row.findings))
    _refuse_repeats([(finding.id, path, finding.key, "id") for finding in rows])
    return Presentation(row.id, row.title, row.gloss, rows)


def _refuse_repeats(named: list[tuple[str, Path, str, str]]) -> None:
    """Refuse a name or text that occurs twice; rows are (text, file, entry, field)."""
    first: dict[str, str] = {}
    for text, path, entry, field in named:
        if text.lower() in first:
            raise bad_entry(path, entry, field, f"{text!r} is already that of {first[text.lower()]}")
        first[text.lower()] = entry


def load_presentations(folder: Path) -> tuple[Presentation, ...]:
    """Read every presentation of a folder, in file-name order.

    Raises:
        LabError: a file is malformed, an id or a text occurs twice, or the folder is empty.
    """
    paths = sorted(folder.glob("*.yaml"))
    if not paths:
        raise LabError(
            f"{folder} holds no *.yaml file. It is part of the repository: restore it with `git checkout -- "
            f"data/cases`."
        )
    loaded = tuple(load_presentation(path) for path in paths)
    _refuse_repeats([(row.id, path, row.id, "id") for path, row in zip(paths, loaded, strict=True)])
    pairs = [(path, finding) for path, row in zip(paths, loaded, strict=True) for finding in row.findings]
    _refuse_repeats([(finding.term, path, finding.key, "term") for path, finding in pairs])
    _refuse_repeats(
        [
            (text, path, f.key, f"wordings.{split}")
            for path, f in pairs
            for split in SPLITS
            for text in f.texts(split)
        ]
    )
    return loaded


def load_held_out(path: Path) -> dict[str, tuple[Wording, ...]]:
    """Wordings of syndromes that no model has been told about, by syndrome.

    Raises:
        LabError: an entry is malformed, or its syndrome is not one that is held out.
    """
    loaded = {}
    for name, value in read_yaml(path).items():
        row = check_entry(_HeldOut, value, path, name)
        if name not in syndromes():
            raise bad_entry(path, name, "(key)", f"unknown syndrome {name!r}")
        if not syndromes()[name].held_out:
            raise bad_entry(
                path,
                name,
                "(key)",
                f"{name!r} is not held out: it may be trained on, so it is no test of the unknown",
            )
        loaded[name] = tuple(
            _wording(text, path, name, f"wordings.{n}") for n, text in enumerate(row.wordings)
        )
    _refuse_repeats(
        [(wording.text, path, name, "wordings") for name, rows in loaded.items() for wording in rows]
    )
    return loaded


@cache
def presentations() -> tuple[Presentation, ...]:
    """The shipped micro-world."""
    return load_presentations(DATA / "cases")


@cache
def findings() -> dict[str, Finding]:
    """Every finding of the shipped micro-world by key."""
    return {finding.key: finding for presentation in presentations() for finding in presentation.findings}


@cache
def held_out() -> dict[str, tuple[Wording, ...]]:
    """The shipped wordings of the held-out syndromes: test items."""
    return load_held_out(DATA / "eval" / "held_out_syndromes.yaml")
