"""Sentences computed from results, of the notebooks that still have them; each changes its wording when the effect is absent.

They go as their notebooks move to claims written by a person (`lab.claim`).
"""

from helpers.lab.readings.adaptation import *  # noqa: F403
from helpers.lab.readings.common import *  # noqa: F403
from helpers.lab.readings.distillation import *  # noqa: F403
from helpers.lab.readings.negatives import *  # noqa: F403
from helpers.lab.readings.parity import *  # noqa: F403
from helpers.lab.readings.picker import *  # noqa: F403
from helpers.lab.readings.preferences import *  # noqa: F403
from helpers.lab.readings.quantization import *  # noqa: F403
from helpers.lab.readings.rewards import *  # noqa: F403
