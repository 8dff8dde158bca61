"""Everyday Spanish without medicine: what a model should still read after it has read a lot of medicine."""

from functools import cache
from pathlib import Path

from helpers.files import DATA, LabError


def load_general(path: Path) -> tuple[str, ...]:
    """The texts of a file, one a line; a `LabError` if it is missing, empty, not UTF-8, or has a gap."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        blank = next((number for number, line in enumerate(lines, 1) if not line.strip()), 0)
        empty = not "".join(lines).strip()
        problem = " is empty" if empty else f":{blank}: a blank line; every line is one text" if blank else ""
    except FileNotFoundError:
        problem = " is missing"
    except UnicodeDecodeError:
        problem = " is not UTF-8"
    if problem:
        raise LabError(f"{path}{problem}. Mend it, or restore it with `git checkout -- {path.name}`.")
    return tuple(lines)


@cache
def general_texts() -> tuple[str, ...]:
    """The shipped everyday texts, never trained on: perplexity on them shows what a model forgets."""
    return load_general(DATA / "eval" / "general.txt")
