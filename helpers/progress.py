"""A progress line that leaves one sentence behind: in a notebook updated in place, else a tqdm bar."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Self

from tqdm import tqdm


def _in_notebook() -> bool:
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return bool(shell) and hasattr(shell, "kernel")


class Progress:
    """Counts to `total`; `done(sentence)` replaces the line by what the reader should keep.

    Text display updates are used rather than a widget, whose state would have to be stored in the notebook
    (and breaks on GitHub).
    """

    def __init__(self, label: str, total: int) -> None:
        self.label, self.total, self.count = label, total, 0
        self.started = self._drawn = time.time()
        self._bar = None
        if _in_notebook():
            from IPython.display import display

            self._handle = display({"text/plain": f"{label} …"}, raw=True, display_id=True)
        else:
            self._bar = tqdm(total=total, desc=label, leave=False, file=sys.stderr, disable=None)

    def _show(self, text: str) -> None:
        self._handle.update({"text/plain": text}, raw=True)

    def update(self, steps: int = 1, note: str = "") -> None:
        """Advance by `steps`; `note` is a word about the moment (a loss, a rate)."""
        self.count += steps
        if self._bar is not None:
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(steps)
        elif time.time() - self._drawn > 0.5:
            self._drawn = time.time()
            elapsed = self._drawn - self.started
            self._show(tqdm.format_meter(self.count, self.total, elapsed, prefix=self.label, postfix=note))

    def done(self, sentence: str) -> None:
        """Finish with one sentence in place of the bar."""
        if self._bar is not None:
            self._bar.close()
            print(sentence, flush=True)
        else:
            self._show(sentence)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()


@contextmanager
def silenced() -> Iterator[None]:
    """Drop what is printed: for workers, whose owner shows one line for all of them."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        with redirect_stdout(nowhere), redirect_stderr(nowhere):
            yield
