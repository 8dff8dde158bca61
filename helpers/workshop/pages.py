"""A notebook as a class sees it: its sections, its exercises, and the edition without solutions."""

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from nbformat import NotebookNode

from helpers.notebooks import BOOT_TAG, HEADING, STAGE, Chapter, code_cells

KINDS = {
    "code": "write code",
    "change": "change an experiment and run it again",
    "explain": "explain an outcome",
}
DETAILS = re.compile(r"<details>.*?</details>", re.DOTALL)
PROSE = re.compile(r"<details>.*?</details>|```.*?```|<[^>]+>|\]\([^)]*\)", re.DOTALL | re.MULTILINE)
OPENING = re.compile(r"^(?=\*\*)", re.MULTILINE)  # an exercise begins with its name in bold


@dataclass
class Exercise:
    """One exercise of a notebook."""

    key: str  # the name of its check, or notebook and place in it, as `03.5`
    kind: str  # of KINDS
    asks: str = ""
    solution: str = ""  # Markdown; empty where the page gives none


class Section(NamedTuple):
    """How much there is to read under a heading: words of prose, lines of code."""

    words: int = 0
    lines: int = 0


def _tag(cell: NotebookNode, beginning: str) -> str:
    """What follows this beginning in a tag of the cell; "" if no tag begins so."""
    tags = cell.metadata.get("tags", [])
    return next((tag.removeprefix(beginning) for tag in tags if tag.startswith(beginning)), "")


def _parts(notebook: NotebookNode) -> Iterator[tuple[str, NotebookNode, str]]:
    """(heading, cell, what the cell holds below it) in order; the first heading is ""."""
    heading = ""
    for cell in notebook.cells:
        is_code = cell.cell_type == "code"
        first, *parts = [cell.source] if is_code else re.split(HEADING, cell.source, flags=re.MULTILINE)
        yield heading, cell, first
        for heading, text in zip(parts[::2], parts[1::2], strict=True):
            yield heading, cell, text


def sections(notebook: NotebookNode) -> dict[str, Section]:
    """What there is to read under every heading, in order; before the first one it is under ""."""
    found = {"": Section()}
    for heading, cell, text in _parts(notebook):
        words, lines = found.get(heading, Section())
        if cell.cell_type == "markdown":
            words += len(PROSE.sub(" ", text).split())
        elif BOOT_TAG not in cell.metadata.get("tags", []):
            lines += sum(bool(line.strip()) for line in text.splitlines())
        found[heading] = Section(words, lines)
    return found


def exercises(chapter: Chapter, notebook: NotebookNode) -> list[Exercise]:
    """The exercises of a notebook, in order: what stands under "Exercises", split where a bold name begins."""
    found: list[Exercise] = []
    for heading, cell, text in _parts(notebook):
        if heading != "Exercises":
            continue
        if name := _tag(cell, "exercise:"):
            found[-1].key, found[-1].kind = name, "code"
        if cell.cell_type == "code":
            continue
        for place, piece in enumerate(OPENING.split(text)):
            if place:
                kind = "explain" if re.match(r"\*\*\W*\d*[ .·]*Explain", piece) else "change"
                found.append(Exercise(f"{chapter.name[:2]}.{len(found) + 1}", kind))
            if found:
                _add(found[-1], piece)
    return found


def _add(exercise: Exercise, piece: str) -> None:
    """One more piece of Markdown: what is folded is solution, the rest question, up to the cell of its code."""
    for folded in DETAILS.findall(piece):
        solution = re.sub(r"</?details>|<summary>.*?</summary>", "", folded).strip()
        exercise.solution = f"{exercise.solution}\n\n{solution}".strip()
    if exercise.kind != "code":
        exercise.asks = f"{exercise.asks}\n\n{DETAILS.sub('', piece).strip()}".strip()


def stages(notebook: NotebookNode) -> list[str]:
    """The trained stages that a notebook starts from or makes, by the names that its cells call them by."""
    source = "\n".join(cell.source for cell in code_cells(notebook))
    return list(dict.fromkeys(STAGE.findall(source)))


def student(chapter: Chapter, notebook: NotebookNode) -> NotebookNode:
    """The notebook without solutions and outputs.

    No cell needs the output of another run, and a figure that is there already spoils the prediction. One
    page keeps its outputs: that of another profile, which takes too long for a class and is read.
    """
    edition = copy.deepcopy(notebook)
    edition.cells = [cell for cell in edition.cells if not _tag(cell, "solution:")]
    for cell in edition.cells:
        if cell.cell_type == "markdown":
            cell.source = DETAILS.sub("*Your answer:*", cell.source)
        elif chapter.profile == "nano" or _tag(cell, "exercise:"):
            cell.outputs, cell.execution_count = [], None
    return edition
