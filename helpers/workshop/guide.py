"""The instructor's guide, one Markdown file: plans, then every notebook with its exercises and their answers."""

import re

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
    lines, spent = [f"## Plan: {name}\n\n{plan.what}\n\n| clock | what | minutes |\n| --- | --- | --- |"], 0.0
    for step in plan.steps:
        parts = minutes(step)
        told = ", ".join(f"{kind} {value:.0f}" for kind, value in parts.items() if value >= 0.5)
        lines.append(f"| {_clock(spent)} | {_step(step)} | {sum(parts.values()):.0f} ({told}) |")
        spent += sum(parts.values())
    left = f"leaves {plan.minutes - spent:.0f} minutes of {plan.minutes}"
    return "\n".join([*lines, f"\nIt ends at {_clock(spent)} and {left}.\n"])


def _checkpoints(chapter: Chapter) -> str:
    return f"Checkpoint: {', '.join(pages.stages(page(chapter))) or 'none needed'}."


def _step(step: Step) -> str:
    if step.pause:
        return "pause"
    chapter = chapter_of(step.notebook)
    asked = f"Exercises {', '.join(map(str, step.exercises))}." if step.exercises else "No exercise."
    left = f" Run, but do not read: *{'*, *'.join(step.leave_out)}*." if step.leave_out else ""
    return f"{chapter.name}. {asked}{left} {_checkpoints(chapter)}"


def _chapter(chapter: Chapter) -> str:
    """A notebook's part of the guide: its sections, then each exercise, its solution, and what goes wrong."""
    times, pace, wrong = measured(chapter), rule(), mistakes()
    total = "not measured yet" if times.seconds is None else f"{times.seconds / 60:.1f} minutes"
    lines = [
        f"## {chapter.name}: {chapter.title}\n",
        f"**{chapter.question}** Running: {total}. {_checkpoints(chapter)}\n",
        "| section | running, measured (minutes) | reading, estimated (minutes) |\n| --- | --- | --- |",
    ]
    for heading, section in pages.sections(page(chapter)).items():
        if heading:
            ran = times.sections.get(heading)
            shown = "not measured" if ran is None else f"{ran / 60:.1f}" if ran >= 3 else "under 0.1"
            lines.append(f"| {heading} | {shown} | {reading(section, pace):.0f} |")
    lines.append("")
    for number, exercise in enumerate(pages.exercises(chapter, page(chapter)), 1):
        asks = re.sub(r"^\*\*\W*\d*[ .·]*", "**", exercise.asks)
        lines.append(f"### {chapter.name[:2]}, exercise {number}: {pages.KINDS[exercise.kind]}\n\n{asks}\n")
        lines.append(f"*Solution.*\n\n{exercise.solution}\n" if exercise.solution else "*No one solution.*\n")
        for one in wrong.get(exercise.key, []):
            told = f"\n\n```python\n{one.code.rstrip()}\n```\n\n" if one.code else f" “{one.answer}” "
            lines.append(f"*Common wrong answer.*{told}*What it shows.* {one.shows}\n")
    return "\n".join(lines)
