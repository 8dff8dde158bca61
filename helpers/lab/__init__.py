"""The lab: the stage cache, the results store, the claims ledger, and prose computed from results."""

from helpers.lab import card, costs, ladder, picker, readings, rewarded
from helpers.lab.arms import Arm, ArmOutcome, run_arms, sampled
from helpers.lab.claims import Claim, Entry, Verdict, claims, ledger, report, tally, verdict
from helpers.lab.grid import Outcome, gather, record_runs, run_grid
from helpers.lab.plumbing import ClientRun, try_client
from helpers.lab.readings import reading
from helpers.lab.results import measurements, record, record_rate, result, results_path, shipped_path
from helpers.lab.session import Session, session, start
from helpers.lab.stages import Stage, base_model, stage

__all__ = [
    "Arm",
    "ArmOutcome",
    "Claim",
    "ClientRun",
    "Entry",
    "Outcome",
    "Session",
    "Stage",
    "Verdict",
    "base_model",
    "card",
    "claims",
    "costs",
    "gather",
    "ladder",
    "ledger",
    "measurements",
    "picker",
    "reading",
    "readings",
    "record",
    "record_rate",
    "record_runs",
    "report",
    "result",
    "results_path",
    "rewarded",
    "run_arms",
    "run_grid",
    "sampled",
    "session",
    "shipped_path",
    "stage",
    "start",
    "tally",
    "try_client",
    "verdict",
]
