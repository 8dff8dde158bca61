"""The lab: the stage cache, the results store, the claims ledger, and claims made of results."""

from helpers.lab import card
from helpers.lab.claims import claims, ledger, report, tally, verdict
from helpers.lab.results import (
    claim,
    measurements,
    record,
    record_runs,
    record_sections,
    result,
    results_path,
    shipped_path,
)
from helpers.lab.runs import runs
from helpers.lab.session import SEEDS, seeds, session, start
from helpers.lab.stages import base_model, keep, on_disk, stage
