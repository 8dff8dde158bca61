"""The notebooks as a series: their order, the bars and cells that are generated, and running them.

`PLAN` is the table of contents. The navigation bar, the Colab badge and the bootstrap cell of every notebook
are generated from it (`python -m helpers badges`), so that a new notebook or a moved repository is one edit;
a test holds that regenerating changes nothing.
"""

import base64
import os
import re
import sys
import time
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode

from helpers.files import DATA, NOTEBOOKS, ROOT, LabError, arriving, build_dir, read_json, write_atomic
from helpers.install import llama_refusal, missing
from helpers.lab import measurements, record, record_sections
from helpers.startup import NOTEBOOK_EXTRAS, advice
from helpers.statistics import Rate

NAV_TAG, BOOT_TAG = "navigation", "bootstrap"  # cells that are generated
HEADING = r"^## (.+)$"  # of a section; it may stand below other text in its cell
STAGE = re.compile(r'lab\.(?:stage|keep)\(\s*"([\w-]+)')  # the name of a trained model, where a cell calls it


@dataclass(frozen=True)
class Chapter:
    """One notebook of the series."""

    name: str
    title: str
    question: str
    profile: str = "nano"  # that its committed page was made with

    @property
    def path(self) -> Path:
        """Where the notebook stands."""
        return NOTEBOOKS / f"{self.name}.ipynb"

    @property
    def lacks(self) -> list[str]:
        """Packages that this notebook needs besides and that are not installed (llama-cpp-python)."""
        extras = NOTEBOOK_EXTRAS.get(self.name[:2], ())
        return missing(*extras) if extras else []


PLAN: tuple[Chapter, ...] = (
    Chapter("00_start_here", "Start here", "What will I build, and does my machine work?"),
    Chapter("01_translation", "Checks for a cheap teacher", "Can checks guard a cheap teacher?"),
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
    Chapter("05_balanced_sft", "The cure", "Do 350 honest examples mend the model?"),
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
    Chapter("13_real_weights", "Real weights", "Does it hold on a model that has read the world?", "pocket"),
    Chapter("14_report_card", "The report card", "Did the blog's findings hold?"),
)


def chosen(names: Sequence[str], say: Callable[[str], None]) -> list[Chapter]:
    """The notebooks whose names begin so, or those of the profile nano, without those that lack packages."""
    wanted = [one for one in PLAN if (one.name.startswith(tuple(names)) if names else one.profile == "nano")]
    if unknown := [name for name in names if not any(one.name.startswith(name) for one in PLAN)]:
        raise LabError(
            f"There is no notebook {unknown[0]!r}. They begin with {PLAN[0].name[:2]} to {PLAN[-1].name[:2]}."
        )
    for one in (one for one in wanted if one.lacks):
        say(f"{one.name} is left out: {', '.join(one.lacks)} is missing. {advice(one.lacks)}")
    return [one for one in wanted if not one.lacks]


BOOTSTRAP = """# Set up. On your own machine this only checks; in Colab and Kaggle it first fetches what is missing, once.
import os
import pathlib
import shutil
import subprocess
import sys

hosted = "google.colab" in sys.modules or "KAGGLE_KERNEL_RUN_TYPE" in os.environ
if hosted and not pathlib.Path("triage-lab/helpers").is_dir():
    shutil.rmtree("triage-lab", ignore_errors=True)
    clone = ["git", "clone", "--depth=1", "--branch={tag}"]
    if subprocess.run([*clone, "{url}", "triage-lab"]).returncode:
        raise SystemExit("No connection to GitHub (Kaggle: Settings > Internet on). Then run this again.")
sys.path[:0] = [folder for folder in ("..", "triage-lab") if pathlib.Path(folder, "helpers").is_dir()]

from helpers import startup

startup.prepare("{name}")

from helpers import lab

lab.start("{name}"{profile})"""


def _project() -> dict[str, Any]:
    with (ROOT / "pyproject.toml").open("rb") as stream:
        return tomllib.load(stream)


def repository() -> str:
    """`owner/name` on GitHub: the one setting that badges and the bootstrap cell are made from."""
    return _project()["tool"]["triage-lab"]["repository"]


def release() -> str:
    """The tag that Colab and Kaggle clone."""
    return f"v{_project()['project']['version']}"


def navigation(chapter: Chapter) -> str:
    """Previous · contents · next, and the Colab badge."""
    place = PLAN.index(chapter)
    before = f"[← {PLAN[place - 1].title}]({PLAN[place - 1].name}.ipynb)" if place else "←"
    after = f"[{PLAN[place + 1].title} →]({PLAN[place + 1].name}.ipynb)" if place + 1 < len(PLAN) else "→"
    colab, place = "https://colab.research.google.com", f"{repository()}/blob/{release()}"
    badge = f"[![Open in Colab]({colab}/assets/colab-badge.svg)]"
    link = f"({colab}/github/{place}/notebooks/{chapter.name}.ipynb)"
    return f"{before} · [Contents](../README.md) · {after} · {badge}{link}"


def bootstrap(chapter: Chapter) -> str:
    """The first code cell."""
    url = f"https://github.com/{repository()}.git"
    own = "" if chapter.profile == "nano" else f', profile="{chapter.profile}"'
    start = BOOTSTRAP.replace("{tag}", release()).replace("{url}", url)
    return start.replace("{name}", chapter.name).replace("{profile}", own)


def read(path: Path) -> NotebookNode:
    """Read a notebook. Raises LabError: it is missing or not a notebook."""
    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:  # missing, no JSON, or JSON that is no notebook
        what = "is missing" if isinstance(error, FileNotFoundError) else "is not a readable notebook"
        raise LabError(f"{path} {what}. Restore it with `git checkout -- notebooks`.") from error


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """The notebook's cells of code."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


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
    readme = ROOT / "README.md"
    wanted = {readme: readme_with_map(readme.read_text(encoding="utf-8"))}
    for chapter in PLAN:
        wanted[chapter.path] = nbformat.writes(generated(chapter, read(chapter.path))) + "\n"
    changed = {path: text for path, text in wanted.items() if path.read_text(encoding="utf-8") != text}
    for path, text in changed.items():
        write_atomic(path, text)
    return [path.name for path in changed]


def record_seconds(seconds: dict[str, dict[str, float]]) -> None:
    """Keep how long each notebook and each of its sections took, beside the other measurements of the run."""
    for name, sections in seconds.items():
        exact = round(sum(sections.values()), 1)
        record(f"series.{name}.seconds", Rate(exact, 1, exact, exact), unit="s")
    record_sections(seconds)


def readme_with_map(text: str) -> str:
    """The README with its table of notebooks anew; the minutes are those of the shipped results."""
    rows = ["| notebook | the question | minutes (two cores) |", "| --- | --- | --- |"]
    for chapter in PLAN:
        shipped = read_json(DATA / "results" / f"{chapter.profile}.json")["measurements"]
        seconds = shipped.get(f"series.{chapter.name}.seconds")
        minutes = f"{seconds['value'] / 60:.1f}" if seconds else "not measured yet"
        rows.append(f"| [{chapter.name}](notebooks/{chapter.name}.ipynb) | {chapter.question} | {minutes} |")
    drawn = "\n".join([*rows, ""])
    return re.sub(r"(?<=<!-- map -->\n).*?(?=<!-- /map -->)", lambda _: drawn, text, flags=re.DOTALL)


def write_finding() -> None:
    """The README's figure, from the results just written."""
    from helpers import show
    from helpers.lab import stage
    from helpers.triage import LEVELS

    measured = measurements()
    shares = {level: measured[f"imbalanced.share.{level}"]["value"] for level in LEVELS}
    losses = stage("sft-imbalanced").training["losses"]
    figure = show.finding(losses, shares, measured["imbalanced.share.ROJO"]["n"])
    with arriving(DATA / "results" / "finding.png") as picture:
        figure.savefig(picture, format="png", dpi=110, bbox_inches="tight")


# running
def execute(
    chapter: Chapter, out: Path, say: Callable[[str], None] = print, until: int | None = None
) -> dict[str, float]:
    """Run a notebook from top to bottom with a line per section, and write it to `out`.

    `until`: end with the cell that draws the figure of this number, and write that picture instead of a page.
    Returns the seconds of each section by its heading; those before the first heading stand under "".
    Raises LabError: a cell failed; the message holds the cell's own error, without a stack trace.
    """
    notebook = read(chapter.path)
    for cell in code_cells(notebook):
        cell.outputs, cell.execution_count = [], None
    client = _Client(
        notebook,
        timeout=None,  # a cell of notebook 13 works for an hour; a kernel that died is noticed without
        kernel_name="python3",
        resources={"metadata": {"path": str(NOTEBOOKS)}},
        store_widget_state=False,
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
    )
    client.say = say
    client.create_kernel_manager()
    # This interpreter, whatever a kernel named python3 elsewhere on this computer would start.
    client.km.kernel_spec.argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    begun = [("", time.time())]  # the sections, and when each began
    os.environ["TRIAGE_STATIC"] = "1"
    try:
        with client.setup_kernel():
            for index, cell in enumerate(notebook.cells):
                if until and len(_pictures(notebook)) >= until:
                    break
                if cell.cell_type == "markdown":
                    for heading in re.findall(HEADING, cell.source, re.MULTILINE):
                        begun.append((heading, time.time()))
                        say(f"  {begun[-1][1] - begun[0][1]:5.0f} s  {heading}")
                else:
                    client.execute_cell(cell, index)
    except CellExecutionError as error:
        where = f"in the cell that begins {cell.source.splitlines()[0]!r}"
        raise LabError(f"{chapter.name} stopped: {error.ename}: {error.evalue}\n  {where}.") from error
    except DeadKernelError as error:
        why = "its kernel died, most likely because memory ran out. Close other programs and run again"
        if chapter.name[:2] in NOTEBOOK_EXTRAS:
            why = llama_refusal() or why
        raise LabError(f"{chapter.name} stopped: {why}.") from error
    _clean(notebook)
    if until:
        pictures = _pictures(notebook)
        if len(pictures) < until:
            raise LabError(f"{chapter.name} has {len(pictures)} figures: there is no figure {until}.")
        write_atomic(out, base64.b64decode(pictures[until - 1]))
    else:
        write_atomic(out, nbformat.writes(notebook) + "\n")
    ends = [*(start for _, start in begun[1:]), time.time()]
    return {heading: round(end - start, 1) for (heading, start), end in zip(begun, ends, strict=True)}


class _Client(NotebookClient):
    """Tells of a long cell's progress line once a minute, while it still runs."""

    say: Callable[[str], None]
    told = 0.0

    def process_message(self, msg: dict[str, Any], cell: NotebookNode, cell_index: int) -> Any:
        text = msg["content"].get("data", {}).get("text/plain", "")
        if msg["msg_type"] == "update_display_data" and " s left" in text and time.time() - self.told > 60:
            self.told = time.time()
            self.say(f"           {text[:110]}")
        return super().process_message(msg, cell, cell_index)


def _pictures(notebook: NotebookNode) -> list[str]:
    """The figures of an executed notebook in their order, as base64."""
    data = [output.get("data", {}) for cell in code_cells(notebook) for output in cell.outputs]
    return [one["image/png"] for one in data if "image/png" in one]


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
