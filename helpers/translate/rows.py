"""The English rows: OpenMed's two sets from the hub when it answers, else our sample in the same columns."""

import json
import os
import urllib.request
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from helpers.files import DATA, LabError, bad_entry

FIELDS = {"article": ("claim", "explanation", "main_text"), "interaction": ("sentence", "drug1", "drug2")}
HUB = {"article": "OpenMed/PubHealth-Processed", "interaction": "OpenMed/DDI-Corpus-Processed"}
SAMPLE = {kind: DATA / "openmed_sample" / f"{kind}s.jsonl" for kind in FIELDS}
LABELS = ("false", "mixture", "true", "unproven")  # in the order of PUBHEALTH's class numbers
VERDICTS = {spelling: label for i, label in enumerate(LABELS) for spelling in (label, str(i))}
HUB_SECONDS = 5  # for a sign of life


class Row(NamedTuple):
    """An "article" or an "interaction" to translate: English and, if it is there, Spanish by column."""

    id: str
    kind: str
    fields: dict[str, str]
    reference: dict[str, str] | None = None
    label: str | None = None  # an article's verdict, one of `LABELS`


class Loaded(NamedTuple):
    """Rows, and one sentence that says where they come from and why."""

    rows: list[Row]
    sentence: str

    def _repr_markdown_(self) -> str:
        return self.sentence


def load_rows(source: str = "auto", limit: int | None = None) -> Loaded:
    """Articles, then interactions; at most `limit` of each. LabError: another source, a malformed sample.

    Args:
        source: "sample" (the shipped rows, with reference Spanish: all that the offline teacher knows), or
            "auto" (the real sets when the hub answers, else the sample; the sentence says which and why).
    """
    if source not in ("auto", "sample"):
        raise LabError(f"There is no source {source!r}: one of auto, sample.")
    why = ""
    if source == "auto":
        try:
            rows = [row for kind in FIELDS for row in _from_hub(kind, limit)]
            return Loaded(rows, f"{len(rows):,} rows from the hub: {', '.join(HUB.values())}.")
        except LabError as error:
            why = f" {error}"
    rows = [row for kind in FIELDS for row in read_sample(SAMPLE[kind], kind)[:limit]]
    what = "rows of the shipped sample, written for this project in OpenMed's columns"
    return Loaded(rows, f"{len(rows):,} {what}.{why}")


def check_hub(name: str) -> None:
    """One small request, to know a dead network in seconds: OSError without network, answer or such a set."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise ConnectionError("the hub is switched off, HF_HUB_OFFLINE is set")
    hub = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    sign = urllib.request.Request(f"{hub.rstrip('/')}/api/datasets/{name}", method="HEAD")
    urllib.request.urlopen(sign, timeout=HUB_SECONDS).close()


def _from_hub(kind: str, limit: int | None) -> list[Row]:
    """One real set; LabError when the hub is switched off, does not answer, or has other columns."""
    from datasets import load_dataset

    name = HUB[kind]
    try:
        check_hub(name)
        records = list(islice(load_dataset(name, split="train", streaming=True), limit))
    except Exception as error:  # datasets wraps the network's errors in many types of its own
        reason = next(iter(str(error).strip().splitlines()), "no reason given")[:160]
        raise LabError(f"The hub did not give {name} ({type(error).__name__}: {reason}).") from None
    columns = records[0].keys() if records else set()
    if not columns >= set(FIELDS[kind]):
        there = ", ".join(sorted(columns)) or "no row"
        raise LabError(f"{name} no longer has the columns {', '.join(FIELDS[kind])} (found: {there}).")
    rows = [_row(record, kind, f"{kind[0]}{number:05d}") for number, record in enumerate(records, 1)]
    return [row for row in rows if row.fields]


def _row(record: Mapping[str, Any], kind: str, fallback: str = "") -> Row:
    """A record of either source in one shape, without the columns that are empty."""
    text = {name: str(value or "").strip() for name, value in record.items()}
    fields = {column: text[column] for column in FIELDS[kind] if text.get(column)}
    spanish = {column: text.get(f"{column}_es") for column in fields}
    ident = text.get("id") or text.get("claim_id") or fallback
    label = VERDICTS.get(str(record.get("label")).strip().lower()) if kind == "article" else None
    return Row(ident, kind, fields, spanish if all(spanish.values()) else None, label)


def read_sample(path: Path, kind: str) -> list[Row]:
    """Rows of a shipped JSONL file; LabError names file, line and field of what is missing or malformed."""
    if not path.is_file():
        raise LabError(f"{path} is missing. Restore it with `git checkout -- data/openmed_sample`.")
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").rstrip("\n").split("\n"), 1):
        try:
            rows.append(_row(record := json.loads(line), kind))
        except (ValueError, AttributeError):
            raise bad_entry(path, f"line {number}", "(line)", "not a JSON object") from None
        for column in ("id", *FIELDS[kind], *(f"{column}_es" for column in FIELDS[kind])):
            if not isinstance(record.get(column), str) or not record[column].strip():
                raise bad_entry(path, f"line {number}", column, "must be a non-empty text")
    return rows


def drop_false_claims(rows: Sequence[Row]) -> tuple[list[Row], Counter[str]]:
    """Interactions and articles found true; and the dropped, counted by label ("unlabelled": no verdict)."""
    doubtful = [row for row in rows if row.kind == "article" and row.label != "true"]
    kept = [row for row in rows if row.kind != "article" or row.label == "true"]
    return kept, Counter(row.label or "unlabelled" for row in doubtful)
