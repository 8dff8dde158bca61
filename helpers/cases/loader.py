"""Read `data/cases/*.yaml` and the held-out syndromes, and refuse what is malformed by file, entry, field."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PlainValidator

from helpers.cases.syndromes import syndromes
from helpers.files import DATA, Row, bad_entry, check_entry, read_yaml
from helpers.triage import Syndrome, countries

SPLITS = ("train", "dev", "test")
VOICES = ("yo", "otro", "ficha")  # the patient, somebody else about the patient, a health worker's note
_KEY = re.compile(rf"(?P<voice>{'|'.join(VOICES)})(?P<several>\+?)(?: (?P<region>[A-Z]{{2}}))?")
_LEVEL_WORDS = re.compile(r"\b(rojo|roja|naranja|amarillo|amarilla|verde|azul|azule)s?\b", re.IGNORECASE)


@dataclass(frozen=True)
class Wording:
    """One way in which somebody says a finding.

    `several`: it names two or more things of which one decides; `region`: the country whose words it uses.
    """

    text: str
    voice: str
    several: bool = False
    region: str | None = None


def _without_level(text: Any) -> str:
    if not isinstance(text, str) or not text.strip():
        raise ValueError("must be a text")
    if leaked := _LEVEL_WORDS.search(text):
        raise ValueError(f"may not contain the level word {leaked[0]!r}")
    return text.strip()


def _wording(row: Any) -> Wording:
    """One wording from its row `{voice+ region: text}`."""
    ((key, text),) = row.items() if isinstance(row, dict) and len(row) == 1 else [("", "")]
    form = _KEY.fullmatch(str(key))
    if not form:
        ways = ", ".join(VOICES)
        raise ValueError(
            f"must be one `voice: text`, the voice {ways}, with `+` and a country where they apply"
        )
    if form["region"] and form["region"] not in countries():
        raise ValueError(f"no emergency number on file for the country {form['region']!r}")
    return Wording(_without_level(text), form["voice"], bool(form["several"]), form["region"])


def _syndrome(name: Any, held_out: bool) -> Syndrome:
    if str(name) not in syndromes():
        raise ValueError(f"unknown syndrome {name!r}")
    if syndromes()[name].held_out and not held_out:
        raise ValueError(f"{name!r} is held out: nothing that is trained on may tell it")
    if held_out and not syndromes()[name].held_out:
        raise ValueError(f"{name!r} is not held out: it may be trained on, so it is no test of the unknown")
    return syndromes()[name]


Wordings = Annotated[tuple[Annotated[Wording, PlainValidator(_wording)], ...], Field(min_length=1)]


class _Splits(Row):
    train: Wordings
    dev: Wordings
    test: Wordings

    def __getitem__(self, split: str) -> tuple[Wording, ...]:
        return getattr(self, split)


class Finding(Row):
    """One clinical picture: the ways people tell it. Level, accepted set and rationale are its syndrome's.

    `presentation` is the reason for seeking help (chest pain, a fall…), `term` the chart term, a noun phrase:
    what the template writer uses. `age_decides`: with another age the level would be another.
    """

    presentation: str
    id: str
    syndrome: Annotated[Syndrome, PlainValidator(lambda name: _syndrome(name, held_out=False))]
    gloss: str
    term: Annotated[str, PlainValidator(_without_level)]
    wordings: _Splits
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
    def key(self) -> str:
        """Unique name across the micro-world."""
        return f"{self.presentation}.{self.id}"


class _Presentation(Row):
    id: str
    title: str
    gloss: str
    findings: list[dict[str, Any]] = Field(min_length=1)


class _HeldOut(Row):
    syndrome: Annotated[Syndrome, PlainValidator(lambda name: _syndrome(name, held_out=True))]
    gloss: str
    wordings: Wordings


def _refuse_repeats(path: Path, named: Iterable[tuple[str, str, str]], known: dict[str, str]) -> None:
    """Refuse a name or text that is known already; rows are (text, entry, field)."""
    for text, entry, field in named:
        if text.lower() in known:
            raise bad_entry(path, entry, field, f"{text!r} is already that of {known[text.lower()]}")
        known[text.lower()] = entry


def load_findings(*paths: Path) -> dict[str, Finding]:
    """Every finding of these files by key; a `LabError` if one is malformed, or a name or text repeated."""
    loaded: dict[str, Finding] = {}
    known: dict[str, str] = {}
    for path in paths:
        complaint = check_entry(_Presentation, read_yaml(path), path, path.stem)
        for place, value in enumerate(complaint.findings):
            entry = str(value.get("id", place))
            finding = check_entry(Finding, value, path, entry, presentation=complaint.id)
            texts = [(text, split) for split in SPLITS for text in finding.texts(split)]
            named = [(finding.key, "id"), (finding.term, "term"), *((t, f"wordings.{s}") for t, s in texts)]
            _refuse_repeats(path, ((text, finding.key, field) for text, field in named), known)
            loaded[finding.key] = finding
    return loaded


def load_held_out(path: Path) -> dict[str, tuple[Wording, ...]]:
    """Wordings by syndrome; a `LabError` if one is malformed, or its syndrome is not held out."""
    loaded: dict[str, tuple[Wording, ...]] = {}
    known: dict[str, str] = {}
    for name, value in read_yaml(path).items():
        loaded[name] = check_entry(_HeldOut, value, path, name, syndrome=name).wordings
        _refuse_repeats(path, ((wording.text, name, "wordings") for wording in loaded[name]), known)
    return loaded


@cache
def findings() -> dict[str, Finding]:
    """Every finding of the shipped micro-world by key."""
    return load_findings(*sorted((DATA / "cases").glob("*.yaml")))


@cache
def held_out() -> dict[str, tuple[Wording, ...]]:
    """The shipped wordings of the held-out syndromes: test items."""
    return load_held_out(DATA / "eval" / "held_out_syndromes.yaml")
