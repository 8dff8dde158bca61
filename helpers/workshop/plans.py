"""Plans of a class by the clock: the steps of data/workshop.yaml, and their minutes by one rule.

A step takes the measured time of its notebook, plus reading at the pace that the file states, plus the same
minutes for every exercise. The computer runs while people read, so a step has some room.
"""

from functools import lru_cache
from typing import NamedTuple

from nbformat import NotebookNode

from helpers.files import DATA, LabError, Row, build_dir, check_entry, read_json, read_yaml
from helpers.notebooks import PLAN, Chapter, read
from helpers.workshop import pages

PLANS = DATA / "workshop.yaml"


class Rule(Row):
    """How long a class takes."""

    words_a_minute: int
    code_lines_a_minute: int
    exercise_minutes: int


class Step(Row):
    """A notebook with some of its exercises, or a pause."""

    notebook: str = ""
    exercises: tuple[int, ...] = ()
    leave_out: tuple[str, ...] = ()  # sections that are run and not read
    pause: int = 0


class Plan(Row):
    """A class of so many minutes, pauses included."""

    what: str
    minutes: int
    steps: tuple[Step, ...]


class Measured(NamedTuple):
    """How long a notebook ran: seconds in all (None: not measured), of its sections, and on what machine."""

    seconds: float | None
    sections: dict[str, float]
    machine: str


def measured(chapter: Chapter) -> Measured:
    """The shipped times of a notebook, or this machine's own where it has measured them."""
    found = Measured(None, {}, "")
    for folder in (DATA / "results", build_dir() / "results"):
        path = folder / f"{chapter.profile}.json"
        stored = read_json(path) if path.exists() else {}
        if total := stored.get("measurements", {}).get(f"series.{chapter.name}.seconds"):
            sections = stored.get("sections", {}).get(chapter.name, {})
            found = Measured(total["value"], sections, stored["machine"])
    return found


def rule() -> Rule:
    """The pace of data/workshop.yaml."""
    return check_entry(Rule, read_yaml(PLANS)["rule"], PLANS, "rule")


def all_plans() -> dict[str, Plan]:
    """The plans of data/workshop.yaml by name."""
    return {name: check_entry(Plan, one, PLANS, name) for name, one in read_yaml(PLANS)["plans"].items()}


def chapter_of(number: str) -> Chapter:
    """The notebook whose name begins so."""
    return next(chapter for chapter in PLAN if chapter.name.startswith(number))


@lru_cache
def page(chapter: Chapter) -> NotebookNode:
    """The notebook, read once; not to be changed."""
    return read(chapter.path)


def reading(section: pages.Section, pace: Rule) -> float:
    """Minutes to read a section."""
    return section.words / pace.words_a_minute + section.lines / pace.code_lines_a_minute


def minutes(step: Step) -> dict[str, float]:
    """The minutes of a step by kind: running, reading, exercises; or pause.

    The reading of the exercises' own section is part of the minutes for exercises.

    Raises LabError: a section or an exercise is not on the page, or the notebook was never measured.
    """
    if step.pause:
        return {"pause": step.pause}
    chapter, pace = chapter_of(step.notebook), rule()
    found, seconds = pages.sections(page(chapter)), measured(chapter).seconds
    there = len(pages.exercises(chapter, page(chapter)))
    unknown = [*(set(step.leave_out) - set(found)), *(str(one) for one in step.exercises if one > there)]
    if unknown or seconds is None:
        lacks = f"has no {', '.join(unknown)}" if unknown else "was never measured"
        raise LabError(f"{PLANS.name}: {chapter.name} {lacks}. Mend the plan, or run the notebook.")
    read_too = [one for heading, one in found.items() if heading not in (*step.leave_out, "Exercises")]
    return {
        "running": seconds / 60,
        "reading": sum(reading(one, pace) for one in read_too),
        "exercises": float(pace.exercise_minutes * len(step.exercises)),
    }
