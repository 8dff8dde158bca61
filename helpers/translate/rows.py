"""The English rows: OpenMed's two sets from the hub when it answers, else the sample written for this project in the same columns."""

from __future__ import annotations

import json
import os
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from helpers.files import DATA, LabError

FIELDS = {"article": ("claim", "explanation", "main_text"), "interaction": ("sentence", "drug1", "drug2")}
HUB = {"article": "OpenMed/PubHealth-Processed", "interaction": "OpenMed/DDI-Corpus-Processed"}
SAMPLE = {"article": "articles.jsonl", "interaction": "interactions.jsonl"}
EXTRA = {"article": ("label", "subjects"), "interaction": ("relation",)}
LABELS = ("false", "mixture", "true", "unproven")  # in the order of PUBHEALTH's class numbers
HUB_SECONDS = 5  # for a sign of life
LOAD_SECONDS = 180  # for a whole set


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
    return Loaded(
        rows,
        "sample",
        f"{len(rows):,} rows of the shipped sample, written for this project in OpenMed's columns.{why}",
    )


# ---------------------------------------------------------------------------------------------------------------- hub
def _from_hub(kind: str, limit: int | None) -> list[Row]:
    """One real set, normalised.

    Raises:
        LabError: the hub is switched off, does not answer, or has other columns than expected.
    """
    name = HUB[kind]
    hint = "The shipped sample works without it: load_rows('sample')."
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise LabError(f"The hub is switched off (HF_HUB_OFFLINE is set). {hint}")
    try:
        _within(2 * HUB_SECONDS, lambda: _sign_of_life(name))
        table = _within(LOAD_SECONDS, lambda: _load_dataset(name, limit))
        records = [dict(record) for record in table]
    except LabError:
        raise
    except Exception as error:  # datasets wraps the network's errors in many types of its own
        reason = str(error).strip().splitlines()[0][:160] if str(error).strip() else "no reason given"
        raise LabError(f"The hub did not give {name} ({type(error).__name__}: {reason}). {hint}") from None
    missing = [column for column in FIELDS[kind] if records and column not in records[0]]
    if missing or not records:
        found = ", ".join(sorted(records[0])) if records else "no row"
        raise LabError(f"{name} no longer has the columns {', '.join(FIELDS[kind])} (found: {found}). {hint}")
    rows = (_row(record, kind, f"{kind[0]}{index:05d}") for index, record in enumerate(records[:limit], 1))
    return [row for row in rows if any(text.strip() for text in row.fields.values())]


def _sign_of_life(name: str) -> None:
    """One small request, so that a dead network is known in seconds and not after every retry of `datasets`."""
    hub = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    probe = urllib.request.Request(f"{hub.rstrip('/')}/api/datasets/{name}", method="HEAD")
    urllib.request.urlopen(probe, timeout=HUB_SECONDS).close()


def _load_dataset(name: str, limit: int | None) -> Iterable[Mapping[str, Any]]:
    import datasets

    return datasets.load_dataset(name, split="train" if limit is None else f"train[:{limit}]")


def _within(seconds: float, work: Callable[[], Any]) -> Any:
    """The result of `work`, given up after so many seconds (a server that drips keeps every socket timeout happy)."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append((work(), None))
        except BaseException as error:
            outcome.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise TimeoutError(f"no answer within {seconds:g} s")
    value, error = outcome[0]
    if error is not None:
        raise error
    return value


def _label(value: Any) -> str | None:
    """A verdict as a word: PUBHEALTH gives names or class numbers, and −1 or nothing for a missing one."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return LABELS[value] if 0 <= value < len(LABELS) else None
    word = str(value or "").strip().lower()
    return word if word in LABELS else None


def _row(record: Mapping[str, Any], kind: str, fallback: str) -> Row:
    fields = {column: str(record.get(column) or "").strip() for column in FIELDS[kind]}
    spanish = {column: str(record.get(f"{column}_es") or "").strip() for column in FIELDS[kind]}
    return Row(
        id=str(record.get("id") or record.get("claim_id") or fallback),
        kind=kind,
        fields={column: text for column, text in fields.items() if text},
        reference={column: spanish[column] for column in fields if fields[column]}
        if all(spanish.values())
        else None,
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
    rows, seen = [], set()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict):
            raise LabError(
                f"{path}:{number}: field `(line)`: not a JSON object. See data/README.md for the format."
            )
        wanted = ("id", *FIELDS[kind], *(f"{column}_es" for column in FIELDS[kind]), *EXTRA[kind][:1])
        for column in wanted:
            if not isinstance(record.get(column), str) or not record[column].strip():
                raise LabError(
                    f"{path}:{number}: field `{column}`: must be a non-empty text. See data/README.md for the format."
                )
        if kind == "article" and record["label"] not in LABELS:
            raise LabError(
                f"{path}:{number}: field `label`: unknown label {record['label']!r}; one of {', '.join(LABELS)}."
            )
        if record["id"] in seen:
            raise LabError(f"{path}:{number}: field `id`: duplicate id {record['id']!r}.")
        seen.add(record["id"])
        rows.append(_row(record, kind, ""))
    return rows


def drop_false_claims(rows: Sequence[Row]) -> tuple[list[Row], Counter[str]]:
    """Keep interactions and the articles whose claim was found true; count what was dropped by its label.

    PUBHEALTH is fact-checking data: "mixture" and "unproven" claims are no more fit to teach than "false" ones, and a claim without
    a verdict ("unlabelled" in the counts) is unknown.
    """
    kept = [row for row in rows if row.kind != "article" or row.label == "true"]
    dropped = Counter(
        row.label or "unlabelled" for row in rows if row.kind == "article" and row.label != "true"
    )
    return kept, dropped
