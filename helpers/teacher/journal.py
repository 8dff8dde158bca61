"""Answers on disk as they come: one JSON object a line, appended in one write, keyed by content, repaired on opening.

Only keys and offsets stay in memory, so that a job over 100,000 answers resumes in seconds.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from helpers.files import LabError, explain_os_error, writing

PATIENCE = 10.0  # seconds: whoever only reads a finished job lets go much sooner


class Journal:
    """An append-only file of records with a `key`; of two records with one key the later counts.

    Attributes:
        repaired: what was mended on opening, as a sentence, or None.
        damaged: whole lines that are no records; they are left where they are and do not count.
        cost_usd: the sum over all records.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._where: dict[str, tuple[int, int]] = {}
        self.repaired: str | None = None
        self.damaged = 0
        self.cost_usd = 0.0
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            self._read()
        except BaseException:
            self.close()
            raise

    def _read(self) -> None:
        at = 0
        with self.path.open("rb") as stream:
            for line in stream:
                whole = line.endswith(b"\n")
                if self._note(line, at):
                    if not whole:
                        self._write(b"\n")
                        self.repaired = "the last line lacked its end; nothing was lost"
                elif not whole:
                    os.ftruncate(self._file, at)
                    self.repaired = "the last line was cut off and has been removed; it will be asked again"
                elif line.strip():
                    self.damaged += 1
                at += len(line)

    def _note(self, line: bytes, at: int) -> bool:
        """Index one line; False when it is no record."""
        try:
            record = json.loads(line)
            key, cost = record["key"], float(record.get("cost_usd") or 0.0)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return False
        if not isinstance(key, str):
            return False
        self._where[key] = (at, len(line))
        self.cost_usd += cost
        return True

    def __len__(self) -> int:
        return len(self._where)

    def __contains__(self, key: str) -> bool:
        return key in self._where

    def append(self, record: dict[str, Any]) -> None:
        """Write one record; it is on its way to the disk when this returns, whatever happens to this process.

        Raises:
            LabError: the disk is full or read-only; the file holds no half line.
        """
        line = (json.dumps(record, ensure_ascii=False) + "\n").encode(
            "utf-8", "replace"
        )  # a lone surrogate becomes "?"
        at = os.fstat(self._file).st_size
        try:
            self._write(line)
        except OSError as error:
            os.ftruncate(self._file, at)
            raise explain_os_error(error, self.path) from error
        self._note(line, at)

    def _write(self, raw: bytes) -> None:
        while raw:
            raw = raw[os.write(self._file, raw) :]

    def get(self, key: str) -> dict[str, Any] | None:
        """The record of a key, read from the disk."""
        if key not in self._where:
            return None
        at, length = self._where[key]
        return json.loads(_read_at(self._file, length, at))

    def keys(self) -> Iterator[str]:
        """Every key, in order of first appearance."""
        return iter(self._where)

    def close(self) -> None:
        """Let the file go; what was appended is pushed to the disk."""
        if self._file >= 0:
            with_sync, self._file = self._file, -1
            try:
                os.fsync(with_sync)
            finally:
                os.close(with_sync)


def _read_at(file: int, length: int, at: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(file, length, at)
    os.lseek(file, at, os.SEEK_SET)  # Windows; appending is not disturbed by the position
    return os.read(file, length)


class Folder:
    """A job's folder: `answers.jsonl`, `errors.jsonl`, and a lock that two runs cannot both hold."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with writing(path):
            path.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(path / ".lock")
            try:
                self._lock.acquire(timeout=PATIENCE)
            except Timeout:
                raise LabError(
                    f"Another run is writing to {path}. Wait for it, stop it, or give this job another name (`out=`)."
                ) from None
        try:
            self.answers = Journal(path / "answers.jsonl")
            self.errors = Journal(path / "errors.jsonl")
        except BaseException:
            self._lock.release()
            raise

    @property
    def cost_usd(self) -> float:
        """What everything in this folder cost, errors included."""
        return self.answers.cost_usd + self.errors.cost_usd

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *_: object) -> None:
        self.answers.close()
        self.errors.close()
        self._lock.release()
