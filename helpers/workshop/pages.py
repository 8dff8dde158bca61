"""A notebook as a class sees it: its sections, its exercises, and the edition without solutions."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from nbformat import NotebookNode

from helpers.notebooks import BOOT_TAG, HEADING, Chapter, code_cells

KINDS = {
    "code": "write code",
    "change": "change an experiment and run it again",
    "explain": "explain an outcome",
}
DETAILS = re.compile(r"<details>.*?</details>", re.DOTALL)
PROSE = re.compile(r"<details>.*?</details>|```.*?```|<[^>]+>|\]\([^)]*\)", re.DOTALL | re.MULTILINE)
OPENING = re.compile(r"^(?=\*\*)", re.MULTILINE)  # an exercise begins with its name in bold


@dataclass(frozen=True)
class Exercise:
    """One exercise of a notebook.

    Attributes:
        place: notebook and place in it, as `03.5`.
        name: of its check, for an exercise that asks for code.
        solution: Markdown; empty where the page gives none.
    """

    place: str
    kind: str
    asks: str
    name: str = ""
    solution: str = ""

    @property
    def key(self) -> str:
        """The name of its check; else its place."""
        return self.name or self.place


@dataclass(frozen=True)
class Section:
    """How much there is to read under a heading: words of prose, lines of code."""

    words: int = 0
    lines: int = 0


def sections(notebook: NotebookNode) -> dict[str, Section]:
    """What there is to read under every heading, in order; before the first one it is under ""."""
    found, heading = {"": Section()}, ""
    for cell in notebook.cells:
        now = found[heading]
        if cell.cell_type == "code" and BOOT_TAG not in cell.metadata.get("tags", []):
            lines = sum(bool(line.strip()) for line in cell.source.splitlines())
            found[heading] = replace(now, lines=now.lines + lines)
        elif cell.cell_type == "markdown":
            parts = re.split(HEADING, PROSE.sub(" ", cell.source), flags=re.MULTILINE)
            found[heading] = replace(now, words=now.words + len(parts[0].split()))
            for name, text in zip(parts[1::2], parts[2::2], strict=True):
                heading, found[name] = name, Section(words=len(text.split()))
    return found


def exercises(chapter: Chapter, notebook: NotebookNode) -> list[Exercise]:
    """The exercises of a notebook, in order."""
    found: list[Exercise] = []
    told = True  # is the question of the last one complete?
    for cell in _exercise_cells(notebook):
        tags = cell.metadata.get("tags", [])
        name = next((tag.removeprefix("exercise:") for tag in tags if tag.startswith("exercise:")), "")
        if name:
            found[-1], told = replace(found[-1], name=name, kind="code"), True
        if cell.cell_type == "code":
            continue
        for place, piece in enumerate(OPENING.split(cell.source)):
            if place:
                asked = re.sub(r"^\*\*\W*\d*[ .·]*", "", piece)
                kind = "explain" if asked.startswith("Explain") else "change"
                found.append(Exercise(f"{chapter.name[:2]}.{len(found) + 1}", kind, ""))
                told = False
            if found:
                found[-1] = _with(found[-1], piece, told)
    return found


def _with(exercise: Exercise, piece: str, told: bool) -> Exercise:
    """The exercise with one more piece of Markdown: the folded part is its solution, the rest its question."""
    folded = [
        re.sub(r"</?details>|<summary>.*?</summary>", "", part).strip() for part in DETAILS.findall(piece)
    ]
    rest = "" if told else DETAILS.sub("", piece).strip()
    asks = "\n\n".join(part for part in (exercise.asks, rest) if part)
    return replace(exercise, asks=asks, solution="\n\n".join([exercise.solution, *folded]).strip())


def _exercise_cells(notebook: NotebookNode) -> Iterator[NotebookNode]:
    """The cells under "Exercises", as copies; text under other headings is cut away."""
    inside = False
    for cell in notebook.cells:
        kept = copy.copy(cell)
        if cell.cell_type == "markdown":
            parts = re.split(HEADING, cell.source, flags=re.MULTILINE)
            under = [parts[0]] if inside else []
            for heading, text in zip(parts[1::2], parts[2::2], strict=True):
                inside = heading == "Exercises"
                under += [text] if inside else []
            kept.source = "\n".join(under)
            if under:
                yield kept
        elif inside:
            yield kept


def stages(notebook: NotebookNode) -> list[str]:
    """The trained stages that a notebook starts from or makes, by the names that its cells call them by."""
    source = "\n".join(cell.source for cell in code_cells(notebook))
    return list(dict.fromkeys(re.findall(r"lab\.(?:stage|keep)\(\"([\w-]+)\"", source)))


def student(chapter: Chapter, notebook: NotebookNode) -> NotebookNode:
    """The notebook without solutions and outputs.

    No cell needs the output of another run, and a figure that is there already spoils the prediction. One
    page keeps its outputs: that of another profile, which takes too long for a class and is read.
    """
    edition = copy.deepcopy(notebook)
    edition.cells = [
        cell
        for cell in edition.cells
        if not any(tag.startswith("solution:") for tag in cell.metadata.get("tags", []))
    ]
    for cell in edition.cells:
        tags = cell.metadata.get("tags", [])
        if cell.cell_type == "markdown":
            cell.source = DETAILS.sub("*Your answer:*", cell.source)
        elif chapter.profile == "nano" or any(tag.startswith("exercise:") for tag in tags):
            cell.outputs, cell.execution_count = [], None
    return edition
