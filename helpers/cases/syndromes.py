"""Read `data/syndromes.yaml`: one rule for each syndrome, from which findings and vignettes take their level."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from helpers.files import DATA, LabError, Row, bad_entry, check_entry, read_yaml
from helpers.triage import LEVELS, Syndrome


class _Source(Row):
    """Where facts were taken from; `unverified` says that the document was not read for this table."""

    body: str
    title: str
    year: int
    unverified: bool = False


class _FirstAid(Row):
    text: str
    source: str


class _Syndrome(Row):
    level: str
    accepted: tuple[str, ...]
    call_now: bool
    gloss: str
    rationale: str
    alarm_signs: tuple[str, ...]
    source: str
    first_aid: str | None = None
    held_out: bool = False


def load_first_aid(path: Path, sources: dict[str, Any]) -> dict[str, str]:
    """The first-aid sentences by name, each with a known source."""
    rows = {name: check_entry(_FirstAid, row, path, name) for name, row in read_yaml(path).items()}
    for name, row in rows.items():
        if row.source not in sources:
            raise bad_entry(
                path, name, "source", f"{row.source!r} is not among the sources of syndromes.yaml"
            )
    return {name: row.text for name, row in rows.items()}


def load_syndromes(path: Path, first_aid_path: Path) -> dict[str, Syndrome]:
    """Every syndrome by name.

    Raises:
        LabError: an entry is malformed or contradicts itself; the message names file, entry and field.
    """
    table = read_yaml(path)
    for name, row in table["sources"].items():
        check_entry(_Source, row, path, name)
    aid = load_first_aid(first_aid_path, table["sources"])
    rows = {name: check_entry(_Syndrome, row, path, name) for name, row in table["syndromes"].items()}
    for name, row in rows.items():
        if problem := _problem(row, table["sources"], aid):
            raise bad_entry(path, name, *problem)
    return {
        name: Syndrome(
            name, **row.model_dump(exclude={"source", "first_aid"}), first_aid=aid.get(row.first_aid or "")
        )
        for name, row in rows.items()
    }


def _problem(row: _Syndrome, sources: dict[str, Any], aid: dict[str, str]) -> tuple[str, str] | None:
    """The field that is wrong in a rule, and why; None for a sound one."""
    unknown = [level for level in (row.level, *row.accepted) if level not in LEVELS]
    if unknown:
        return "accepted", f"unknown level {unknown[0]!r}; the levels are {', '.join(LEVELS)}"
    if list(row.accepted) != sorted(set(row.accepted), key=LEVELS.index):
        return (
            "accepted",
            f"levels must be distinct and go from most to least urgent, not {list(row.accepted)}",
        )
    if row.level not in row.accepted:
        return "level", f"the level {row.level} is outside its accepted set {list(row.accepted)}"
    if row.call_now != (row.level == "ROJO") and row.level != "NARANJA":
        return (
            "call_now",
            f"must be {str(row.level == 'ROJO').lower()} for {row.level}: ROJO always calls, AMARILLO and "
            f"below do not",
        )
    if not row.alarm_signs:
        return "alarm_signs", "must name at least one sign"
    if row.source not in sources:
        return "source", f"{row.source!r} is not among the sources of this file"
    if row.first_aid is not None and row.first_aid not in aid:
        return "first_aid", f"{row.first_aid!r} is not in first_aid.yaml"
    return None


@cache
def syndromes() -> dict[str, Syndrome]:
    """The shipped syndromes by name."""
    return load_syndromes(DATA / "syndromes.yaml", DATA / "first_aid.yaml")


def syndrome_of(name: str) -> Syndrome:
    """The syndrome of this name.

    Raises:
        LabError: there is none.
    """
    try:
        return syndromes()[name]
    except KeyError:
        raise LabError(
            f"There is no syndrome {name!r}. data/syndromes.yaml names those there are; add one there with "
            f"its source."
        ) from None
