"""The lab: the stage cache, the results store, the claims ledger, and prose computed from results."""

from helpers.lab import card, costs, ladder, picker, readings, rewarded
from helpers.lab.arms import Arm, ArmOutcome, run_arms, sampled
from helpers.lab.claims import Claim, Entry, claims, ledger, report, tally, verdict
from helpers.lab.plumbing import ClientRun, try_client
from helpers.lab.readings import reading
from helpers.lab.results import claim, measurements, record, record_rate, result, results_path, shipped_path
from helpers.lab.runs import runs
from helpers.lab.session import SEEDS, Session, seeds, session, start
from helpers.lab.stages import Stage, base_model, keep, on_disk, stage

__all__ = [
    "SEEDS",
    "Arm",
    "ArmOutcome",
    "Claim",
    "ClientRun",
    "Entry",
    "Session",
    "Stage",
    "base_model",
    "card",
    "claim",
    "claims",
    "costs",
    "keep",
    "ladder",
    "ledger",
    "measurements",
    "on_disk",
    "picker",
    "reading",
    "readings",
    "record",
    "record_rate",
    "report",
    "result",
    "results_path",
    "rewarded",
    "run_arms",
    "runs",
    "sampled",
    "seeds",
    "session",
    "shipped_path",
    "stage",
    "start",
    "tally",
    "try_client",
    "verdict",
]
