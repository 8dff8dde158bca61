"""Where a number comes from: its notebook and cell, the models behind it, the machine, and how to get it again."""

import difflib
import re
from functools import lru_cache
from textwrap import indent
from typing import Any, NamedTuple

from helpers import notebooks
from helpers.evaluate import Rate
from helpers.files import LabError, build_dir, read_json
from helpers.lab.reruns import differences
from helpers.lab.results import measurements, own_keys, results_path, shipped_path
from helpers.train import current_profile

MOST = 40  # keys that are listed of a prefix
# The fixed beginning of a key that a cell records: what an f-string fills in ends it, a variable has none.
RECORDS = re.compile(r'lab\.record(?:_runs)?\((?:\s*f?"([^"{]*))?')


def told(key: str) -> str:
    """What is known of a measurement, in a few lines; of a prefix, the keys that begin so.

    Raises LabError: nothing is measured under this name; the message offers similar ones.
    """
    known = measurements()
    if key not in known:
        inside = [name for name in known if name.startswith(f"{key}.")]
        if not inside:
            near = difflib.get_close_matches(key, known, 5, 0.5)
            raise LabError(f"Nothing is measured under {key!r}. Similar: {', '.join(near) or 'nothing'}.")
        listed = [f"{name}: {_value(known[name])}" for name in inside[:MOST]]
        return "\n".join([*listed, f"{len(inside)} keys"])
    entry, own = known[key], key in own_keys()
    if not entry["notebook"]:  # of the whole series: its minutes
        return f"{key}: {_value(entry)}\nmeasured by: python -m helpers run --write"
    results = read_json(results_path() if own else shipped_path())
    cells = origin(key, entry["notebook"])
    where = " or ".join(dict.fromkeys(f"“{cell.section}”" for cell in cells))
    versions = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    # of a page that was run alone, on another machine than the rest
    machine = results.get("machines", {}).get(entry["notebook"], results["machine"])
    lines = {
        key: f"{_value(entry)} ({'measured here' if own else 'shipped'})",
        "measured in": f"{entry['notebook']}, section {where}",
        "by the cell": "\n" + "\n\n".join(indent(cell.source, "    ") for cell in cells),
        "models": "; ".join(map(_model, cells[-1].models)) or "none",
        "made": f"{results['created']} on {machine}; {versions}",
        "again": f"python -m helpers run {entry['notebook'][:2]}",
    }
    return "\n".join(f"{name}: {what}" for name, what in lines.items())


def _value(entry: dict[str, Any]) -> str:
    value, n, seeds = entry["value"], entry["n"], entry["seeds"]
    runs = f", {seeds} seed{'s' * (seeds != 1)}" if seeds else ""
    if entry["unit"] == "rate" and entry["low"] is not None:
        return f"{Rate(value, n, entry['low'], entry['high'])}{runs}"
    bounds = f" [{entry['low']:.4g} to {entry['high']:.4g}]" if entry["low"] is not None else ""
    return f"{value:.6g} {entry['unit']}".strip() + bounds + (f", n = {n:,}" if n else "") + runs


class Cell(NamedTuple):
    """A cell that records a key: the section it stands in, its code, and the models named up to there."""

    section: str
    source: str
    models: tuple[str, ...]


def origin(key: str, notebook: str) -> list[Cell]:
    """The cell of a notebook that records a key; several, where their code does not tell which.

    Of cells that record under a beginning of the key, those with the longest one, and of these those that name
    most of its other words.
    """
    found = []
    for prefix, cell in _recording(notebook):
        if key.startswith(prefix):
            named = sum(word in cell.source for word in key[len(prefix) :].split("."))
            found.append(((len(prefix), named), cell))
    if not found:
        raise LabError(f"No cell of {notebook} records {key!r}: an earlier version of it did.")
    best = max(rank for rank, _ in found)
    return [cell for rank, cell in found if rank == best]


@lru_cache
def _recording(notebook: str) -> list[tuple[str, Cell]]:
    """Every beginning of a key that a notebook records, with its cell."""
    section, models, found = "", dict[str, None](), []
    chapter = next(one for one in notebooks.PLAN if one.name == notebook)
    for cell in notebooks.read(chapter.path).cells:
        if cell.cell_type == "markdown":
            section = next(iter(re.findall(notebooks.HEADING, cell.source, re.MULTILINE)), section)
            continue
        models |= dict.fromkeys(notebooks.STAGE.findall(cell.source))
        found += [
            (prefix, Cell(section, cell.source, tuple(models))) for prefix in RECORDS.findall(cell.source)
        ]
    return found


def _model(name: str) -> str:
    """A stage and, if this machine has trained it, on what."""
    folder = build_dir() / "stages" / current_profile().name
    kept = sorted(folder.glob(f"{name}-s*/training.json"))
    if not kept:
        return name
    record = read_json(kept[0])
    return f"{name} ({record['rows']:,} rows × {record['epochs']:.3g} epochs, {kept[0].parent})"


def compare() -> tuple[list[str], str]:
    """This machine's results beside the shipped ones: a sentence for each key that disagrees, and a summary."""
    if not results_path().exists():
        raise LabError("Nothing was measured on this machine yet. Run `make tutorial` first.")
    shipped, own = read_json(shipped_path()), read_json(results_path())
    other = shipped["machine"] != own["machine"]
    apart = differences(shipped["measurements"], own["measurements"], other_machine=other)
    kind = "another kind of machine, so four times the scatter is allowed" if other else "the same kind"
    told = f"{len(own['measurements']):,} measurements; shipped: {shipped['machine']}; here: {own['machine']} ({kind})"
    return apart, f"{told}. {len(apart)} keys disagree or are missing."
