"""The English rows: OpenMed's two sets from the hub when it answers, else the sample written for this project in the same columns."""

from __future__ import annotations

import json
import os
import urllib.request
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from helpers.files import DATA, LabError, bad_entry

FIELDS = {"article": ("claim", "explanation", "main_text"), "interaction": ("sentence", "drug1", "drug2")}
HUB = {"article": "OpenMed/PubHealth-Processed", "interaction": "OpenMed/DDI-Corpus-Processed"}
SAMPLE = {"article": "articles.jsonl", "interaction": "interactions.jsonl"}
SAMPLE_FOLDER = DATA / "openmed_sample"
LABELS = ("false", "mixture", "true", "unproven")  # in the order of PUBHEALTH's class numbers
HUB_SECONDS = 5  # for a sign of life


@dataclass(frozen=True)
class Row:
    """One row to translate: an "article" with its verdict (one of `LABELS`, or None) or an "interaction".

    `fields` are the English texts by column, `reference` the Spanish ones where the row has them.
    """

    id: str
    kind: str
    fields: dict[str, str]
    reference: dict[str, str] | None = None
    label: str | None = None


@dataclass(frozen=True)
class Loaded:
    """Rows, where they come from ("hub" or "sample"), and one sentence that says so and why."""

    rows: list[Row]
    source: str
    sentence: str

    def _repr_markdown_(self) -> str:
        return self.sentence


def load_rows(source: str = "auto", limit: int | None = None) -> Loaded:
    """Articles, then interactions; at most `limit` of each.

    Args:
        source: "hub" (the real sets, or an error), "sample" (the shipped rows, which have reference Spanish), or "auto" (the hub when
            it answers, else the sample; the sentence says which and why). The offline teacher can translate the sample only.

    Raises:
        LabError: an unknown source; "hub" was asked for and did not answer; the sample is malformed.
    """
    if source not in ("auto", "hub", "sample"):
        raise LabError(f"There is no source {source!r}: one of auto, hub, sample.")
    why = ""
    if source != "sample":
        try:
            rows = [row for kind in FIELDS for row in _from_hub(kind, limit)]
            return Loaded(rows, "hub", f"{len(rows):,} rows from the hub: {', '.join(HUB.values())}.")
        except LabError as error:
            if source == "hub":
                raise
            why = f" {error}"
    rows = [row for kind in FIELDS for row in read_sample(SAMPLE_FOLDER / SAMPLE[kind], kind)[:limit]]
    what = "rows of the shipped sample, written for this project in OpenMed's columns"
    return Loaded(rows, "sample", f"{len(rows):,} {what}.{why}")


def check_hub(name: str) -> None:
    """One small request, so that a dead network is known in seconds and not after every retry of `datasets`.

    Raises:
        OSError: no network, no answer, or no such set.
    """
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise ConnectionError("the hub is switched off, HF_HUB_OFFLINE is set")
    hub = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    sign = urllib.request.Request(f"{hub.rstrip('/')}/api/datasets/{name}", method="HEAD")
    urllib.request.urlopen(sign, timeout=HUB_SECONDS).close()


def _from_hub(kind: str, limit: int | None) -> list[Row]:
    """One real set; a LabError when the hub is switched off, does not answer, or has other columns than expected."""
    from datasets import load_dataset

    name, hint = HUB[kind], "The shipped sample works without it: load_rows('sample')."
    try:
        check_hub(name)
        records = list(islice(load_dataset(name, split="train", streaming=True), limit))
    except Exception as error:  # datasets wraps the network's errors in many types of its own
        reason = next(iter(str(error).strip().splitlines()), "no reason given")[:160]
        raise LabError(f"The hub did not give {name} ({type(error).__name__}: {reason}). {hint}") from None
    columns = set(records[0]) if records else set()
    if not columns.issuperset(FIELDS[kind]):
        there = ", ".join(sorted(columns)) or "no row"
        raise LabError(f"{name} no longer has the columns {', '.join(FIELDS[kind])} (found: {there}). {hint}")
    rows = [_row(record, kind, f"{kind[0]}{index:05d}") for index, record in enumerate(records, 1)]
    return [row for row in rows if row.fields]


def _row(record: Mapping[str, Any], kind: str, fallback: str = "") -> Row:
    """A record of either source in one shape, without the columns that are empty."""
    text = {column: str(record.get(column) or "").strip() for column in FIELDS[kind]}
    fields = {column: value for column, value in text.items() if value}
    spanish = {column: str(record.get(f"{column}_es") or "").strip() for column in fields}
    return Row(
        id=str(record.get("id") or record.get("claim_id") or fallback),
        kind=kind,
        fields=fields,
        reference=spanish if all(spanish.values()) else None,
        label=_label(record.get("label")) if kind == "article" else None,
    )


def _label(value: Any) -> str | None:
    """A verdict as a word: PUBHEALTH gives names, truth values or class numbers, and −1 or nothing for a missing one."""
    if isinstance(value, int) and not isinstance(value, bool):
        return LABELS[value] if 0 <= value < len(LABELS) else None
    word = str(value).strip().lower()
    return word if word in LABELS else None


def read_sample(path: Path, kind: str) -> list[Row]:
    """Rows of a shipped file, one JSON object a line.

    Raises:
        LabError: the file is missing or a line is malformed; the message names file, line and field.
    """
    if not path.is_file():
        raise LabError(f"{path} is missing. Restore it with `git checkout -- data/openmed_sample`.")
    rows: dict[str, Row] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if line.strip():
            try:
                record = json.loads(line)
            except ValueError:
                record = None
            if wrong := _problem(record, kind, rows):
                raise bad_entry(path, f"line {number}", *wrong)
            rows[record["id"]] = _row(record, kind)
    return list(rows.values())


def _problem(record: Any, kind: str, known: Mapping[str, Row]) -> tuple[str, str] | None:
    """The first field of a sample's record that is wrong, and what is wrong with it."""
    if not isinstance(record, dict):
        return "(line)", "not a JSON object"
    for column in ("id", *FIELDS[kind], *(f"{column}_es" for column in FIELDS[kind])):
        if not isinstance(record.get(column), str) or not record[column].strip():
            return column, "must be a non-empty text"
    if kind == "article" and record.get("label") not in LABELS:
        return "label", f"unknown label {record.get('label')!r}; one of {', '.join(LABELS)}"
    return ("id", f"duplicate id {record['id']!r}") if record["id"] in known else None


def drop_false_claims(rows: Sequence[Row]) -> tuple[list[Row], Counter[str]]:
    """Keep interactions and the articles whose claim was found true; count what was dropped by its label.

    PUBHEALTH is fact-checking data: "mixture" and "unproven" claims are no more fit to teach than "false" ones, and a claim without
    a verdict ("unlabelled" in the counts) is unknown.
    """
    doubtful = [row for row in rows if row.kind == "article" and row.label != "true"]
    kept = [row for row in rows if row.kind != "article" or row.label == "true"]
    return kept, Counter(row.label or "unlabelled" for row in doubtful)
