"""Answers on disk as they come: a dictionary, keyed by content, whose every record is one line of JSON."""

import errno
import hashlib
import json
import os
from pathlib import Path
from typing import Any


def content_key(*content: Any) -> str:
    """A request's name: a hash of what is asked, of whom. A row's number changes when a list is edited."""
    canonical = json.dumps(content, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()[:32]


class Journal(dict):
    """key → record. A last line that was cut is removed, nonsense is skipped, and of two the later counts."""

    def __init__(self, path: Path) -> None:
        path.touch()
        whole = 0
        with path.open("rb") as lines:
            for line in lines:
                if not line.endswith(b"\n"):  # the last one, cut off
                    break
                whole += len(line)
                try:
                    record = json.loads(line)
                    self[record["key"]] = record
                except (ValueError, TypeError, KeyError, RecursionError):
                    continue
        self.repaired = whole < path.stat().st_size
        os.truncate(path, whole)
        self.file = path.open("ab", buffering=0)  # no buffer: one write a record

    def append(self, record: dict[str, Any]) -> None:
        """Keep one record; on a full disk OSError, and no half line."""
        line = (json.dumps(record, ensure_ascii=False) + "\n").encode("utf-8", "replace")
        end = os.fstat(self.file.fileno()).st_size
        if self.file.write(line) < len(line):
            self.file.truncate(end)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self[record["key"]] = record
