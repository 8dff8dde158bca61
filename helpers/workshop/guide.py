"""The instructor's guide, one Markdown file: plans, then every notebook with its exercises and their answers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from helpers.files import ROOT, Row, check_entry, read_yaml
from helpers.notebooks import PLAN, Chapter
from helpers.workshop import pages
from helpers.workshop.plans import Plan, Step, all_plans, chapter_of, measured, minutes, page, reading, rule

MISTAKES = ROOT / "tests" / "exercises" / "mistakes.yaml"


class Mistake(Row):
    """A common wrong answer, as code or in words, and what it shows about the idea behind it."""

    code: str = ""
    answer: str = ""
    shows: str


def mistakes() -> dict[str, list[Mistake]]:
    """Common wrong answers by exercise: the name of its check, or its place."""
    stored = read_yaml(MISTAKES)
    return {key: [check_entry(Mistake, one, MISTAKES, key) for one in rows] for key, rows in stored.items()}


def guide_text() -> str:
    """The whole guide."""
    pace, machines = rule(), {measured(chapter).machine for chapter in PLAN} - {""}
    head = f"""# Instructor's guide

Minutes of *running* are measured by `python -m helpers run --fresh`, with one seed, from an empty cache, on
this kind of machine: {"; ".join(sorted(machines))}. Others differ. Run that command on one of the room's
machines, then make this guide again: it shows that machine's minutes.

Minutes of *reading* are an estimate: {pace.words_a_minute} words of prose and {pace.code_lines_a_minute} lines
of code a minute, slow enough for a text that is not in one's own language. An *exercise* takes
{pace.exercise_minutes} minutes, its reading and discussion included.

The edition for students has no solutions and no outputs. Whoever is late opens the next notebook of the plan:
each one runs alone. What it needs from earlier notebooks is its *checkpoint*. A checkpoint that is not on the
disk is trained when it is asked for. To have it there before the class: `python -m helpers train NAME`, or
the zip of `python -m helpers workshop --zip`.
"""
    told = [_plan(name, plan) for name, plan in all_plans().items()]
    return "\n".join([head, *told, *map(_chapter, PLAN)])


def _clock(spent: float) -> str:
    return f"{int(spent) // 60}:{int(spent) % 60:02}"


def _plan(name: str, plan: Plan) -> str:
    """A plan as a table, with the clock at which each step begins."""
    rows, spent = [], 0.0
    for step in plan.steps:
        parts = minutes(step)
        told = ", ".join(f"{kind} {value:.0f}" for kind, value in parts.items() if value >= 0.5)
        rows.append(f"| {_clock(spent)} | {_step(step)} | {sum(parts.values()):.0f} ({told}) |")
        spent += sum(parts.values())
    return "\n".join(
        [
            f"## Plan: {name}\n\n{plan.what}\n",
            "| clock | what | minutes |\n| --- | --- | --- |",
            *rows,
            f"\nIt ends at {_clock(spent)} and leaves {plan.minutes - spent:.0f} minutes of "
            f"{plan.minutes}.\n",
        ]
    )


def _step(step: Step) -> str:
    """What a class does in a step."""
    if step.pause:
        return "pause"
    chapter = chapter_of(step.notebook)
    needed = pages.stages(page(chapter))
    places = ", ".join(str(one) for one in step.exercises)
    left = f" Run, but do not read: *{'*, *'.join(step.leave_out)}*." if step.leave_out else ""
    asked = f"Exercises {places}." if places else "No exercise."
    return f"{chapter.name}. {asked}{left} Checkpoint: {', '.join(needed) or 'none needed'}."


def _chapter(chapter: Chapter) -> str:
    """A notebook's part of the guide."""
    notebook, times, pace = page(chapter), measured(chapter), rule()
    total = "not measured yet" if times.seconds is None else f"{times.seconds / 60:.1f} minutes"
    rows = []
    for heading, section in pages.sections(notebook).items():
        if heading:
            ran = times.sections.get(heading)
            shown = "not measured" if ran is None else f"{ran / 60:.1f}" if ran >= 3 else "under 0.1"
            rows.append(f"| {heading} | {shown} | {reading(section, pace):.0f} |")
    return "\n".join(
        [
            f"## {chapter.name}: {chapter.title}\n\n**{chapter.question}** Running: {total}. "
            f"Checkpoint: {', '.join(pages.stages(notebook)) or 'none needed'}.\n",
            "| section | running, measured (minutes) | reading, estimated (minutes) |\n| --- | --- | --- |",
            *rows,
            "",
            *_exercises(chapter),
        ]
    )


def _exercises(chapter: Chapter) -> Iterator[str]:
    """The exercises of a notebook: what is asked, the solution, and what goes wrong."""
    wrong = mistakes()
    for number, exercise in enumerate(pages.exercises(chapter, page(chapter)), 1):
        asks = re.sub(r"^\*\*\W*\d*[ .·]*", "**", exercise.asks)
        yield f"### {chapter.name[:2]}, exercise {number}: {pages.KINDS[exercise.kind]}\n\n{asks}\n"
        yield f"*Solution.*\n\n{exercise.solution}\n" if exercise.solution else "*No one solution.*\n"
        for one in wrong.get(exercise.key, []):
            told = f"\n\n```python\n{one.code.rstrip()}\n```\n\n" if one.code else f" “{one.answer}” "
            yield f"*Common wrong answer.*{told}*What it shows.* {one.shows}\n"
