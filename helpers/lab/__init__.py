"""The lab: the stage cache, the results store, the claims ledger, and prose computed from results."""

from helpers.lab import card, costs, ladder, picker, readings, rewarded
from helpers.lab.arms import Arm, ArmOutcome, run_arms, sampled
from helpers.lab.claims import Claim, Entry, Verdict, claims, ledger, report, tally, verdict
from helpers.lab.readings import reading
from helpers.lab.results import claim, measurements, record, record_rate, result, results_path, shipped_path
from helpers.lab.runs import runs
from helpers.lab.session import SEEDS, Session, seeds, session, start
from helpers.lab.stages import Stage, base_model, keep, stage

__all__ = [
    "SEEDS",
    "Arm",
    "ArmOutcome",
    "Claim",
    "Entry",
    "Session",
    "Stage",
    "Verdict",
    "base_model",
    "card",
    "claim",
    "claims",
    "costs",
    "keep",
    "ladder",
    "ledger",
    "measurements",
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
    "verdict",
]
