"""Sentences computed from results, of the notebooks that still have them; each changes its wording when the effect is absent.

They go as their notebooks move to claims written by a person (`lab.claim`).
"""

from helpers.lab.readings.common import *  # noqa: F403
from helpers.lab.readings.report import *  # noqa: F403
