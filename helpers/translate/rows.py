"""The English rows: OpenMed's two sets from the hub when it answers, else the sample written for this project in the same columns."""

from __future__ import annotations

import json
import os
import urllib.request
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from helpers.files import DATA, LabError

FIELDS = {"article": ("claim", "explanation", "main_text"), "interaction": ("sentence", "drug1", "drug2")}
HUB = {"article": "OpenMed/PubHealth-Processed", "interaction": "OpenMed/DDI-Corpus-Processed"}
SAMPLE = {"article": "articles.jsonl", "interaction": "interactions.jsonl"}
EXTRA = {"article": ("label", "subjects"), "interaction": ("relation",)}
LABELS = ("false", "mixture", "true", "unproven")  # in the order of PUBHEALTH's class numbers
HUB_SECONDS = 5  # for a sign of life


@dataclass(frozen=True)
class Row:
    """One row to translate.

    Attributes:
        id: its name in the set it comes from.
        kind: "article" or "interaction".
        fields: English texts by column; what is translated.
        reference: Spanish texts by the same columns, or None.
        label: an article's verdict (`LABELS`); None for interactions and for articles without one.
        extra: the columns that are carried along (subjects, relation).
    """

    id: str
    kind: str
    fields: dict[str, str]
    reference: dict[str, str] | None = None
    label: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Loaded:
    """Rows, where they come from ("hub" or "sample"), and one sentence that says so and why."""

    rows: list[Row]
    source: str
    sentence: str

    def _repr_markdown_(self) -> str:
        return self.sentence


def load_rows(
    source: str = "auto", limit: int | None = None, folder: Path = DATA / "openmed_sample"
) -> Loaded:
    """Articles, then interactions.

    Args:
        source: "hub" (the real sets, or an error), "sample" (the shipped rows, which have reference Spanish), or "auto" (the hub when
            it answers, else the sample; the sentence says which and why). The offline teacher can translate the sample only.
        limit: at most so many rows of each kind.

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
    rows = [row for kind in FIELDS for row in read_sample(folder / SAMPLE[kind], kind)[:limit]]
    said = f"{len(rows):,} rows of the shipped sample, written for this project in OpenMed's columns.{why}"
    return Loaded(rows, "sample", said)


# ---------------------------------------------------------------------------------------------------------------- hub
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
    """One real set, normalised.

    Raises:
        LabError: the hub is switched off, does not answer, or has other columns than expected.
    """
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
        found = ", ".join(sorted(columns)) or "no row"
        raise LabError(f"{name} no longer has the columns {', '.join(FIELDS[kind])} (found: {found}). {hint}")
    rows = [_row(record, kind, f"{kind[0]}{index:05d}") for index, record in enumerate(records, 1)]
    return [row for row in rows if row.fields]


def _label(value: Any) -> str | None:
    """A verdict as a word: PUBHEALTH gives names or class numbers, and −1 or nothing for a missing one."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return LABELS[value] if 0 <= value < len(LABELS) else None
    word = str(value or "").strip().lower()
    return word if word in LABELS else None


def _row(record: Mapping[str, Any], kind: str, fallback: str) -> Row:
    fields = {column: str(record.get(column) or "").strip() for column in FIELDS[kind]}
    fields = {column: text for column, text in fields.items() if text}
    spanish = {column: str(record.get(f"{column}_es") or "").strip() for column in fields}
    return Row(
        id=str(record.get("id") or record.get("claim_id") or fallback),
        kind=kind,
        fields=fields,
        reference=spanish if all(spanish.values()) else None,
        label=_label(record.get("label")) if kind == "article" else None,
        extra={column: record[column] for column in EXTRA[kind] if column in record and column != "label"},
    )


# ------------------------------------------------------------------------------------------------------------- sample
def read_sample(path: Path, kind: str) -> list[Row]:
    """Rows of a shipped file, one JSON object a line.

    Raises:
        LabError: the file is missing or a line is malformed; the message names file, line and field.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        raise LabError(
            f"{path} is missing. It is part of the repository: restore it with `git checkout -- data/openmed_sample`."
        ) from None
    rows = {}
    for number, line in enumerate(lines, 1):
        if line.strip():
            record = _sample_record(line, kind, f"{path}:{number}")
            if record["id"] in rows:
                raise LabError(f"{path}:{number}: field `id`: duplicate id {record['id']!r}.")
            rows[record["id"]] = _row(record, kind, "")
    return list(rows.values())


def _sample_record(line: str, kind: str, where: str) -> dict[str, Any]:
    """A line of the sample, with everything it must have."""
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    if not isinstance(record, dict):
        raise LabError(f"{where}: field `(line)`: not a JSON object. See data/README.md for the format.")
    for column in ("id", *FIELDS[kind], *(f"{column}_es" for column in FIELDS[kind]), EXTRA[kind][0]):
        if not isinstance(record.get(column), str) or not record[column].strip():
            raise LabError(
                f"{where}: field `{column}`: must be a non-empty text. See data/README.md for the format."
            )
    if kind == "article" and record["label"] not in LABELS:
        raise LabError(
            f"{where}: field `label`: unknown label {record['label']!r}; one of {', '.join(LABELS)}."
        )
    return record


def drop_false_claims(rows: Sequence[Row]) -> tuple[list[Row], Counter[str]]:
    """Keep interactions and the articles whose claim was found true; count what was dropped by its label.

    PUBHEALTH is fact-checking data: "mixture" and "unproven" claims are no more fit to teach than "false" ones, and a claim without
    a verdict ("unlabelled" in the counts) is unknown.
    """
    doubtful = [row for row in rows if row.kind == "article" and row.label != "true"]
    kept = [row for row in rows if row.kind != "article" or row.label == "true"]
    return kept, Counter(row.label or "unlabelled" for row in doubtful)
