"""Read `data/syndromes.yaml`: one rule for each syndrome, which findings and vignettes name."""

from functools import cache
from pathlib import Path
from typing import Any

from helpers.files import DATA, LabError, Row, bad_entry, check_entry, read_yaml
from helpers.triage import LEVELS, URGENT, Syndrome


class _Source(Row):
    """Where facts were taken from; `unverified` says that the document was not read for this table."""

    body: str
    title: str
    year: int
    unverified: bool = False


class _FirstAid(Row):
    text: str
    source: str


def load_syndromes(path: Path, first_aid_path: Path) -> dict[str, Syndrome]:
    """Every syndrome by name; a `LabError` if an entry is malformed or contradicts itself."""
    table = read_yaml(path)
    sources = {name: check_entry(_Source, row, path, name) for name, row in table["sources"].items()}
    aid = {}
    for name, row in read_yaml(first_aid_path).items():
        aid[name] = check_entry(_FirstAid, row, first_aid_path, name)
        if aid[name].source not in sources:
            problem = f"{aid[name].source!r} is not among the sources of syndromes.yaml"
            raise bad_entry(first_aid_path, name, "source", problem)
    rules = {}
    for name, row in table["syndromes"].items():
        rule = check_entry(Syndrome, row, path, name, key=name)
        if wrong := _problem(rule, sources, aid):
            raise bad_entry(path, name, *wrong)
        rules[name] = rule.model_copy(
            update={"first_aid": aid[rule.first_aid].text if rule.first_aid else None}
        )
    return rules


def _problem(row: Syndrome, sources: dict[str, Any], aid: dict[str, Any]) -> tuple[str, str] | None:
    """The field that is wrong in a rule, and why; None for a sound one."""
    if unknown := [level for level in (row.level, *row.accepted) if level not in LEVELS]:
        return "accepted", f"unknown level {unknown[0]!r}; the levels are {', '.join(LEVELS)}"
    if list(row.accepted) != sorted(set(row.accepted), key=LEVELS.index):
        return "accepted", f"levels must be distinct, from most to least urgent, not {list(row.accepted)}"
    if row.level not in row.accepted:
        return "level", f"the level {row.level} is outside its accepted set {list(row.accepted)}"
    if row.call_now != (row.level == "ROJO") and row.level != "NARANJA":
        return "call_now", f"must not be so for {row.level}: ROJO always calls, AMARILLO and below do not"
    if row.call_now and (mild := [level for level in row.accepted if level not in URGENT]):
        return "accepted", f"{mild[0]} sends the person travelling, and call_now asks to call first"
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
    """The syndrome of this name. Raises LabError: there is none."""
    if name not in syndromes():
        how = "data/syndromes.yaml names those there are; add one there with its source"
        raise LabError(f"There is no syndrome {name!r}. {how}.")
    return syndromes()[name]
