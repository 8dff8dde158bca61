"""The lab: the stage cache, the results store, the claims ledger, and prose computed from results."""

from helpers.lab import card, readings
from helpers.lab.claims import Claim, Entry, Verdict, claims, ledger, report, tally, verdict
from helpers.lab.readings import reading
from helpers.lab.results import (
    claim,
    measurements,
    record,
    record_rate,
    record_runs,
    result,
    results_path,
    shipped_path,
)
from helpers.lab.runs import runs
from helpers.lab.session import SEEDS, Session, seeds, session, start
from helpers.lab.stages import Stage, base_model, keep, stage

__all__ = [
    "SEEDS",
    "Claim",
    "Entry",
    "Session",
    "Stage",
    "Verdict",
    "base_model",
    "card",
    "claim",
    "claims",
    "keep",
    "ledger",
    "measurements",
    "reading",
    "readings",
    "record",
    "record_rate",
    "record_runs",
    "report",
    "result",
    "results_path",
    "runs",
    "seeds",
    "session",
    "shipped_path",
    "stage",
    "start",
    "tally",
    "verdict",
]
