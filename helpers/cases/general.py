"""Everyday Spanish without medicine: what a model should still be able to read after it has read a lot of
medicine.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from helpers.files import DATA, LabError


def load_general(path: Path) -> tuple[str, ...]:
    """Read the held-out everyday texts, one a line.

    Raises:
        LabError: the file is missing or empty, is not UTF-8, or has a blank line; the message names the file.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise LabError(
            f"{path} is missing. It is part of the repository: restore it with `git checkout -- {path.name}`."
        ) from error
    except UnicodeDecodeError as error:
        raise LabError(
            f"{path} is not UTF-8. Save it as UTF-8, or restore it with `git checkout -- {path.name}`."
        ) from error
    if not any(line.strip() for line in lines):
        raise LabError(
            f"{path} is empty, so there is nothing to measure on. Restore it with `git checkout -- "
            f"{path.name}`."
        )
    for number, line in enumerate(lines, 1):
        if not line.strip():
            raise LabError(f"{path}:{number}: a blank line; every line is one text. Remove it.")
    return tuple(lines)


@cache
def general_texts() -> tuple[str, ...]:
    """The shipped everyday texts, written for this project and never trained on: perplexity on them shows
    what a model forgets.
    """
    return load_general(DATA / "eval" / "general.txt")
