"""The notebooks as a series: their order, the bars and cells that are generated, the house rules, and running them.

`PLAN` is the table of contents. The navigation bar, the Colab badge and the bootstrap cell of every notebook are generated from it
(`python -m helpers badges`), so that a new notebook or a moved repository is one edit; a test holds that regenerating changes nothing.
"""

from __future__ import annotations

import os
import re
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode

from helpers.files import NOTEBOOKS, ROOT, LabError, build_dir, explain_os_error, write_atomic
from helpers.lab import claims, measurements, record
from helpers.triage import SCALE


@dataclass(frozen=True)
class Chapter:
    """One notebook of the series."""

    name: str
    title: str
    question: str

    @property
    def path(self) -> Path:
        """Where the notebook stands."""
        return NOTEBOOKS / f"{self.name}.ipynb"


PLAN: tuple[Chapter, ...] = (
    Chapter("00_start_here", "Start here", "What will I build, and does my machine work?"),
    Chapter(
        "01_translation",
        "Medical English, usable Spanish",
        "Can a cheap teacher move medical English into usable Spanish?",
    ),
    Chapter(
        "02_domain_adaptation",
        "Reading medicine first",
        "What does continued pre-training buy, and what does it cost?",
    ),
    Chapter("03_diversity_collapse", "Diversity collapse", "How can 10,000 examples be 1,928?"),
    Chapter(
        "04_imbalanced_sft",
        "Beautiful curves, broken model",
        "How can the loss be beautiful and the model broken?",
    ),
    Chapter(
        "05_balanced_sft",
        "The cure",
        "Do 350 honest examples mend the model?",
    ),
    Chapter(
        "06_what_fixed_it",
        "What really fixed it",
        "What fixed it: balance, honest labels, unique prompts, or a fresh start?",
    ),
    Chapter("07_distillation", "The plumbing", "Why is the plumbing as important as the prompts?"),
    Chapter(
        "08_dpo_disclaimer_failure",
        "The line that disappeared",
        "How does preference tuning delete a safety line?",
    ),
    Chapter("09_hard_negatives", "Hard negatives", "How should the pairs have been written?"),
    Chapter(
        "10_reward_calibration",
        "What does the reward really ask for?",
        "Which policy do the prices of a reward ask for?",
    ),
    Chapter(
        "11_quantization",
        "Small enough for a pocket",
        "How small can the file get before its answers change?",
    ),
    Chapter("12_runtime_parity", "The same model everywhere?", "Is the phone running the model I tested?"),
    Chapter("14_report_card", "The report card", "Did the blog's findings hold?"),
)

BOOTSTRAP = """# Set up. On your own machine this only checks; in Colab it fetches the repository and the pinned packages first.
import pathlib
import subprocess
import sys

if "google.colab" in sys.modules and not pathlib.Path("triage-lab").exists():
    url = "{url}"
    subprocess.run(["git", "clone", "--depth=1", "--branch={tag}", url, "triage-lab"], check=True)
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "-e", "triage-lab[gpu]"], check=True)
    if "numpy" in sys.modules:
        raise SystemExit("Packages changed under this kernel: Runtime > Restart session, then run this cell again.")
sys.path[:0] = [folder for folder in ("..", "triage-lab") if pathlib.Path(folder, "helpers").is_dir()]

from helpers import lab

lab.start("{name}")"""

NAV_TAG, BOOT_TAG = "navigation", "bootstrap"


def _project() -> dict[str, Any]:
    with (ROOT / "pyproject.toml").open("rb") as stream:
        return tomllib.load(stream)


def repository() -> str:
    """`owner/name` on GitHub: the one setting that badges and the bootstrap cell are made from."""
    return _project()["tool"]["triage-lab"]["repository"]


def release() -> str:
    """The tag that Colab clones."""
    return f"v{_project()['project']['version']}"


def chapters() -> list[Chapter]:
    """The notebooks of the plan."""
    return list(PLAN)


def navigation(chapter: Chapter) -> str:
    """Previous · contents · next, and the Colab badge."""
    place = PLAN.index(chapter)
    before = f"[← {PLAN[place - 1].title}]({PLAN[place - 1].name}.ipynb)" if place else "←"
    after = f"[{PLAN[place + 1].title} →]({PLAN[place + 1].name}.ipynb)" if place + 1 < len(PLAN) else "→"
    colab = f"https://colab.research.google.com/github/{repository()}/blob/{release()}/notebooks/{chapter.name}.ipynb"
    return f"{before} · [Contents](../README.md) · {after} · [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({colab})"


def bootstrap(chapter: Chapter) -> str:
    """The first code cell."""
    url = f"https://github.com/{repository()}.git"
    return BOOTSTRAP.replace("{tag}", release()).replace("{url}", url).replace("{name}", chapter.name)


def read(path: Path) -> NotebookNode:
    """Read a notebook.

    Raises:
        LabError: it is missing or not a notebook.
    """
    try:
        return nbformat.read(path, as_version=4)
    except FileNotFoundError as error:
        raise LabError(f"{path} is missing. Restore it with `git checkout -- notebooks`.") from error
    except Exception as error:
        raise LabError(
            f"{path} is not a readable notebook ({type(error).__name__}). Restore it with `git checkout -- notebooks`."
        ) from error


def generated(chapter: Chapter, notebook: NotebookNode) -> NotebookNode:
    """The notebook with its generated cells as they should be (outputs stay)."""
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if NAV_TAG in tags:
            cell.source = navigation(chapter)
        elif BOOT_TAG in tags:
            cell.source = bootstrap(chapter)
    return notebook


def write_badges() -> list[str]:
    """Regenerate navigation, badges and bootstrap cells; returns the notebooks that changed."""
    changed = []
    for chapter in chapters():
        before = chapter.path.read_text(encoding="utf-8")
        after = nbformat.writes(generated(chapter, read(chapter.path))) + "\n"
        if after != before:
            write_atomic(chapter.path, after)
            changed.append(chapter.name)
    readme = ROOT / "README.md"
    before = readme.read_text(encoding="utf-8")
    if (after := readme_with_map(before)) != before:
        write_atomic(readme, after)
        changed.append(readme.name)
    return changed


def record_seconds(seconds: dict[str, float]) -> None:
    """Keep how long each notebook took, beside the other measurements of the run."""
    for name, value in seconds.items():
        record(
            f"series.{name}.seconds",
            round(value, 1),
            n=1,
            low=round(value, 1),
            high=round(value, 1),
            unit="s",
        )


def series_map() -> str:
    """The README's table of notebooks, with the minutes of the last measured run."""
    rows = ["| notebook | the question | minutes (nano, two cores) |", "| --- | --- | --- |"]
    for chapter in chapters():
        seconds = measurements().get(f"series.{chapter.name}.seconds")
        minutes = f"{seconds['value'] / 60:.1f}" if seconds else "not measured yet"
        rows.append(f"| [{chapter.name}](notebooks/{chapter.name}.ipynb) | {chapter.question} | {minutes} |")
    return "\n".join(rows)


def readme_with_map(text: str) -> str:
    """The README with its map regenerated between the two markers."""
    return re.sub(
        r"(<!-- map -->\n).*?(<!-- /map -->)",
        lambda found: f"{found[1]}{series_map()}\n{found[2]}",
        text,
        flags=re.DOTALL,
    )


# ---------------------------------------------------------------------------------------------------------- house rules
Rule = Callable[[NotebookNode], Iterator[str]]


def _code(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def no_long_cells(notebook: NotebookNode) -> Iterator[str]:
    """At most 30 lines of code a cell."""
    for cell in _code(notebook):
        lines = sum(bool(line.strip()) for line in cell.source.splitlines())
        if lines > 30:
            yield f"a code cell of {lines} lines (30 at most): {cell.source.splitlines()[0]!r}"


def no_wide_code(notebook: NotebookNode) -> Iterator[str]:
    """At most 110 columns of code: wider lines are cut off on a page."""
    for cell in _code(notebook):
        for line in cell.source.splitlines():
            if len(line) > 110 and BOOT_TAG not in cell.metadata.get("tags", []):
                yield f"a code line of {len(line)} columns: {line[:60]!r}"


def counts_run_from_one(notebook: NotebookNode) -> Iterator[str]:
    """Execution counts are 1…n: one clean run."""
    counts = [cell.execution_count for cell in _code(notebook) if cell.source.strip()]
    if counts != list(range(1, len(counts) + 1)):
        yield f"execution counts {counts}: not one clean run from top to bottom"


def no_error_outputs(notebook: NotebookNode) -> Iterator[str]:
    """No error output, nothing on stderr."""
    for cell in _code(notebook):
        for output in cell.outputs:
            if output.output_type == "error":
                yield f"an error output: {output.ename}"
            if output.output_type == "stream" and output.name == "stderr":
                yield f"something on stderr: {output.text[:80]!r}"


def no_dead_code(notebook: NotebookNode) -> Iterator[str]:
    """No `if False:`, no empty cell, no cell of comments only."""
    for cell in _code(notebook):
        if re.search(r"^\s*if (False|0)\b", cell.source, re.MULTILINE):
            yield "`if False:`"
        if not cell.source.strip():
            yield "an empty code cell"
        elif all(not line.strip() or line.lstrip().startswith("#") for line in cell.source.splitlines()):
            yield f"a code cell of comments only: {cell.source[:60]!r}"


def no_unquoted_pins(notebook: NotebookNode) -> Iterator[str]:
    """A shell reads an unquoted > in a pip line as a redirection."""
    for cell in _code(notebook):
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
    if prose < len(_code(notebook)):
        yield f"{prose} prose cells for {len(_code(notebook))} code cells: a reader is left alone"


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
    """Every figure went through `show.present`."""
    for cell in _code(notebook):
        pictures = sum("image/png" in output.get("data", {}) for output in cell.outputs)
        captions = sum(
            str(output.get("data", {}).get("text/markdown", "")).startswith("*Figure:")
            for output in cell.outputs
        )
        if pictures > captions:
            yield f"a figure without caption (draw it through show.present): {cell.source.splitlines()[0]!r}"


# Numbers that are no claims: names, levels' waiting times, list numbers, years, and words with digits in them.
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
)


def lint(notebook: NotebookNode) -> list[str]:
    """Every house rule that the notebook breaks, as `rule: what`."""
    return [f"{rule.__name__}: {problem}" for rule in RULES for problem in rule(notebook)]


# -------------------------------------------------------------------------------------------------------------- running
def execute(chapter: Chapter, out: Path, say: Callable[[str], None] = print) -> float:
    """Run a notebook from top to bottom with a line per section; the executed copy goes to `out`. Returns seconds.

    Raises:
        LabError: a cell failed; the message holds the cell's own error, without a stack trace.
    """
    notebook = read(chapter.path)
    for cell in _code(notebook):
        cell.outputs, cell.execution_count = [], None
    client = NotebookClient(
        notebook,
        timeout=3600,
        kernel_name="python3",
        resources={"metadata": {"path": str(NOTEBOOKS)}},
        store_widget_state=False,
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
    )
    started = time.time()
    os.environ["TRIAGE_STATIC"] = "1"
    try:
        with client.setup_kernel():
            for index, cell in enumerate(notebook.cells):
                if cell.cell_type == "markdown":
                    if heading := re.match(r"## (.+)", cell.source):
                        say(f"  {time.time() - started:5.0f} s  {heading[1]}")
                else:
                    client.execute_cell(cell, index)
    except CellExecutionError as error:
        raise LabError(
            f"{chapter.name} stopped: {error.ename}: {error.evalue}\n  in the cell that begins {cell.source.splitlines()[0]!r}."
        ) from error
    except DeadKernelError as error:
        raise LabError(
            f"{chapter.name} stopped: its kernel died, most likely because memory ran out. Close other programs and run again."
        ) from error
    _clean(notebook)
    try:
        write_atomic(out, nbformat.writes(notebook) + "\n")
    except OSError as error:
        raise explain_os_error(error, out) from error
    return time.time() - started


def _clean(notebook: NotebookNode) -> None:
    """Drop what differs from run to run without meaning anything."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            output.pop("transient", None)


def executed_path(chapter: Chapter) -> Path:
    """Where a run leaves the executed notebook."""
    return build_dir() / "notebooks" / f"{chapter.name}.ipynb"
