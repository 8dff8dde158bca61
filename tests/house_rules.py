"""The house rules of a notebook, each a function that says what breaks it; `lint` asks them all."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from nbformat import NotebookNode

from helpers.lab import claims
from helpers.notebooks import BOOT_TAG, NAV_TAG, code_cells
from helpers.triage import SCALE

Rule = Callable[[NotebookNode], Iterator[str]]


def no_long_cells(notebook: NotebookNode) -> Iterator[str]:
    """At most 30 lines of code a cell."""
    for cell in code_cells(notebook):
        lines = sum(bool(line.strip()) for line in cell.source.splitlines())
        if lines > 30:
            yield f"a code cell of {lines} lines (30 at most): {cell.source.splitlines()[0]!r}"


def no_wide_code(notebook: NotebookNode) -> Iterator[str]:
    """At most 110 columns of code: wider lines are cut off on a page."""
    for cell in code_cells(notebook):
        for line in cell.source.splitlines():
            if len(line) > 110 and BOOT_TAG not in cell.metadata.get("tags", []):
                yield f"a code line of {len(line)} columns: {line[:60]!r}"


def counts_run_from_one(notebook: NotebookNode) -> Iterator[str]:
    """Execution counts are 1…n: one clean run."""
    counts = [cell.execution_count for cell in code_cells(notebook) if cell.source.strip()]
    if counts != list(range(1, len(counts) + 1)):
        yield f"execution counts {counts}: not one clean run from top to bottom"


def no_error_outputs(notebook: NotebookNode) -> Iterator[str]:
    """No error output, nothing on stderr."""
    for cell in code_cells(notebook):
        for output in cell.outputs:
            if output.output_type == "error":
                yield f"an error output: {output.ename}"
            if output.output_type == "stream" and output.name == "stderr":
                yield f"something on stderr: {output.text[:80]!r}"


def no_dead_code(notebook: NotebookNode) -> Iterator[str]:
    """No `if False:`, no empty cell, no cell of comments only."""
    for cell in code_cells(notebook):
        if re.search(r"^\s*if (False|0)\b", cell.source, re.MULTILINE):
            yield "`if False:`"
        if not cell.source.strip():
            yield "an empty code cell"
        elif all(not line.strip() or line.lstrip().startswith("#") for line in cell.source.splitlines()):
            yield f"a code cell of comments only: {cell.source[:60]!r}"


def no_unquoted_pins(notebook: NotebookNode) -> Iterator[str]:
    """A shell reads an unquoted > in a pip line as a redirection."""
    for cell in code_cells(notebook):
        for line in cell.source.splitlines():
            if re.match(r"\s*[!%]\s*pip\b", line) and re.search(r"[<>]", re.sub(r"([\"']).*?\1", "", line)):
                yield f"an unquoted < or > in a pip line: {line.strip()!r}"


def no_widget_state(notebook: NotebookNode) -> Iterator[str]:
    """GitHub cannot show a notebook with widget state."""
    if "widgets" in notebook.metadata:
        yield "metadata.widgets: GitHub shows 'Invalid Notebook'"


def no_absolute_paths(notebook: NotebookNode) -> Iterator[str]:
    """No path of somebody's machine, in sources or outputs."""
    pattern = re.compile(r"(?<![\w.:/])/(?:home|root|content|work|tmp|Users|mnt|opt|var)\b|\b[A-Z]:\\\\")
    for cell in notebook.cells:
        texts = [
            cell.source,
            *(
                str(output.get("text", "")) + str(output.get("data", {}).get("text/plain", ""))
                for output in cell.get("outputs", [])
            ),
        ]
        for text in texts:
            if found := pattern.search(text):
                yield f"an absolute path: {text[max(0, found.start() - 20) : found.end() + 20]!r}"


def no_control_characters(notebook: NotebookNode) -> Iterator[str]:
    """No control characters from strings that should have been raw."""
    for cell in notebook.cells:
        if found := re.search(r"[\x00-\x08\x0b-\x1f]", cell.source):
            yield f"a control character {found[0]!r} in {cell.source[:40]!r}"


def enough_prose(notebook: NotebookNode) -> Iterator[str]:
    """At least one prose cell for every code cell."""
    prose = sum(cell.cell_type == "markdown" for cell in notebook.cells)
    if prose < len(code_cells(notebook)):
        yield f"{prose} prose cells for {len(code_cells(notebook))} code cells: a reader is left alone"


def opens_and_closes_as_agreed(notebook: NotebookNode) -> Iterator[str]:
    """Title, plan, generated cells, and what we saw."""
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    if not notebook.cells[0].source.startswith("# "):
        yield "the first cell is not a title"
    for heading in ("## What you will do", "## What we saw"):
        if heading not in text:
            yield f"no section {heading!r}"
    for tag in (NAV_TAG, BOOT_TAG):
        if not any(tag in cell.metadata.get("tags", []) for cell in notebook.cells):
            yield f"no generated {tag} cell"


def figures_are_captioned_and_stamped(notebook: NotebookNode) -> Iterator[str]:
    """Every figure went through `show.present`: it has a caption, and a line that says how to draw it again."""
    for cell in code_cells(notebook):
        pictures = sum("image/png" in output.get("data", {}) for output in cell.outputs)
        texts = [str(output.get("data", {}).get("text/markdown", "")) for output in cell.outputs]
        captions = sum(text.startswith("*Figure:") and "`python -m helpers run" in text for text in texts)
        if pictures > captions:
            yield f"a figure without caption (draw it through show.present): {cell.source.splitlines()[0]!r}"


# Numbers that are no claims: names, levels' waiting times, list numbers, years, and words with digits in
# them.
_NOT_NUMBERS = re.compile(
    r"`[^`]*`|\$[^$]*\$|\]\([^)]*\)|https?://\S+|^\s*\d+\.\s|^#+ \d+ ·|\b[A-Za-z_]+\d[\w.-]*|\b\d+_\w+"
    r"|\bnotebooks? \d\d\b|\b\d\d–\d\d\b|\(\w[^()]* (?:19|20)\d\d\)",
    re.MULTILINE,
)
_NUMBER = re.compile(r"(?<![\w.,])\d[\d.,]*(?:e-?\d+)?(?![\w])")


def only_the_blogs_numbers(notebook: NotebookNode) -> Iterator[str]:
    """A number in prose is the blog's (and in `data/claims.yaml`), or it would have to be computed."""
    allowed = {written for claim in claims().values() for written in claim.written} | {
        str(level.wait_minutes) for level in SCALE.values()
    }
    for cell in notebook.cells:
        if cell.cell_type != "markdown":
            continue
        for number in _NUMBER.findall(_NOT_NUMBERS.sub(" ", cell.source)):
            if number.rstrip(".,") not in allowed:
                yield f"the number {number!r} is typed by hand and not in data/claims.yaml: {cell.source[:60]!r}"


def tensors_follow_the_model(notebook: NotebookNode) -> Iterator[str]:
    """What a tokenizer returns as tensors goes to the device of the model: with a GPU that is another one."""
    for cell in code_cells(notebook):
        if 'return_tensors="pt"' in cell.source and not re.search(r"\.to\(\w+\.device\)", cell.source):
            yield f"tensors stay where the tokenizer made them: {cell.source.splitlines()[0]!r}"


RULES: tuple[Rule, ...] = (
    no_long_cells,
    no_wide_code,
    counts_run_from_one,
    no_error_outputs,
    no_dead_code,
    no_unquoted_pins,
    no_widget_state,
    no_absolute_paths,
    no_control_characters,
    enough_prose,
    opens_and_closes_as_agreed,
    figures_are_captioned_and_stamped,
    only_the_blogs_numbers,
    tensors_follow_the_model,
)


def lint(notebook: NotebookNode) -> list[str]:
    """Every house rule that the notebook breaks, as `rule: what`."""
    return [f"{rule.__name__}: {problem}" for rule in RULES for problem in rule(notebook)]
