"""Rows of a data set that somebody else made: JSON lines, CSV, Parquet, or a name on the model hub."""

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from helpers.files import LabError

TEXTS = ("text", "sentence", "prompt", "question", "content", "review", "message", "comment", "document")
LABELS = ("label", "labels", "class", "category", "target", "sentiment", "level", "intent", "topic")
CHATS = ("messages", "conversations", "conversation")
ANSWERS = ("prompt", "completion"), ("prompt", "response"), ("instruction", "output"), ("question", "answer")
Rows = Iterator[dict[str, Any]]
LARGEST_CELL = 100_000_000  # characters; a quote that is never closed swallows the rest of a CSV file


class Unreadable(LabError):
    """A data set that cannot be audited: what stands in which row, and what to do. Rows count from 1."""


class Item(NamedTuple):
    """A row: what the model reads (`text`), what it learns to write (`answer`) and the label, "" if none."""

    text: str
    label: str = ""
    answer: str = ""  # of a pair, the chosen side
    turns: int = 2  # messages of a conversation
    rejected: str = ""
    system: str = ""  # counted in the length and not compared


def rows(source: str, encoding: str = "utf-8", split: str = "train") -> Rows:
    """The rows of a file or of a data set on the hub, one after the other. Raises Unreadable."""
    number, path = 0, Path(source)
    try:
        if path.is_file():
            found = READERS.get(path.suffix.lower(), _json_lines)(path, encoding)
        elif path.suffix or not re.fullmatch(r"[\w-]+(/[\w.-]+)?", source):
            raise ValueError("there is no such file, and no data set of the hub is named so")
        else:
            found = _hub(source, split)
        for row in found:
            if not isinstance(row, dict):
                raise ValueError(f"an object with named fields is expected, and this is {row!r:.60}")
            number += 1
            yield row
    except UnicodeDecodeError as error:
        what = f"byte 0x{error.object[error.start]:02x} is not {encoding}"
        how = "Save the file as UTF-8, or give its encoding (--encoding cp1252 for an old Windows file)"
        raise Unreadable(f"{source}, row {number + 1}: {what}. {how}.") from error
    except (ValueError, LookupError, csv.Error, pa.ArrowException, OSError, RecursionError) as error:
        how = "Mend it and run the command again; JSON lines, CSV (.csv, .tsv) and .parquet can be read"
        raise Unreadable(f"{source}, row {number + 1}: {error}. {how}.") from error
    if not number:
        raise Unreadable(f"{source} has no rows. Give a file with at least one.")


def _lines(path: Path, encoding: str) -> Iterator[str]:
    """Lines decoded one by one, so that an error names its row; a byte-order mark is dropped."""
    if encoding.lower() not in ("utf-8", "utf8"):
        with path.open(encoding=encoding, newline="") as stream:
            yield from stream
        return
    with path.open("rb") as stream:
        if stream.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            raise ValueError("it is UTF-16: save it as UTF-8, or give --encoding utf-16")
        stream.seek(0)
        yield next(stream, b"").decode("utf-8-sig")
        for line in stream:
            yield line.decode()


def _json_lines(path: Path, encoding: str) -> Iterator[Any]:
    lines = _lines(path, encoding)
    first = next((line for line in lines if line.strip()), "")
    if first.lstrip().startswith("["):  # one array of rows
        yield from json.loads(first + "".join(lines))
    else:
        yield from (json.loads(line) for line in chain([first], lines) if line.strip())


def _csv(path: Path, encoding: str) -> Rows:
    csv.field_size_limit(LARGEST_CELL)
    lines = _lines(path, encoding)
    head = next(lines, "")
    table = csv.DictReader(chain([head], lines), delimiter=max(",;\t", key=head.count), strict=True)
    for row in table:
        if None in row:
            cells = len(row) - 1 + len(row[None])
            raise ValueError(f"{cells} cells under {len(row) - 1} column names (line {table.line_num})")
        yield row


def _parquet(path: Path, _: str) -> Rows:
    with pq.ParquetFile(path) as table:
        for batch in table.iter_batches(5_000):
            yield from batch.to_pylist()


def _hub(name: str, split: str) -> Rows:
    from datasets import load_dataset

    try:
        yield from load_dataset(name, split=split, streaming=True)
    except Exception as error:  # whatever the network, the hub or a loader raises: one message
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"the hub does not give its split {split!r} ({reason})") from error


READERS = {".csv": _csv, ".tsv": _csv, ".parquet": _parquet, ".jsonl": _json_lines, ".json": _json_lines}


def about_how_many(source: str) -> int:
    """Rows of a file, for a progress bar: its lines, or what Parquet says; 0 where nobody knows."""
    path = Path(source)
    with suppress(OSError, pa.ArrowException):
        if path.suffix.lower() == ".parquet":
            return pq.ParquetFile(path).metadata.num_rows
        with path.open("rb") as stream:
            return sum(block.count(b"\n") for block in iter(lambda: stream.read(1 << 20), b""))
    return 0


# ---------------------------------------------------------------------------------------- what the columns mean
def items(
    found: Rows, source: str, text: str | None = None, label: str | None = None, pairs: bool = False
) -> Iterator[Item]:
    """Rows as items. Raises Unreadable: no column is known, or a row does not hold what its column promises."""
    first = list(islice(found, 50))
    columns = list(dict.fromkeys(str(name) for row in first for name in row))
    make = _maker(columns, source, text, label, pairs)
    for number, row in enumerate(chain(first, found), 1):
        try:
            yield make(row)
        except (AttributeError, TypeError, IndexError) as error:
            how = "A conversation is a list of messages, each with `role` and `content`"
            raise Unreadable(f"{source}, row {number}: not a conversation ({error}). {how}.") from error


def _maker(
    columns: list[str], source: str, text: str | None, label: str | None, pairs: bool
) -> Callable[[Mapping[str, Any]], Item]:
    known = {name.lower(): name for name in columns}

    def pick(*names: str) -> str | None:
        return next((known[name] for name in names if name in known), None)

    def refuse(what: str) -> Unreadable:
        return Unreadable(f"{source}: {what}. Its columns: {', '.join(columns) or 'none'}.")

    for name in (text, label):
        if name is not None and name not in columns:
            raise refuse(f"there is no column {name!r}")
    label = label or pick(*LABELS)
    if pairs:
        if not {"chosen", "rejected"} <= set(known):
            raise refuse("pairs need a column `chosen` and a column `rejected`")
        names = pick("prompt", "question"), known["chosen"], known["rejected"]
        return lambda row: _pair(*map(row.get, names))
    answered = next(((known[a], known[b]) for a, b in ANSWERS if a in known and b in known), None)
    if text is None and (chat := pick(*CHATS)):
        return lambda row: _chat(row.get(chat), None, row.get(label))
    if text is None and answered:
        return lambda row: _chat(row.get(answered[0]), row.get(answered[1]) or "", row.get(label))
    if column := text or pick(*TEXTS):
        return lambda row: Item(_said(row.get(column)), _said(row.get(label)).strip())
    raise refuse("no column is known as text. Name it with --text COLUMN (and --label COLUMN)")


def _role(turn: Mapping[str, Any]) -> Any:
    return turn.get("role", turn.get("from"))


def _content(turn: Mapping[str, Any]) -> Any:
    """What a message says, by whatever name; a part of a message that also holds pictures is named text."""
    return next((turn[name] for name in ("content", "value", "text") if name in turn), None)


def _said(cell: Any, system: bool = False) -> str:
    """A cell as text: a conversation's contents joined (or its `system` messages); a lone surrogate as "?"."""
    if isinstance(cell, list):
        said = [turn for turn in cell if (_role(turn) == "system") == system]
        return "\n".join(_said(_content(turn)) for turn in said)
    text = "" if system or cell is None else str(cell)
    return text if text.isascii() else text.encode(errors="replace").decode()


def _turns(value: Any) -> int:
    return len(value) if isinstance(value, list) else 1


def _chat(asked: Any, answer: Any, label: Any) -> Item:
    """A prompt and its answer; without one, the last message of a whole conversation is it."""
    if answer is None:
        if not isinstance(asked, list):
            raise TypeError(f"{asked!r:.60} is no list")
        cut = len(asked) - bool(asked and _role(asked[-1]) in ("assistant", "gpt", "model"))
        asked, answer = asked[:cut], asked[cut:]
    turns = _turns(asked) + _turns(answer)
    return Item(_said(asked), _said(label).strip(), _said(answer), turns, system=_said(asked, system=True))


def _pair(prompt: Any, chosen: Any, rejected: Any) -> Item:
    """A pair; where both sides are whole conversations, what they begin with alike is the prompt."""
    turns = 1 + _turns(prompt) if prompt else 2
    if not prompt and isinstance(chosen, list) and isinstance(rejected, list):
        same = next((n for n, (a, b) in enumerate(zip(chosen, rejected, strict=False)) if a != b), 0)
        prompt, chosen, rejected, turns = chosen[:same], chosen[same:], rejected[same:], same + 1
    return Item(_said(prompt), "", _said(chosen), turns, _said(rejected), _said(prompt, system=True))
